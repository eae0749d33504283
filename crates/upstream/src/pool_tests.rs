//! Pools through reloads, failures of DNS and orders of operators, in paused time. DNS is scripted; nothing leaves the process.

use std::collections::HashMap;
use std::net::IpAddr;

use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::Mutex;
use portreeve_config::Named;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;
use crate::discovery::{Answered, Family, Lookup, Service};
use crate::metrics::Metrics;
use crate::{Operation, Resolver, TargetState, TargetStatus};

#[path = "membership_tests.rs"]
mod membership;

/// Answers as told. Names and services that it does not know are failures. Asks may be held back.
#[derive(Clone)]
struct Names {
    hosts: Arc<Mutex<HashMap<String, Vec<&'static str>>>>,
    services: Arc<Mutex<HashMap<String, Vec<Service>>>>,
    open: watch::Sender<bool>,
    asked: Arc<Mutex<Vec<String>>>,
    ttl: Duration,
}

impl Names {
    fn new(hosts: &[(&str, &'static str)]) -> Self {
        let names = Self {
            hosts: Arc::default(),
            services: Arc::default(),
            open: watch::Sender::new(true),
            asked: Arc::default(),
            ttl: Duration::from_secs(10),
        };
        for (name, ip) in hosts {
            names.is(name, &[ip]);
        }
        names
    }

    fn is(&self, name: &str, ips: &[&'static str]) {
        self.hosts.lock().insert(name.to_owned(), ips.to_vec());
    }

    fn serves(&self, name: &str, services: &[(u16, u16, u16, &str)]) {
        let service = |(priority, weight, port, host): &(u16, u16, u16, &str)| Service {
            priority: *priority,
            weight: *weight,
            port: *port,
            host: (*host).to_owned(),
        };
        self.services.lock().insert(name.to_owned(), services.iter().map(service).collect());
    }

    fn fail(&self) {
        self.hosts.lock().clear();
        self.services.lock().clear();
    }

    fn resolver(&self) -> Resolver {
        Resolver::asking(self.clone())
    }

    fn asked(&self) -> usize {
        self.asked.lock().len()
    }
}

#[async_trait]
impl Lookup for Names {
    async fn addresses(&self, name: &str, family: Family) -> Result<Answered<IpAddr>, String> {
        if family == Family::V4 {
            self.asked.lock().push(name.to_owned());
        }
        self.open.subscribe().wait_for(|open| *open).await.map_err(|error| error.to_string())?;
        let known = self.hosts.lock().get(name).cloned().ok_or("no answer from DNS: it is scripted so")?;
        let all = known.iter().map(|ip| ip.parse::<IpAddr>().unwrap());
        Ok(Answered { records: all.filter(|ip| ip.is_ipv4() == (family == Family::V4)).collect(), holds: self.ttl })
    }

    async fn services(&self, name: &str) -> Result<Answered<Service>, String> {
        self.asked.lock().push(name.to_owned());
        let known = self.services.lock().get(name).cloned().ok_or("no answer from DNS: it is scripted so")?;
        Ok(Answered { records: known, holds: self.ttl })
    }
}

fn config(settings: Value) -> UpstreamConfig {
    serde_json::from_value(settings).unwrap()
}

fn of(targets: &[&str], attempts: u32) -> UpstreamConfig {
    config(json!({ "targets": targets, "retry": { "attempts": attempts } }))
}

fn pool(config: &UpstreamConfig, names: &Names, registry: &TargetRegistry, before: Option<&Pool>) -> Pool {
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap().upstream("pool");
    let transport = Arc::new(Transport::load(config, std::path::Path::new("")).unwrap());
    let of_before = before.map(Pool::sources);
    let sources = TargetSources::new(config, std::path::Path::new(""), names.resolver(), of_before).unwrap();
    Pool::new(
        Parts { name: "pool".into(), config, transport, key: None, metrics, sources, near: None },
        registry,
        before,
    )
}

async fn started(config: &UpstreamConfig, names: &Names, registry: &TargetRegistry, before: Option<&Pool>) -> Pool {
    let pool = pool(config, names, registry, before);
    pool.start(&Handle::current()).await;
    pool
}

fn addresses(pool: &Pool) -> Vec<String> {
    pool.status().targets.iter().map(|target| target.address.to_string()).collect()
}

fn target(pool: &Pool, address: &str) -> TargetStatus {
    pool.status().targets.into_iter().find(|target| target.address.to_string() == address).unwrap()
}

/// Who is picked in so many picks.
fn picked(pool: &Pool) -> Vec<String> {
    let mut all: Vec<_> = (0..64).filter_map(|_| Some(pool.pick(0, &[]).ok()?.0.target.address.to_string())).collect();
    all.sort();
    all.dedup();
    all
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_fails_takes_no_other_target_with_it() {
    let names = Names::new(&[("good.test", "10.0.0.2")]);
    let pool =
        started(&of(&["10.0.0.1:80", "good.test:80", "bad.test:80"], 2), &names, &TargetRegistry::default(), None)
            .await;
    assert_eq!(addresses(&pool), ["10.0.0.1:80", "10.0.0.2:80"]);
    let sources = pool.status().sources;
    assert_eq!((sources[0].source.as_str(), sources[0].targets), ("dns good.test:80", 1));
    assert!(sources[1].error.as_deref().unwrap().contains("no answer from DNS"), "{sources:?}");
}

#[tokio::test(start_paused = true)]
async fn a_changed_pool_serves_with_what_its_names_stood_for_while_dns_fails() {
    let (names, registry) = (Names::new(&[("a.test", "10.0.0.1"), ("b.test", "10.0.0.2")]), TargetRegistry::default());
    let before = started(&of(&["a.test:80", "b.test:80"], 2), &names, &registry, None).await;
    names.fail();
    let after = started(&of(&["a.test:80"], 3), &names, &registry, Some(&before)).await;
    assert_eq!(addresses(&after), ["10.0.0.1:80"]);
    assert_eq!(addresses(&before), ["10.0.0.1:80", "10.0.0.2:80"]);
}

#[tokio::test(start_paused = true)]
async fn a_pool_whose_names_are_known_does_not_wait_for_dns() {
    let (names, registry) = (Names::new(&[("a.test", "10.0.0.1")]), TargetRegistry::default());
    let before = started(&of(&["a.test:80"], 2), &names, &registry, None).await;
    names.open.send_replace(false);
    let after = pool(&of(&["a.test:80"], 3), &names, &registry, Some(&before));
    assert!(after.start(&Handle::current()).now_or_never().is_some());
    assert_eq!(addresses(&after), ["10.0.0.1:80"]);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_goes_on_when_nobody_waits_for_it_any_more() {
    let (names, registry) = (Names::new(&[("a.test", "10.0.0.1")]), TargetRegistry::default());
    names.open.send_replace(false);
    let pool = pool(&of(&["a.test:80"], 2), &names, &registry, None);
    // Given up on, as when the first wait is over.
    assert!(pool.start(&Handle::current()).now_or_never().is_none());
    names.open.send_replace(true);
    pass(1).await;
    assert_eq!(addresses(&pool), ["10.0.0.1:80"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_waits_for_dns_only_so_long_and_a_late_answer_joins() {
    let (names, registry) = (Names::new(&[("a.test", "10.0.0.1")]), TargetRegistry::default());
    names.open.send_replace(false);
    let begun = tokio::time::Instant::now();
    let pool = started(&of(&["a.test:80"], 2), &names, &registry, None).await;
    assert_eq!((begun.elapsed(), pool.pick(0, &[]).is_err()), (FIRST_RESOLVE, true));
    names.open.send_replace(true);
    pass(1).await;
    assert!(pool.pick(0, &[]).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_started_again_goes_on_as_it_is() {
    let names = Names::new(&[("a.test", "10.0.0.1")]);
    let pool = started(&of(&["a.test:80"], 2), &names, &TargetRegistry::default(), None).await;
    names.open.send_replace(false);
    assert!(pool.start(&Handle::current()).now_or_never().is_some());
    assert_eq!(addresses(&pool), ["10.0.0.1:80"]);
}

#[tokio::test(start_paused = true)]
async fn a_pool_at_rest_asks_for_nothing_and_one_that_is_dropped_asks_no_more() {
    let (names, registry) = (Names::new(&[("a.test", "10.0.0.1")]), TargetRegistry::default());
    let pool = pool(&of(&["a.test:80", "10.0.0.1:80"], 2), &names, &registry, None);
    pass(100).await;
    assert_eq!((names.asked(), pool.pick(0, &[]).is_err()), (0, true));
    pool.start(&Handle::current()).await;
    pass(100).await;
    let asked = names.asked();
    assert!(asked > 5);
    drop(pool);
    pass(100).await;
    assert_eq!((names.asked(), registry.watched_now()), (asked, 0));
}

#[tokio::test(start_paused = true)]
async fn targets_of_pools_that_are_checked_alike_are_the_same() {
    let (names, registry) = (Names::new(&[]), TargetRegistry::default());
    let one = started(&of(&["10.0.0.1:80"], 2), &names, &registry, None).await;
    let two = started(&of(&["10.0.0.1:80"], 3), &names, &registry, None).await;
    let _busy = one.pick(0, &[]).unwrap();
    assert_eq!((two.status().targets[0].in_flight, registry.watched_now()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_holds_for_its_time_to_live_within_bounds() {
    for (ttl, least, most) in [(10, 10.0, 11.2), (0, 1.0, 1.3), (86_400, 30.0, 33.2)] {
        let mut names = Names::new(&[("a.test", "10.0.0.1")]);
        names.ttl = Duration::from_secs(ttl);
        let pool = started(&of(&["a.test:80"], 2), &names, &TargetRegistry::default(), None).await;
        let (begun, asked) = (tokio::time::Instant::now(), names.asked());
        while names.asked() < asked + 20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let each = begun.elapsed().as_secs_f64() / 20.0;
        assert!((least..most).contains(&each), "a TTL of {ttl} s is asked for every {each} s");
        drop(pool);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_a_name_stands_for_now_is_picked_and_the_others_are_not() {
    let names = Names::new(&[("a.test", "10.0.0.1")]);
    let pool = started(&of(&["a.test:80"], 2), &names, &TargetRegistry::default(), None).await;
    names.is("a.test", &["10.0.0.3", "10.0.0.2", "2001:db8::1", "10.0.0.2"]);
    pass(12).await;
    assert_eq!(picked(&pool), ["10.0.0.2:80", "10.0.0.3:80", "[2001:db8::1]:80"]);
}

#[tokio::test(start_paused = true)]
async fn empty_answers_and_failures_keep_the_last_good_state_and_are_counted() {
    let names = Names::new(&[("a.test", "10.0.0.1")]);
    let pool = started(&of(&["a.test:80"], 2), &names, &TargetRegistry::default(), None).await;
    names.is("a.test", &[]);
    pass(60).await;
    assert_eq!(picked(&pool), ["10.0.0.1:80"]);
    let counts = &pool.metrics.discoveries;
    assert!(counts.counted("empty") >= 4 && counts.counted("failed") == 0);
    assert!(pool.status().sources[0].error.as_deref().unwrap().contains("nobody was found"));
    names.fail();
    let asked = names.asked();
    pass(600).await;
    assert_eq!(picked(&pool), ["10.0.0.1:80"]);
    // 1 s after the first, doubling up to 30 s: far fewer than one a second.
    assert!((15..40).contains(&(names.asked() - asked)), "{}", names.asked() - asked);
    assert!(counts.counted("failed") >= 15);
    names.is("a.test", &["10.0.0.9"]);
    pass(40).await;
    assert_eq!(picked(&pool), ["10.0.0.9:80"]);
    assert!(pool.status().sources[0].error.is_none());
}

#[tokio::test(start_paused = true)]
async fn services_bring_hosts_ports_weights_and_the_first_of_priorities() {
    let names = Names::new(&[("one.test.", "10.0.0.1"), ("two.test.", "10.0.0.2"), ("last.test.", "10.0.0.3")]);
    let srv = "_http._tcp.users.test";
    names.serves(
        srv,
        &[(10, 3, 81, "one.test."), (10, 0, 82, "two.test."), (20, 9, 83, "last.test."), (10, 9, 84, "gone.test.")],
    );
    let pool = started(&config(json!({ "discover": { "srv": srv } })), &names, &TargetRegistry::default(), None).await;
    let told = pool
        .status()
        .targets
        .into_iter()
        .map(|target| (target.address.to_string(), target.weight, target.name.unwrap().to_string(), target.state));
    let told: Vec<_> = told.collect();
    let expected = |address: &str, weight, name: &str, state| (address.to_owned(), weight, name.to_owned(), state);
    assert_eq!(
        told,
        [
            expected("10.0.0.1:81", 3, "one.test", TargetState::Up),
            expected("10.0.0.2:82", 1, "two.test", TargetState::Up),
            expected("10.0.0.3:83", 9, "last.test", TargetState::Up),
        ]
    );
    assert_eq!(picked(&pool), ["10.0.0.1:81", "10.0.0.2:82"]);
    // "Decidedly not available at this domain": nothing to believe, what was there stays.
    names.serves(srv, &[(0, 0, 0, ".")]);
    pass(12).await;
    assert_eq!(picked(&pool), ["10.0.0.1:81", "10.0.0.2:82"]);
    names.serves(srv, &[(20, 9, 83, "last.test.")]);
    pass(12).await;
    assert_eq!(picked(&pool), ["10.0.0.3:83"]);
}

#[tokio::test(start_paused = true)]
async fn two_entries_for_one_address_are_one_target_with_both_shares() {
    let names = Names::new(&[("a.test", "10.0.0.1")]);
    let both = json!({ "targets": [{ "address": "10.0.0.1:80", "weight": 3 }, "a.test:80", { "address": "10.0.0.2:80", "weight": 0 }] });
    let pool = started(&config(both), &names, &TargetRegistry::default(), None).await;
    assert_eq!((target(&pool, "10.0.0.1:80").weight, addresses(&pool).len()), (4, 2));
    assert_eq!(target(&pool, "10.0.0.2:80").state, TargetState::NoWeight);
    assert_eq!(picked(&pool), ["10.0.0.1:80"]);
}

#[tokio::test(start_paused = true)]
async fn a_drained_target_gets_no_new_request_and_shows_when_it_is_empty() {
    let (names, registry) = (Names::new(&[]), TargetRegistry::default());
    let pool = started(&of(&["10.0.0.1:80", "10.0.0.2:80"], 2), &names, &registry, None).await;
    let busy: Vec<_> = (0..4).map(|_| pool.pick(0, &[]).unwrap().1).collect();
    let now = pool.operate("10.0.0.1:80", Operation::Drain, "10.0.0.9").unwrap();
    assert_eq!((now.state, now.in_flight, now.available), (TargetState::Draining, 2, false));
    assert_eq!(now.operator.unwrap().by.as_ref(), "10.0.0.9");
    assert_eq!(picked(&pool), ["10.0.0.2:80"]);
    drop(busy);
    assert_eq!(target(&pool, "10.0.0.1:80").state, TargetState::Drained);
    let now = pool.operate("10.0.0.1:80", Operation::Enable, "10.0.0.9").unwrap();
    assert_eq!((now.state, now.operator), (TargetState::Up, None));
    assert_eq!(picked(&pool).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_weight_of_the_operator_takes_the_place_of_the_files() {
    let (names, registry) = (Names::new(&[]), TargetRegistry::default());
    let pool = started(&of(&["10.0.0.1:80", "10.0.0.2:80"], 2), &names, &registry, None).await;
    let weigh = |weight| pool.operate("10.0.0.1:80", Operation::Weight(weight), "x").unwrap();
    assert_eq!((weigh(Some(3)).weight, weigh(Some(3)).written_weight), (3, 1));
    let first = (0..40).filter(|_| pool.pick(0, &[]).unwrap().0.target.address.to_string() == "10.0.0.1:80");
    assert_eq!(first.count(), 30);
    assert_eq!(weigh(Some(0)).state, TargetState::NoWeight);
    assert_eq!(picked(&pool), ["10.0.0.2:80"]);
    assert_eq!((weigh(None).weight, weigh(None).operator), (1, None));
}

#[tokio::test(start_paused = true)]
async fn an_order_outlives_a_reload_until_the_file_changes_that_target() {
    let (names, registry) = (Names::new(&[]), TargetRegistry::default());
    let first = of(&["10.0.0.1:80", "10.0.0.2:80"], 2);
    let pool = started(&first, &names, &registry, None).await;
    pool.operate("10.0.0.1:80", Operation::Disable, "x").unwrap();
    // Another key, another target: the order stays.
    let second = of(&["10.0.0.1:80", "10.0.0.3:80"], 3);
    let pool = started(&second, &names, &registry, Some(&pool)).await;
    assert_eq!(target(&pool, "10.0.0.1:80").state, TargetState::Disabled);
    assert_eq!(picked(&pool), ["10.0.0.3:80"]);
    let third = config(json!({ "targets": [{ "address": "10.0.0.1:80", "weight": 2 }, "10.0.0.3:80"] }));
    let pool = started(&third, &names, &registry, Some(&pool)).await;
    assert_eq!(target(&pool, "10.0.0.1:80").state, TargetState::Up);
    assert_eq!(picked(&pool).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_order_for_a_found_target_ends_when_the_target_is_gone() {
    let (names, registry) = (Names::new(&[]), TargetRegistry::default());
    names.is("a.test", &["10.0.0.1", "10.0.0.2"]);
    let pool = started(&of(&["a.test:80"], 2), &names, &registry, None).await;
    pool.operate("10.0.0.1:80", Operation::Drain, "x").unwrap();
    // A failing resolver is no reason to forget it, nor is a reload.
    names.fail();
    pass(60).await;
    assert_eq!(target(&pool, "10.0.0.1:80").state, TargetState::Drained);
    names.is("a.test", &["10.0.0.2"]);
    pass(40).await;
    names.is("a.test", &["10.0.0.1", "10.0.0.2"]);
    pass(40).await;
    assert_eq!(target(&pool, "10.0.0.1:80").state, TargetState::Up, "whoever has the address now is another");
    assert_eq!(registry.orders().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_order_for_nobody_names_those_there_are() {
    let (names, registry) = (Names::new(&[]), TargetRegistry::default());
    let pool = started(&of(&["10.0.0.1:80", "[::1]:81"], 2), &names, &registry, None).await;
    for wrong in ["10.0.0.7:80", "10.0.0.1", "users.test:80", ""] {
        let error = pool.operate(wrong, Operation::Drain, "x").unwrap_err().to_string();
        assert!(error.ends_with(&format!("has no target {wrong}; it has 10.0.0.1:80, [::1]:81")), "{error}");
    }
    assert!(pool.operate("[::1]:81", Operation::Drain, "x").is_ok());
}

#[tokio::test]
async fn a_disabled_target_is_not_checked_and_proves_itself_again() {
    let (names, registry) = (Names::new(&[]), TargetRegistry::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let checked = config(json!({ "targets": [address], "health": { "tcp": true, "interval": "1h" } }));
    let pool = started(&checked, &names, &registry, None).await;
    assert_eq!((target(&pool, &address).state, registry.watched_now()), (TargetState::Up, 1));
    let now = pool.operate(&address, Operation::Disable, "x").unwrap();
    assert_eq!((now.state, registry.watched_now(), now.last_check), (TargetState::Disabled, 0, None));
    assert!(pool.pick(0, &[]).is_err());
    let now = pool.operate(&address, Operation::Enable, "x").unwrap();
    assert_eq!(now.state, TargetState::Unproven);
    pool.members.first_round().await;
    assert_eq!(target(&pool, &address).state, TargetState::Up);
}

#[tokio::test]
async fn newcomers_are_checked_before_those_they_come_for_go() {
    let mut names = Names::new(&[("a.test", "127.0.0.1")]);
    names.ttl = Duration::from_millis(1);
    let (registry, listener) = (TargetRegistry::default(), tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    let checked = json!({ "targets": [format!("a.test:{port}")], "health": { "tcp": true, "interval": "1h" } });
    let pool = started(&config(checked), &names, &registry, None).await;
    assert_eq!(picked(&pool), [format!("127.0.0.1:{port}")]);
    names.is("a.test", &["127.0.0.2"]);
    let (begun, moved) = (std::time::Instant::now(), format!("127.0.0.2:{port}"));
    while picked(&pool) != [moved.as_str()] {
        assert_eq!(picked(&pool), [format!("127.0.0.1:{port}")], "somebody can be picked at every moment");
        assert!(begun.elapsed() < Duration::from_secs(20));
        // As often as anything else has run.
        tokio::task::yield_now().await;
    }
}

/// One step in the life of a registry.
#[derive(Debug, Clone)]
enum Step {
    /// A reload puts another pool in the place of this one.
    Reload { place: usize, targets: Vec<u8>, way: usize },
    /// A reload leaves it out.
    Remove { place: usize },
    /// A request begins there.
    Pick { place: usize },
    /// The oldest of the requests ends.
    End,
    /// An operator speaks.
    Order { place: usize, target: u8, operation: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = 0_usize..3;
    let step = prop_oneof![
        (place.clone(), prop::collection::vec(1_u8..6, 1..4), 0_usize..3)
            .prop_map(|(place, targets, way)| Step::Reload { place, targets, way }),
        place.clone().prop_map(|place| Step::Remove { place }),
        place.clone().prop_map(|place| Step::Pick { place }),
        Just(Step::End),
        (place, 1_u8..6, 0_usize..4).prop_map(|(place, target, operation)| Step::Order { place, target, operation }),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_registry_returns_to_empty_and_every_count_to_zero(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (names, registry) = (Names::new(&[]), TargetRegistry::default());
            let mut pools: [Option<Pool>; 3] = [None, None, None];
            let mut busy = std::collections::VecDeque::new();
            let mut targets_seen: Vec<Arc<portreeve_balance::Target>> = Vec::new();
            for step in steps {
                match step {
                    Step::Reload { place, targets, way } => {
                        // Port 1 of this machine refuses at once.
                        let mut targets: Vec<_> = targets.iter().map(|n| format!("127.0.0.{n}:1")).collect();
                        targets.sort();
                        targets.dedup();
                        let health = [json!(null), json!({ "tcp": true }), json!({ "tcp": true, "interval": "1s" })][way].clone();
                        let settings = if health.is_null() { json!({ "targets": targets }) } else { json!({ "targets": targets, "health": health }) };
                        let fresh = pool(&config(settings), &names, &registry, pools[place].as_ref());
                        // Without waiting for checks: whatever state they are in.
                        let _begun = fresh.start(&Handle::current()).now_or_never();
                        pools[place] = Some(fresh);
                    }
                    Step::Remove { place } => pools[place] = None,
                    Step::Pick { place } => if let Some((member, in_flight)) = pools[place].as_ref().and_then(|pool| pool.pick(0, &[]).ok()) {
                        targets_seen.push(member.target.clone());
                        busy.push_back(in_flight);
                    },
                    Step::End => drop(busy.pop_front()),
                    Step::Order { place, target, operation } => if let Some(pool) = &pools[place] {
                        let operation = [Operation::Drain, Operation::Disable, Operation::Enable, Operation::Weight(Some(3))][operation];
                        let _done = pool.operate(&format!("127.0.0.{target}:1"), operation, "x");
                    },
                }
                // Exactly those are watched whom a pool has and nobody has disabled, once for each way of checking.
                let mut expected = std::collections::HashSet::new();
                for pool in pools.iter().flatten() {
                    let way = pool.config.health.clone().map(|health| health.interval);
                    let watched = pool.status().targets.into_iter().filter(|target| target.state != TargetState::Disabled);
                    expected.extend(watched.map(|target| (target.address, way)));
                }
                prop_assert_eq!(registry.watched_now(), expected.len());
            }
            pools = [None, None, None];
            prop_assert_eq!(registry.watched_now(), 0, "{} pools", pools.iter().flatten().count());
            registry.orders().settle(&Named::<UpstreamConfig>::default());
            prop_assert_eq!(registry.orders().count(), 0);
            busy.clear();
            prop_assert!(targets_seen.iter().all(|target| target.in_flight() == 0));
            // Nobody checks on.
            tokio::task::yield_now().await;
            prop_assert!(targets_seen.iter().all(|target| Arc::strong_count(target) <= targets_seen.len()));
            Ok(())
        })?;
    }
}
