//! Pools through reloads and failures of the resolver. The resolver is scripted; nothing leaves the process.

use std::collections::HashMap;
use std::io;

use futures::FutureExt;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

use super::*;
use crate::observe::Metrics;
use crate::upstream::discovery::Resolver;

/// Answers as told: an address, or a failure for names it does not know. Asks may be held back.
#[derive(Clone)]
struct Names {
    known: Arc<Mutex<HashMap<&'static str, &'static str>>>,
    open: watch::Sender<bool>,
}

impl Names {
    fn new(known: &[(&'static str, &'static str)]) -> Self {
        Self { known: Arc::new(Mutex::new(known.iter().copied().collect())), open: watch::Sender::new(true) }
    }

    fn registry(&self) -> TargetRegistry {
        let names = self.clone();
        TargetRegistry::with_resolver(Resolver::new(move |name, port| {
            let names = names.clone();
            Box::pin(async move {
                names.open.subscribe().wait_for(|open| *open).await.map_err(io::Error::other)?;
                let known = names.known.lock();
                let ip = known.get(&*name).ok_or_else(|| io::Error::other("no such name"))?;
                Ok(vec![SocketAddr::new(ip.parse().unwrap(), port)])
            })
        }))
    }
}

fn config(targets: &[&str], attempts: u32) -> UpstreamConfig {
    serde_json::from_value(json!({ "targets": targets, "retry": { "attempts": attempts } })).unwrap()
}

fn pool(config: &UpstreamConfig, registry: &TargetRegistry, before: Option<&Pool>) -> Pool {
    let metrics = Metrics::new().unwrap().upstream("pool");
    let transport = Arc::new(Transport::load(config, std::path::Path::new("")).unwrap());
    Pool::new("pool".into(), config, transport, None, registry, metrics, before)
}

fn addresses(pool: &Pool) -> Vec<String> {
    let mut all: Vec<_> = pool.status().targets.iter().map(|target| target.address.to_string()).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_name_that_fails_takes_no_other_target_with_it() {
    let registry = Names::new(&[("good.test", "10.0.0.2")]).registry();
    let pool = pool(&config(&["10.0.0.1:80", "good.test:80", "bad.test:80"], 2), &registry, None);
    pool.start(&Handle::current()).await;
    assert_eq!(addresses(&pool), ["10.0.0.1:80", "10.0.0.2:80"]);
}

#[tokio::test]
async fn a_changed_pool_serves_with_what_its_names_stood_for_while_the_resolver_fails() {
    let names = Names::new(&[("a.test", "10.0.0.1"), ("b.test", "10.0.0.2")]);
    let registry = names.registry();
    let before = pool(&config(&["a.test:80", "b.test:80"], 2), &registry, None);
    before.start(&Handle::current()).await;
    names.known.lock().clear();
    let after = pool(&config(&["a.test:80"], 3), &registry, Some(&before));
    after.start(&Handle::current()).await;
    assert_eq!(addresses(&after), ["10.0.0.1:80"]);
    assert_eq!(addresses(&before), ["10.0.0.1:80", "10.0.0.2:80"]);
}

#[tokio::test]
async fn a_pool_whose_names_are_known_does_not_wait_for_the_resolver() {
    let names = Names::new(&[("a.test", "10.0.0.1")]);
    let registry = names.registry();
    let before = pool(&config(&["a.test:80"], 2), &registry, None);
    before.start(&Handle::current()).await;
    names.open.send_replace(false);
    let after = pool(&config(&["a.test:80"], 3), &registry, Some(&before));
    assert!(after.start(&Handle::current()).now_or_never().is_some());
    assert_eq!(addresses(&after), ["10.0.0.1:80"]);
}

#[tokio::test]
async fn a_lookup_goes_on_when_nobody_waits_for_it_any_more() {
    let names = Names::new(&[("a.test", "10.0.0.1")]);
    names.open.send_replace(false);
    let pool = pool(&config(&["a.test:80"], 2), &names.registry(), None);
    // Given up on, as when the first wait is over.
    assert!(pool.start(&Handle::current()).now_or_never().is_none());
    names.open.send_replace(true);
    let begun = std::time::Instant::now();
    while addresses(&pool) != ["10.0.0.1:80"] {
        assert!(begun.elapsed() < Duration::from_secs(5));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_pool_that_is_started_again_goes_on_as_it_is() {
    let names = Names::new(&[("a.test", "10.0.0.1")]);
    let pool = pool(&config(&["a.test:80"], 2), &names.registry(), None);
    pool.start(&Handle::current()).await;
    names.open.send_replace(false);
    assert!(pool.start(&Handle::current()).now_or_never().is_some());
    assert_eq!(addresses(&pool), ["10.0.0.1:80"]);
}

#[tokio::test]
async fn a_pool_at_rest_asks_for_nothing() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let registry = TargetRegistry::with_resolver(Resolver::new(move |name, _| {
        seen.lock().push(name);
        Box::pin(async { Ok(Vec::new()) })
    }));
    let pool = pool(&config(&["a.test:80", "10.0.0.1:80"], 2), &registry, None);
    tokio::task::yield_now().await;
    assert!(asked.lock().is_empty());
    assert!(pool.pick(0, &[]).is_none());
}

#[tokio::test]
async fn targets_of_pools_that_are_checked_alike_are_the_same() {
    let registry = Names::new(&[]).registry();
    let (one, two) = (config(&["10.0.0.1:80"], 2), config(&["10.0.0.1:80"], 3));
    let (one, two) = (pool(&one, &registry, None), pool(&two, &registry, None));
    one.start(&Handle::current()).await;
    two.start(&Handle::current()).await;
    let _busy = one.pick(0, &[]).unwrap();
    assert_eq!(two.status().targets[0].in_flight, 1);
}
