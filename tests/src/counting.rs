//! A gateway that counts in a store, for tests of limits that nodes share: a limit for each name in `x-who`.

use crate::{Gateway, until};

/// A gateway that counts in a store.
#[derive(Debug)]
pub struct Counting(Gateway);

impl Counting {
    /// One that counts in this Redis, which is written as in `store: { redis: { … } }`; `more` are further settings of the
    /// step.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn spawn(redis: &str, rate: &str, more: &str) -> Self {
        Self(Gateway::spawn(&Self::yaml(redis, rate, more)).await)
    }

    fn yaml(redis: &str, rate: &str, more: &str) -> String {
        format!(
            "routes:
  - name: all
    match: {{ path: '/**' }}
    public: true
    plugins:
      - rate-limit:
          by: '${{request.headers.x-who}}'
          limit: {{ rate: {rate} }}
          store: {{ redis: {{ {redis} }} }}
          {more}
    respond: {{ status: 200 }}
"
        )
    }

    /// What is answered to one request of this name.
    pub async fn status(&self, who: &str) -> u16 {
        self.0.get("/").header("x-who", who).await.status
    }

    /// One of the step's metrics: `store_up`, `store_failures_total`, `store_fallbacks_total`.
    pub async fn metric(&self, name: &str) -> Option<u64> {
        let name = format!("portreeve_plugin_rate_limit_{name}{{step=\"all/rate-limit\"}}");
        self.0.admin().count(&name).await
    }

    /// Waits until it sees that its store is there, or that it is not.
    ///
    /// # Panics
    /// When it does not.
    pub async fn sees(&self, is_up: bool) {
        let wanted = Some(u64::from(is_up));
        until("the store is seen as it is", async || (self.metric("store_up").await == wanted).then_some(())).await;
    }
}
