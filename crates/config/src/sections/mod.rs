//! gateway.yaml as types, one file for each section. Doc comments here become the reference page and the editor's hints.

mod access_log;
mod admin;
mod config;
mod consumer;
mod forms;
mod listener;
mod matching;
mod route;
mod step;
mod tier;
mod upstream;

pub use access_log::AccessLog;
pub use admin::Admin;
pub(crate) use config::MAX_USE_DEPTH;
pub use config::{Config, Version};
pub use consumer::Consumer;
pub use forms::{Headers, Named, OneOrMany};
pub use listener::Listener;
pub use matching::{Match, ValueMatch};
pub use route::{
    Redirect, RedirectStatus, Respond, Route, RouteLimits, RouteTimeouts, RouteUpstreams, WeightedUpstream,
};
pub(crate) use step::BESIDE;
pub use step::{Action, FlatStep, Mode, OnError, Step};
pub use tier::Tier;
pub use upstream::{Balance, Health, HealthExpect, Probe, Protocol, Retry, RetryOn, Target, Timeouts, Upstream};
