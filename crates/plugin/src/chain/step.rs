//! One plugin at one place of one chain, with what the file says beside it.

use std::borrow::Cow;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;

use super::fence::message;
use crate::decision::{Decision, Verdict};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::expression::Expression;
use crate::fields::{RequestFields, headers_of};
use crate::limits::{Account, NoAccount, Subject};
use crate::metrics::{DecisionCounters, Metrics};
use crate::plugin::{Access, Hooks, Plugin};

/// Whether a step acts on what it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It does.
    #[default]
    Enforce,
    /// It decides and records; nothing it does has an effect.
    Observe,
}

/// What becomes of a request when the step itself fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// It is refused with 500.
    #[default]
    Fail,
    /// It goes on as if the step were not there.
    Skip,
}

/// One plugin at one place of one chain.
pub struct Step {
    /// Name of the plugin.
    pub plugin_name: &'static str,
    /// Name of the step: its own, or one made from its place (`api/rate-limit`).
    pub name: Arc<str>,
    /// `file:line:column`.
    pub place: Arc<str>,
    pub(super) plugin: Arc<dyn Plugin>,
    pub(super) when: Box<[Expression]>,
    pub(super) mode: Mode,
    pub(super) on_error: OnError,
    pub(super) hooks: Hooks,
    pub(super) access: Access,
    counters: Option<DecisionCounters>,
}

/// Decisions kept for one request. A plugin that notes more than this tells nobody.
const MAX_DECISIONS: usize = 128;

impl Step {
    /// A step that enforces, always, and fails closed.
    pub fn new(plugin_name: &'static str, name: Arc<str>, place: Arc<str>, plugin: Arc<dyn Plugin>) -> Self {
        let (hooks, access) = (plugin.hooks(), plugin.response_access());
        Self {
            plugin_name,
            name,
            place,
            plugin,
            when: Box::default(),
            mode: Mode::Enforce,
            on_error: OnError::Fail,
            hooks,
            access,
            counters: None,
        }
    }

    /// Runs only where all of these hold when the request passes: its own condition and those of the `use` steps around it.
    #[must_use]
    pub fn when(mut self, conditions: impl IntoIterator<Item = Expression>) -> Self {
        self.when = conditions.into_iter().collect();
        self
    }

    /// Acts or observes.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Fails closed or is skipped.
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Counts its decisions here.
    #[must_use]
    pub fn counted(mut self, metrics: &Metrics) -> Self {
        self.counters = metrics.decisions(self.plugin_name, &self.name);
        self
    }

    /// Takes part in these hooks instead of those the plugin names; the test kit compares the two.
    #[must_use]
    pub fn with_hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = hooks;
        self
    }

    /// The hooks it takes part in.
    pub fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// Which fields of requests it reads, sets and removes, with those that its conditions name.
    pub fn request_fields(&self) -> RequestFields {
        let named = self.when.iter().flat_map(|condition| headers_of(condition.references()));
        self.plugin.request_fields().reads(named)
    }

    /// Whether every request that comes past it goes through it, and what it does has an effect.
    pub fn is_certain(&self) -> bool {
        self.acts() && self.when.is_empty() && self.on_error == OnError::Fail
    }

    /// Whether both are one instance: a step that is in several chains.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.plugin, &other.plugin)
    }

    /// How a subject stands with this step; `None` if it limits nobody.
    pub async fn account(&self, subject: &Subject) -> Option<Result<Account, NoAccount>> {
        let limits = self.plugin.limits()?;
        Some(fenced(limits.account(subject)).await)
    }

    /// Gives a subject back what it has used; `None` if this step limits nobody.
    pub async fn reset(&self, subject: &Subject) -> Option<Result<(), NoAccount>> {
        let limits = self.plugin.limits()?;
        Some(fenced(limits.reset(subject)).await)
    }

    /// Its conditions.
    pub fn conditions(&self) -> &[Expression] {
        &self.when
    }

    /// Whether it acts or observes.
    pub fn is_observing(&self) -> bool {
        !self.acts()
    }

    /// Whether what it does has an effect.
    pub(crate) fn acts(&self) -> bool {
        self.mode == Mode::Enforce
    }

    pub(crate) fn decision(&self, what: Verdict, why: Cow<'static, str>) -> Decision {
        Decision { plugin: self.plugin_name, step: self.name.clone(), place: self.place.clone(), what, why }
    }

    pub(crate) fn count(&self, verdict: Verdict) {
        if let Some(counters) = &self.counters {
            counters.count(verdict);
        }
    }

    /// Records a decision if it is telling or everything is wanted, and counts it.
    pub(crate) fn tell(&self, exchange: &mut Exchange, what: Verdict, why: impl Into<Cow<'static, str>>) {
        self.count(what);
        let telling = !matches!(what, Verdict::Continue | Verdict::NotEntered);
        if (telling || exchange.verbose) && exchange.decisions.len() < MAX_DECISIONS {
            exchange.decisions.push(self.decision(what, why.into()));
        }
    }
}

/// A panic is a failure of the plugin, here as in its hooks.
async fn fenced<T>(asked: impl Future<Output = Result<T, NoAccount>>) -> Result<T, NoAccount> {
    let outcome = AssertUnwindSafe(asked).catch_unwind().await;
    outcome.unwrap_or_else(|panic| Err(NoAccount::Failed(Error::new(format!("it panicked: {}", message(&*panic))))))
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Step({} at {})", self.name, self.place)
    }
}
