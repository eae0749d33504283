//! What an operator may see and reset: how a key stands with each limit, here or over all nodes.

use std::sync::Arc;
use std::time::Duration;

use portreeve_plugin::prelude::*;
use portreeve_plugin::{Account, Limits, NoAccount, Standing, Subject};

use crate::RateLimit;
use crate::store::Request;

#[async_trait]
impl Limits for RateLimit {
    async fn account(&self, subject: &Subject) -> Result<Account, NoAccount> {
        // Before the moment that waits are counted from: rounded up to seconds, the end of a day is then that end.
        let now = self.clock.wall();
        let request = self.of_subject(subject)?;
        let (store, standings) = match &self.shared {
            None => ("local", self.table.peek(&request.policy.limits, request.key, request.now)),
            Some(shared) => (shared.word(), shared.look(&request, &self.clock).await.map_err(NoAccount::Failed)?),
        };
        let limits = request.policy.told().zip(&standings).map(|((limit, most), standing)| {
            let remaining = standing.remaining.min(most);
            let used = most - remaining;
            Standing {
                limit: limit.to_owned(),
                most,
                used,
                remaining,
                resets_at: (used > 0).then(|| now.checked_add(Duration::from_nanos(standing.more_in))).flatten(),
            }
        });
        Ok(Account { store, limits: limits.collect() })
    }

    async fn reset(&self, subject: &Subject) -> Result<(), NoAccount> {
        let request = self.of_subject(subject)?;
        if let Some(shared) = &self.shared {
            shared.forget(&request, &self.clock).await.map_err(NoAccount::Failed)?;
        }
        self.table.forget(request.key);
        Ok(())
    }
}

impl RateLimit {
    /// What a request of this subject would count in, without counting.
    fn of_subject(&self, subject: &Subject) -> Result<Request, NoAccount> {
        let consumer = &subject.consumer;
        if subject.key.is_empty() && self.exempt.has_consumer(consumer) {
            return Err(NoAccount::NotCounted("it is exempt".to_owned()));
        }
        let tierless = |why: String| NoAccount::NotCounted(format!("{why}; give tier"));
        let policy = self.policies.of(Some(consumer)).map_err(tierless)?;
        let tag = self.shared.as_ref().map_or(Ok(0), |shared| shared.tag_of_subject(&self.by, subject))?;
        Ok(Request {
            policy: Arc::clone(policy),
            key: self.table.seeds.digest_of_subject(&self.by, subject)?,
            tag,
            cost: 0,
            now: self.table.moment(&policy.limits, &self.clock),
            max_keys: self.max_keys,
        })
    }
}
