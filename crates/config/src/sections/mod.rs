//! gateway.yaml as types, one file for each section. Doc comments here become the reference page and the editor's hints.

mod access_log;
mod acme;
mod admin;
mod config;
mod consumer;
mod errors;
mod forms;
mod limits;
mod listener;
mod matching;
mod mirror;
mod resolver;
mod route;
mod step;
mod tcp;
mod tier;
mod tls;
mod upstream;
mod usage;
mod zones;

pub(crate) use crate::units::OneOrMany;
pub use access_log::AccessLog;
pub use acme::{Acme, AcmeBinding, AcmeChallenge};
pub use admin::Admin;
pub(crate) use config::MAX_USE_DEPTH;
pub use config::{Config, MAX_STEPS, Version};
pub use consumer::Consumer;
pub use errors::{ErrorPage, ErrorStatus, Errors};
pub use forms::{Headers, Named};
pub use limits::{ConnectionRate, ListenerLimits};
pub use listener::Listener;
pub use matching::{Match, ValueMatch};
pub use mirror::Mirror;
pub use resolver::Resolver;
pub use route::{
    Redirect, RedirectStatus, Respond, Route, RouteLimits, RouteTimeouts, RouteUpstreams, WeightedUpstream,
};
pub(crate) use step::BESIDE;
pub use step::{Action, FlatStep, Mode, OnError, Step};
pub use tcp::{Tcp, TcpTimeouts};
pub(crate) use tier::MAX_LINE;
pub use tier::Tier;
pub use tls::{Certificate, ClientAuth, ClientAuthMode, Hsts, ListenerTls, RedirectToHttps, TlsVersion, UnknownSni};
pub use upstream::{
    AdaptiveLimit, Backoff, Balance, CheckMethod, CircuitBreaker, Discover, Failover, Health, HealthExpect, Hedge,
    Near, Outlier, Probe, Protocol, ProxyProtocol, Retry, RetryOn, RouteRetry, Sticky, Target, Timeouts, Upstream,
    UpstreamLimits, UpstreamTls,
};
pub use usage::{Usage, UsageExport};
pub use zones::{Coordinates, Country, Zone};
