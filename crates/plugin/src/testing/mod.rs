//! The test kit: drives one plugin through the very runner that production uses, without a socket and on a frozen clock.
//!
//! A [`Probe`] is one plugin behind a gateway of stubs. [`Request`] is what a client sends, [`Sent`] what became of it;
//! [`conformance`] tries what every plugin must withstand. Failures of a test are panics, so there is nothing to unwrap.
//! Put `portreeve-plugin = { version = "…", features = ["testing"] }` into `[dev-dependencies]`.
//!
//! ```
//! use portreeve_plugin::prelude::*;
//! use portreeve_plugin::testing::{Probe, conformance};
//! use serde_json::json;
//!
//! /// Lets a request in that knows the word.
//! #[derive(Debug, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     /// The word.
//!     word: String,
//! }
//!
//! struct Password(String);
//!
//! #[async_trait]
//! impl Plugin for Password {
//!     fn hooks(&self) -> Hooks {
//!         Hooks::REQUEST
//!     }
//!
//!     async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
//!         if cx.query("word").as_deref() != Some(&*self.0) {
//!             return Ok(Reply::status(StatusCode::FORBIDDEN).because("wrong word").into());
//!         }
//!         cx.set_header(HeaderName::from_static("x-known"), HeaderValue::from_static("yes"));
//!         Ok(Flow::Continue)
//!     }
//! }
//!
//! impl Build for Password {
//!     const NAME: &'static str = "password";
//!     type Config = Config;
//!
//!     fn build(config: Config, _host: &Host) -> Result<Self, BuildError> {
//!         if config.word.is_empty() {
//!             return Err(BuildError::at("word", "is empty"));
//!         }
//!         Ok(Self(config.word))
//!     }
//! }
//!
//! let probe = Probe::<Password>::new(json!({ "word": "sesame" }));
//! assert_eq!(probe.get("/cave?word=please").send().refused().status, 403);
//! assert_eq!(probe.get("/cave?word=sesame").send().forwarded().header("x-known"), Some("yes"));
//!
//! let error = Probe::<Password>::try_new(json!({ "word": "" })).unwrap_err();
//! assert_eq!(error.to_string(), "word: is empty");
//!
//! conformance::<Password>(json!({ "word": "sesame" }));
//! ```
//!
//! The probe owns a runtime, so use it in a plain `#[test]`, not inside a `#[tokio::test]`.
#![expect(clippy::panic, reason = "a test kit reports what is wrong by panicking")]

mod conformance;
mod gateway;
mod message;
mod probe;
mod request;
mod sent;
mod setup;

pub use conformance::{conformance, conformance_in};
pub use message::{Answered, Forwarded, answer};
pub use probe::Probe;
pub use request::Request;
pub use sent::Sent;
pub use setup::Setup;

pub use crate::chain::{Mode, OnError};
