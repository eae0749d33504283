//! What an operator may see of a key: how many of its places are taken.

use portreeve_plugin::prelude::*;
use portreeve_plugin::{Account, Limits, NoAccount, Standing, Subject};

use crate::ConcurrencyLimit;

#[async_trait]
impl Limits for ConcurrencyLimit {
    async fn account(&self, subject: &Subject) -> Result<Account, NoAccount> {
        let (most, key) = self.of_subject(subject)?;
        let used = u64::from(self.shared.gates.inside_of(key));
        let limit = Standing {
            limit: format!("{most} at once"),
            most,
            used,
            remaining: most.saturating_sub(used),
            // When a request ends is not known.
            resets_at: None,
        };
        Ok(Account { store: "local", limits: vec![limit] })
    }

    async fn reset(&self, subject: &Subject) -> Result<(), NoAccount> {
        self.of_subject(subject)?;
        Err(NoAccount::NotCounted("a place is given back by the request that has it, when that ends".to_owned()))
    }
}

impl ConcurrencyLimit {
    /// How many places a subject has, and the key that its requests have.
    fn of_subject(&self, subject: &Subject) -> Result<(u64, u128), NoAccount> {
        let tierless = |why: String| NoAccount::NotCounted(format!("{why}; give tier"));
        let most = self.numbers.of(Some(&subject.consumer)).map_err(tierless)?;
        Ok((u64::from(most.get()), self.shared.seeds.digest_of_subject(&self.by, subject)?))
    }
}
