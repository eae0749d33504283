//! A gateway that counts in a store, for tests of limits that nodes share: a limit for each name in `x-who`.

use serde_json::Value;

use crate::{Ask, Gateway, Origin, until};

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
        Self::ending("respond: { status: 200 }", redis, &format!("{{ rate: {rate} }}"), more).await
    }

    /// One before this origin, which says in `x-cost` what its answers cost. `limits` are written as in `limit: …`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn charging(origin: &Origin, redis: &str, limits: &str, more: &str) -> Self {
        let end = format!("upstream: a\nupstreams: {{ a: {{ targets: ['{}'] }} }}", origin.address());
        Self::ending(&end, redis, limits, &format!("cost: {{ response_header: x-cost }}\n          {more}")).await
    }

    async fn ending(end: &str, redis: &str, limits: &str, more: &str) -> Self {
        let yaml = format!(
            "routes:
  - name: all
    match: {{ path: '/**' }}
    public: true
    plugins:
      - rate-limit:
          by: '${{request.headers.x-who}}'
          limit: {limits}
          store: {{ redis: {{ {redis} }} }}
          {more}
    {end}
"
        );
        Self(Gateway::spawn(&yaml).await)
    }

    /// A request of this name.
    pub fn ask(&self, who: &str) -> Ask {
        self.0.get("/").header("x-who", who)
    }

    /// What is answered to one request of this name.
    pub async fn status(&self, who: &str) -> u16 {
        self.ask(who).await.status
    }

    /// How this name stands with each limit by what the store knows, as the admin port tells it.
    pub async fn told(&self, who: &str) -> Value {
        self.0.admin().json(&format!("/api/v1/limits?step=all/rate-limit&key={who}")).await[0]["limits"].take()
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
