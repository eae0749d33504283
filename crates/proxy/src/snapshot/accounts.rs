//! What operators see and reset of those that plugins limit: every step of the generation in effect that tells of it.

use std::sync::Arc;

use portreeve_plugin::engine::Step;
use portreeve_plugin::{Account, NoAccount, Subject};

use crate::snapshot::Snapshot;

/// What one step says of a subject.
#[derive(Debug)]
pub struct StepAccount<T = Account> {
    /// Name of the step.
    pub step: Arc<str>,
    /// Name of its plugin.
    pub plugin: &'static str,
    /// `file:line:column`.
    pub place: Arc<str>,
    /// How the subject stands, or why that is not known.
    pub told: Result<T, NoAccount>,
}

/// How a subject stands with the steps that limit somebody, or the one of this name.
pub(crate) async fn look(snapshot: &Snapshot, subject: &Subject, name: Option<&str>) -> Vec<StepAccount> {
    let mut told = Vec::new();
    for step in steps(snapshot, name) {
        if let Some(account) = step.account(subject).await {
            told.push(of(step, account));
        }
    }
    told
}

/// Gives a subject back what it has used with them.
pub(crate) async fn reset(snapshot: &Snapshot, subject: &Subject, name: Option<&str>) -> Vec<StepAccount<()>> {
    let mut told = Vec::new();
    for step in steps(snapshot, name) {
        if let Some(done) = step.reset(subject).await {
            told.push(of(step, done));
        }
    }
    told
}

fn of<T>(step: &Step, told: Result<T, NoAccount>) -> StepAccount<T> {
    StepAccount { step: step.name.clone(), plugin: step.plugin_name, place: step.place.clone(), told }
}

/// Each step once, in how many chains it may be: by name, which is one step's in a file.
fn steps<'s>(snapshot: &'s Snapshot, name: Option<&str>) -> Vec<&'s Arc<Step>> {
    let entrances = snapshot.listeners.iter().flatten().map(|entrance| &entrance.chain);
    let chains = entrances.chain(snapshot.routes.iter().map(|route| &route.chain));
    let mut found: Vec<&Arc<Step>> = chains.flat_map(|chain| chain.steps()).collect();
    found.retain(|step| name.is_none_or(|name| *step.name == *name));
    found.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.place.cmp(&b.place)));
    found.dedup_by(|a, b| a.is_same(b));
    found
}
