//! Certificates that the gateway gets and renews by itself (ACME, RFC 8555): one account, one order at a time, in the
//! background of everything else.
//!
//! [`Acme`] outlives generations. A generation says for which names it wants certificates (a [`Plan`] of [`Slot`]s); whoever
//! shakes hands looks into the slot, so that a new certificate needs neither a reload nor another connection.

mod account;
mod challenges;
mod client;
mod failure;
mod order;
mod schedule;
mod settings;
mod slot;
mod store;
mod waiting;
mod window;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use portreeve_config::ConfigPath;
use tokio::sync::watch;

use crate::compile::Errors;
use crate::observe::Metrics;

pub(crate) use challenges::Challenges;
pub(crate) use settings::Settings;
pub(crate) use slot::Slot;

/// The longest sleep: the clock of the machine may be set, and a machine may sleep too.
const LOOK: Duration = Duration::from_mins(10);

/// What a generation wants of its authority.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) settings: Arc<Settings>,
    pub(crate) slots: Vec<Arc<Slot>>,
}

/// What outlives generations: the certificates in use, the challenges in flight, and what is wanted now.
#[derive(Debug)]
pub(crate) struct Acme {
    /// By the file of the certificate. Held by those who show them.
    slots: Mutex<HashMap<PathBuf, Weak<Slot>>>,
    challenges: Challenges,
    plan: watch::Sender<Option<Arc<Plan>>>,
}

impl Default for Acme {
    fn default() -> Self {
        Self { slots: Mutex::default(), challenges: Challenges::default(), plan: watch::Sender::new(None) }
    }
}

impl Acme {
    /// The challenges in flight. Cheap to clone.
    pub(crate) fn challenges(&self) -> Challenges {
        self.challenges.clone()
    }

    /// The slot for these names: the one in use, or one with what the store has. `None` when the store is not as it should
    /// be, which is told in `errors`. Asks nobody and writes nothing.
    pub(crate) fn slot(&self, settings: &Settings, names: &[String], errors: &mut Errors<'_>) -> Option<Arc<Slot>> {
        let file = settings.file(names);
        let mut slots = self.slots.lock();
        slots.retain(|_, slot| slot.strong_count() > 0);
        if let Some(slot) = slots.get(&file).and_then(Weak::upgrade) {
            return Some(slot);
        }
        match Slot::load(settings, names, file.clone()) {
            Ok(slot) => {
                let slot = Arc::new(slot);
                slots.insert(file, Arc::downgrade(&slot));
                Some(slot)
            }
            Err(why) => {
                errors.at(&ConfigPath::from("acme").key("store"), why);
                None
            }
        }
    }

    /// From here on this is what is wanted. Another `acme` section is tried at once, whatever failed under the one before.
    pub(crate) fn follow(&self, plan: Option<Arc<Plan>>) {
        let before = self.plan.borrow().clone();
        if let (Some(before), Some(now)) = (before, &plan)
            && before.settings != now.settings
        {
            now.slots.iter().for_each(|slot| slot.forget_failures());
        }
        self.plan.send_replace(plan);
    }

    /// Gets what is due, one after the other, for as long as there is an [`Acme`].
    pub(crate) fn run(&self, metrics: Metrics) -> impl Future<Output = ()> + Send + use<> {
        let (mut plans, challenges) = (self.plan.subscribe(), self.challenges.clone());
        async move {
            loop {
                let plan = plans.borrow_and_update().clone();
                let next = plan.iter().flat_map(|plan| &plan.slots).min_by_key(|slot| slot.next());
                let wait = next.map_or(LOOK, |slot| slot.next().duration_since(SystemTime::now()).unwrap_or_default());
                if let (Some(plan), Some(slot), true) = (&plan, next, wait.is_zero()) {
                    // The authority may say that it is not yet time.
                    if slot.is_to_be_consulted() {
                        Box::pin(slot.consult(&plan.settings)).await;
                        continue;
                    }
                    Box::pin(slot.renew(&plan.settings, &challenges, &metrics)).await;
                    let now = plans.borrow().clone();
                    if now.is_some_and(|now| now.settings != plan.settings) {
                        // It failed under what is no longer asked for.
                        slot.forget_failures();
                    }
                    continue;
                }
                tokio::select! {
                    changed = plans.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(wait.min(LOOK)) => {}
                }
            }
        }
    }
}
