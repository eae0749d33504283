//! The contract between the Portreeve gateway and its plugins.
//!
//! A plugin author needs this crate alone. [`Plugin`] is what a plugin does at run time, [`Build`] how it comes to be,
//! [`cx`] what each hook may see and change, [`Host`] what an instance may ask of the gateway, [`testing`] how to try it
//! without a socket. The guide is `docs/writing-plugins.md`; `examples/custom-plugin` is a whole one.
//!
//! ```
//! use portreeve_plugin::prelude::*;
//!
//! /// Greets.
//! #[derive(Debug, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     /// What to say.
//!     greeting: String,
//! }
//!
//! struct Hello(HeaderValue);
//!
//! #[async_trait]
//! impl Plugin for Hello {
//!     fn hooks(&self) -> Hooks {
//!         Hooks::RESPONSE
//!     }
//!
//!     async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
//!         cx.set_header(HeaderName::from_static("x-hello"), self.0.clone());
//!         Ok(())
//!     }
//! }
//!
//! impl Build for Hello {
//!     const NAME: &'static str = "hello";
//!     type Config = Config;
//!
//!     fn build(config: Config, _host: &Host) -> Result<Self, BuildError> {
//!         let value = HeaderValue::from_str(&config.greeting);
//!         value.map(Self).map_err(|_| BuildError::at("greeting", "not a header value"))
//!     }
//! }
//! ```

mod body;
mod chain;
mod client;
mod clock;
mod consumer;
pub mod cx;
mod decision;
mod error;
mod exchange;
pub mod expression;
mod facts;
mod fields;
mod host;
mod key;
mod limits;
mod metrics;
#[cfg(test)]
mod page;
mod plugin;
pub mod query;
mod registry;
mod reply;
pub mod template;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
mod written;

pub use body::BodyError;
pub use client::{Answer, Call, CallError, Upstream};
pub use clock::Clock;
pub use consumer::{Allowance, Consumer, DeclaredConsumer, Spread, Tier};
pub use cx::{LogCx, Origin, RequestBodyCx, RequestCx, ResponseBodyCx, ResponseCx, UpstreamCx};
pub use decision::{Decision, Verdict};
pub use error::{BuildError, Error, Result};
pub use expression::Expression;
pub use fields::RequestFields;
pub use host::{Addresses, Fetch, Host, Task};
pub use key::{Key, NoKey, Seeds};
pub use limits::{Account, Limits, NoAccount, Standing, Subject};
pub use metrics::{Counter, Gauge, Histogram};
pub use plugin::{Access, Build, Hooks, Plugin};
pub use portreeve_units as units;
pub use registry::{Registration, Registry};
pub use reply::{Flow, Reply, ReplyBody};
pub use template::{JsonTemplate, Template};
pub use tls::{ClientCertificate, ClientTls, TlsVersion};

/// What a plugin usually needs, and the crates whose names its signatures use.
pub mod prelude {
    pub use async_trait::async_trait;
    pub use bytes::Bytes;
    pub use http::{HeaderName, HeaderValue, Method, StatusCode, header};
    pub use schemars::{self, JsonSchema};
    pub use serde::{self, Deserialize};

    pub use crate::{
        Access, BodyError, Build, BuildError, Call, CallError, ClientTls, Clock, Consumer, Counter, Error, Expression,
        Flow, Gauge, Histogram, Hooks, Host, JsonTemplate, Key, LogCx, Origin, Plugin, Reply, RequestBodyCx, RequestCx,
        RequestFields, ResponseBodyCx, ResponseCx, Result, Template, UpstreamCx, units,
    };
}

/// What the engine needs to drive chains. Not part of the contract: it changes with any release.
#[doc(hidden)]
pub mod engine {
    pub use crate::body::{BodySource, Broken, GatheredBody, NoBody};
    pub use crate::chain::{Chain, MAX_STEPS, Mode, OnError, Run, Step};
    pub use crate::client::Pool;
    pub use crate::cx::{Attempt, Origin, Summary, View, cookie, host, query_value};
    pub use crate::error::{Cause, Failure};
    pub use crate::exchange::{Exchange, Param, Params, RequestId, fresh_request_id};
    pub use crate::fields::headers_of;
    pub use crate::host::{Engine, Shared};
    pub use crate::metrics::Metrics;
    pub use crate::registry::hook_names;
    pub use crate::written::{Written, read_expression, read_regex, read_template};
}
