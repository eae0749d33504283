//! What a plugin lets its operator see, and give back, of those it limits.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

use crate::Error;
use crate::consumer::Consumer;
use crate::template::{Datum, Reference, Scope};

/// Whose limits are meant.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// The consumer, with its tier and groups as far as they are known. Where a key is given, only its tier counts.
    pub consumer: Arc<Consumer>,
    /// The parts of a key as requests have rendered them, in the order of the file; empty: those of the consumer.
    pub key: Vec<String>,
}

/// How a subject stands with everything that one step holds it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Where it is counted: `local`, or a word for what nodes share.
    pub store: &'static str,
    /// How it stands with each limit.
    pub limits: Vec<Standing>,
}

/// How a subject stands with one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The limit in the form of the file: `100/min`.
    pub limit: String,
    /// How much there is when nothing is used.
    pub most: u64,
    /// What is used of it.
    pub used: u64,
    /// What is left.
    pub remaining: u64,
    /// When something comes back: for a period of the calendar its end. `None` if nothing is used.
    pub resets_at: Option<SystemTime>,
}

/// Why there is no account.
#[derive(Debug)]
pub enum NoAccount {
    /// The step does not count this subject, or not by what is known of it. In words that say what would help.
    NotCounted(String),
    /// It does, and cannot tell.
    Failed(Error),
}

/// What a plugin that limits somebody offers to its operator, by [`Plugin::limits`](crate::Plugin::limits). Never asked on
/// the request path; every wait in it has a deadline.
#[async_trait]
pub trait Limits: Send + Sync {
    /// How a subject stands. Takes nothing from it.
    async fn account(&self, subject: &Subject) -> Result<Account, NoAccount>;

    /// Gives a subject back all that it has used.
    async fn reset(&self, subject: &Subject) -> Result<(), NoAccount>;
}

/// What is known when there is no request: the consumer, and nothing besides.
impl Scope for Consumer {
    fn resolve<'s>(&'s self, reference: &Reference) -> Option<Datum<'s>> {
        match reference {
            Reference::ConsumerId => Some(Datum::text(&self.id)),
            Reference::ConsumerTier => self.tier.as_deref().map(Datum::text),
            Reference::ConsumerGroups => Some(Datum::List(&self.groups)),
            Reference::ConsumerScopes => Some(Datum::List(&self.scopes)),
            Reference::ConsumerMethod => self.method.as_deref().map(Datum::text),
            Reference::ConsumerCredential => self.credential.as_deref().map(Datum::text),
            _ => None,
        }
    }
}
