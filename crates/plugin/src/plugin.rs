//! The contract: what a plugin does at run time ([`Plugin`]) and how one comes to be ([`Build`]). Read this first.

use std::ops::BitOr;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::cx::{LogCx, RequestBodyCx, RequestCx, ResponseBodyCx, ResponseCx, UpstreamCx};
use crate::error::{BuildError, Result};
use crate::fields::RequestFields;
use crate::host::Host;
use crate::limits::Limits;
use crate::reply::Flow;

/// What a plugin does at run time. One instance serves every request of the routes that name it.
///
/// Every hook has a default that does nothing. An `Err` or a panic fails the request closed (500, counted, the process
/// lives on) unless its step says `on_error: skip`; refusing a request is [`Flow::Respond`], not an error.
///
/// # Cancellation
/// When the client goes away the future of a hook is dropped at its next `.await`. What must be undone belongs in a `Drop`.
#[async_trait]
pub trait Plugin: Send + Sync + 'static {
    /// The hooks this instance takes part in: the gateway builds one list per hook at load and calls nothing else.
    /// All by default (always right); narrowed for speed, and the test kit proves a narrowed set right.
    fn hooks(&self) -> Hooks {
        Hooks::all()
    }

    /// How this instance wants to see the body of an answer in [`Plugin::on_response_body`]: chunk by chunk unless it says otherwise.
    fn response_access(&self) -> Access {
        Access::default()
    }

    /// Which fields of requests this instance reads, sets and removes: asked once, at load. What is set here is taken from
    /// clients that send it themselves, so a plugin that sets a field without saying so leaves it to be forged on routes
    /// that it is not on. The test kit proves that all that is set and removed is told.
    fn request_fields(&self) -> RequestFields {
        RequestFields::none()
    }

    /// Head of the request, before a target is chosen. In chain order. May answer, may wait.
    async fn on_request(&self, _cx: &mut RequestCx<'_>) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    /// Each chunk of the request body as it streams to a target. In chain order; not called for upgraded connections. May wait, which
    /// holds the body up. An answer given here reaches the client only if no response has begun. Called again from the first byte
    /// when another attempt replays the body. Whoever wants the body whole, or before a target is asked, asks for it in
    /// [`Plugin::on_request`]: [`RequestCx::body`].
    async fn on_request_body(&self, _cx: &mut RequestBodyCx<'_>) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    /// The request about to go to the chosen target. Once per attempt, each time on a fresh copy of the request.
    fn on_upstream_request(&self, _cx: &mut UpstreamCx<'_>) -> Result<()> {
        Ok(())
    }

    /// The request as it goes to the target, after all that changes it: for signatures. Once per attempt, behind the
    /// [`Plugin::on_upstream_request`] of every step of both chains; `Host` is what the target is called. What is changed here, later
    /// steps with this hook see alone.
    fn on_send(&self, _cx: &mut UpstreamCx<'_>) -> Result<()> {
        Ok(())
    }

    /// Status and headers of the answer, whoever made it. In reverse order, only for plugins the request had entered.
    async fn on_response(&self, _cx: &mut ResponseCx<'_>) -> Result<()> {
        Ok(())
    }

    /// Each chunk of the response body. In reverse order; not called for upgraded connections. May wait, which holds the answer up.
    async fn on_response_body(&self, _cx: &mut ResponseBodyCx<'_>) -> Result<()> {
        Ok(())
    }

    /// What an operator may see and reset, if this plugin limits anybody: the accounts behind `/api/v1/limits`.
    fn limits(&self) -> Option<&dyn Limits> {
        None
    }

    /// Once, after the last byte or the failure. For every plugin of the chain, entered or not, save those whose `when`
    /// did not hold. Must not block.
    fn on_log(&self, _cx: &LogCx<'_>) {}
}

/// How a plugin comes to be: its name in YAML, its settings, its constructor. Runs at load, never on the request path.
pub trait Build: Plugin + Sized {
    /// The name in `gateway.yaml`, in metric labels and in logs: kebab-case, unique in a gateway.
    const NAME: &'static str;

    /// Whether a request that passed this plugin is authenticated. A route without such a plugin must say `public: true`.
    const AUTHENTICATES: bool = false;

    /// Whether this plugin always answers or always chooses the upstream, so that a route may end in it.
    const ENDS_CHAIN: bool = false;

    /// The settings. Mark it `#[serde(deny_unknown_fields)]`; its doc comments become the reference page.
    type Config: DeserializeOwned + JsonSchema;

    /// Makes an instance.
    ///
    /// # Errors
    /// What the types of `Config` could not rule out: a key that is not PEM, an upstream that does not exist.
    fn build(config: Self::Config, host: &Host) -> Result<Self, BuildError>;
}

/// A set of hooks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hooks(u8);

impl Hooks {
    /// [`Plugin::on_request`].
    pub const REQUEST: Self = Self(1);
    /// [`Plugin::on_request_body`].
    pub const REQUEST_BODY: Self = Self(1 << 1);
    /// [`Plugin::on_upstream_request`].
    pub const UPSTREAM_REQUEST: Self = Self(1 << 2);
    /// [`Plugin::on_response`].
    pub const RESPONSE: Self = Self(1 << 3);
    /// [`Plugin::on_response_body`].
    pub const RESPONSE_BODY: Self = Self(1 << 4);
    /// [`Plugin::on_log`].
    pub const LOG: Self = Self(1 << 5);

    /// [`Plugin::on_send`].
    pub const SEND: Self = Self(1 << 6);

    const NAMES: [(Self, &'static str); 7] = [
        (Self::REQUEST, "on_request"),
        (Self::REQUEST_BODY, "on_request_body"),
        (Self::UPSTREAM_REQUEST, "on_upstream_request"),
        (Self::SEND, "on_send"),
        (Self::RESPONSE, "on_response"),
        (Self::RESPONSE_BODY, "on_response_body"),
        (Self::LOG, "on_log"),
    ];

    /// Every hook.
    pub const fn all() -> Self {
        Self(0b111_1111)
    }

    /// No hook.
    pub const fn none() -> Self {
        Self(0)
    }

    /// Whether every hook of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The method names of the hooks in this set, in the order a request meets them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(hook, _)| self.contains(*hook)).map(|(_, name)| name)
    }
}

impl BitOr for Hooks {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// How the body of an answer reaches a plugin. The engine owns buffering, limits and the framing headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Chunk by chunk as it arrives. The chunks may be changed, so the length is announced as unknown.
    #[default]
    Stream,
    /// In one piece, of at most this many bytes. A longer one is answered with 502.
    Buffer(usize),
}
