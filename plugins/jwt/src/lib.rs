//! `jwt`: lets only requests with a valid JSON Web Token pass, and says who calls.
//!
//! A request goes down this page: [`Jwt::on_request`] finds the token, looks for it among those already verified, and else
//! takes it apart, checks its signature with a key of the right kind, checks its claims, and makes the consumer.

mod algorithm;
mod bearer;
mod build;
mod cache;
mod claims;
mod config;
#[doc(hidden)]
pub mod fuzzing;
mod jwk;
mod key;
mod keys;
mod keyset;
mod refusal;
mod remote;
#[cfg(test)]
mod tests;
mod token;
mod who;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portreeve_plugin::prelude::*;

use crate::algorithm::Algorithms;
use crate::bearer::Bearer;
use crate::cache::Verified;
use crate::claims::Checks;
pub use crate::config::Config;
use crate::keys::Keys;
use crate::refusal::{Challenges, Refusal};
use crate::token::Token;
use crate::who::Who;

/// The plugin.
#[derive(Debug)]
pub struct Jwt {
    bearer: Bearer,
    forward_token: bool,
    algorithms: Algorithms,
    keys: Keys,
    checks: Checks,
    who: Who,
    verified: Arc<Verified>,
    challenges: Challenges,
    clock: Clock,
    hits: Counter,
    misses: Counter,
}

#[async_trait]
impl Plugin for Jwt {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    fn request_fields(&self) -> RequestFields {
        let header = self.bearer.header().clone();
        let removed = (!self.forward_token).then(|| header.clone());
        RequestFields::none().reads([header]).removes(removed)
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let found = match self.bearer.find(cx.headers()) {
            Ok(token) => self.known(token).ok_or(token),
            Err(refusal) => return Ok(self.challenges.reply(refusal).into()),
        };
        let consumer = match found {
            Ok(consumer) => Ok(consumer),
            Err(token) => self.verify(token).await,
        };
        match consumer {
            Ok(consumer) => {
                cx.set_consumer(consumer);
                if !self.forward_token {
                    cx.remove_header(self.bearer.header());
                }
                Ok(Flow::Continue)
            }
            Err(refusal) => Ok(self.challenges.reply(refusal).into()),
        }
    }
}

impl Jwt {
    /// The consumer of a token verified before.
    fn known(&self, token: &[u8]) -> Option<Arc<Consumer>> {
        let found = self.verified.find(token, self.keys.generation()?, self.now());
        if found.is_some() {
            self.hits.inc();
        }
        found
    }

    /// Verifies a token, makes its consumer, and remembers both.
    async fn verify(&self, bytes: &[u8]) -> Result<Arc<Consumer>, Refusal> {
        self.misses.inc();
        let token = Token::parse(bytes)?;
        let generation = self.keys.verify(&token, self.algorithms).await?;
        let claims = token.claims()?;
        let until = self.checks.pass(&claims, self.now())?;
        let consumer = Arc::new(self.who.consumer(claims)?);
        self.verified.keep(bytes, consumer.clone(), generation, until);
        Ok(consumer)
    }

    /// Since 1970.
    fn now(&self) -> Duration {
        self.clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}
