//! The prober in paused time with answers that a test scripts: when it asks, whom, and what it makes of the answers. Real
//! sockets are in `tests/e2e/health.rs`.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use pingora_load_balancing::Backend;
use portreeve_balance::Bar;
use serde_json::{Value, json};

use super::probe::{Name, thresholds, unwell};
use super::*;

fn config(settings: Value) -> HealthConfig {
    serde_json::from_value(settings).unwrap()
}

/// Plain HTTP/1.1.
fn transport() -> Arc<Transport> {
    let upstream = serde_json::from_value(json!({ "targets": ["127.0.0.1:1"] })).unwrap();
    Arc::new(Transport::load(&upstream, std::path::Path::new("")).unwrap())
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 80))
}

/// Answers as told, and notes when it was asked.
#[derive(Clone, Default)]
struct Script {
    asked: Arc<Mutex<Vec<(SocketAddr, Instant)>>>,
    /// Why targets are not well; nobody else is.
    sick: Arc<Mutex<HashMap<SocketAddr, &'static str>>>,
    /// Never answers.
    silent: Arc<Mutex<bool>>,
    under_way: Arc<AtomicUsize>,
    most_under_way: Arc<AtomicUsize>,
}

/// The script as a check.
struct Played {
    script: Script,
    thresholds: Thresholds,
}

#[async_trait]
impl HealthCheck for Played {
    async fn check(&self, target: &Backend) -> pingora::Result<()> {
        let address = *target.addr.as_inet().unwrap();
        let script = &self.script;
        script.asked.lock().push((address, Instant::now()));
        let now = script.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        script.most_under_way.fetch_max(now, Ordering::SeqCst);
        let _leaving = Leaving(script.under_way.clone());
        if *script.silent.lock() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        script.sick.lock().get(&address).map_or(Ok(()), |why| unwell(*why))
    }

    fn health_threshold(&self, success: bool) -> usize {
        usize::try_from(if success { self.thresholds.healthy_after } else { self.thresholds.unhealthy_after }).unwrap()
    }
}

struct Leaving(Arc<AtomicUsize>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Script {
    fn played(&self, config: &HealthConfig) -> Played {
        Played { script: self.clone(), thresholds: thresholds(config) }
    }

    /// A started group that asks this script, with so many turns.
    fn group(&self, settings: Value, turns: usize) -> Arc<HealthGroup> {
        let config = config(settings);
        let checks = Checks::new(&config, Box::new(self.played(&config)), Arc::new(Semaphore::new(turns)));
        let group = HealthGroup::with(Some(checks), Arc::new(ArcSwap::new(transport())));
        group.start(&Handle::current(), transport());
        group
    }

    fn asked(&self) -> usize {
        self.asked.lock().len()
    }

    fn is(&self, number: u8, why: Option<&'static str>) {
        match why {
            Some(why) => self.sick.lock().insert(address(number), why),
            None => self.sick.lock().remove(&address(number)),
        };
    }
}

/// So much time passes, and everything that is due in it happens.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_new_target_is_asked_at_once_and_trusted_only_when_that_went_well() {
    let script = Script::default();
    script.is(2, Some("503 instead of 200"));
    let group = script.group(json!({ "tcp": true, "interval": "1h", "healthy_after": 5 }), 9);
    let (well, sick) = (group.watch(&"users".into(), address(1), None), group.watch(&"users".into(), address(2), None));
    assert!(!well.target.is_available() && !sick.target.is_available());
    assert_eq!(well.why().as_deref(), Some("no check has come out yet"));
    well.first_check().await;
    sick.first_check().await;
    assert!(well.target.is_available() && well.why().is_none() && well.last_check().unwrap().passed);
    assert!(sick.target.is_barred(Bar::Unproven) && !sick.target.is_barred(Bar::Unhealthy));
    assert_eq!(sick.why().as_deref(), Some("503 instead of 200"));
    assert_eq!(sick.last_check().unwrap().error.as_deref(), Some("503 instead of 200"));
}

#[tokio::test(start_paused = true)]
async fn thresholds_count_checks_in_a_row_and_the_reason_is_that_of_the_check_that_decided() {
    let script = Script::default();
    let group = script
        .group(json!({ "tcp": true, "interval": "1s", "jitter": "0%", "unhealthy_after": 3, "healthy_after": 2 }), 9);
    let watched = group.watch(&"users".into(), address(1), None);
    watched.first_check().await;
    pass(SECOND).await;
    script.is(1, Some("connection refused"));
    let before = script.asked();
    while script.asked() < before + 3 {
        assert!(watched.target.is_available(), "before the third failure has come out");
        pass(Duration::from_millis(5)).await;
    }
    pass(Duration::from_millis(11)).await;
    assert!(!watched.target.is_available());
    assert_eq!(watched.why().as_deref(), Some("connection refused"));
    script.is(1, None);
    pass(SECOND).await;
    assert!(!watched.target.is_available(), "one passed check of two");
    assert_eq!(watched.why().as_deref(), Some("connection refused"));
    pass(SECOND).await;
    assert!(watched.target.is_available() && watched.why().is_none());
}

#[tokio::test(start_paused = true)]
async fn one_deadline_is_over_all_of_a_check() {
    let script = Script::default();
    *script.silent.lock() = true;
    let group = script.group(json!({ "tcp": true, "interval": "1h", "timeout": "700ms" }), 9);
    let (watched, begun) = (group.watch(&"users".into(), address(1), None), Instant::now());
    watched.first_check().await;
    assert_eq!(begun.elapsed().as_millis(), 700);
    assert_eq!(watched.why().as_deref(), Some("no answer within 700ms"));
    assert_eq!(script.under_way.load(Ordering::SeqCst), 0, "the connection is given up");
}

#[tokio::test(start_paused = true)]
async fn intervals_are_jittered_and_targets_that_came_together_are_not_checked_together_for_ever() {
    let script = Script::default();
    let group = script.group(json!({ "tcp": true, "interval": "10s", "jitter": "20%" }), 99);
    let watched: Vec<_> = (1..=20).map(|number| group.watch(&"users".into(), address(number), None)).collect();
    pass(SECOND * 300).await;
    let asked = script.asked.lock().clone();
    let of = |number| -> Vec<Instant> {
        asked.iter().filter(|(target, _)| *target == address(number)).map(|(_, at)| *at).collect()
    };
    let mut seconds = Vec::new();
    for number in 1..=20 {
        let times = of(number);
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        assert!((24..=40).contains(&gaps.len()), "{gaps:?}");
        assert!(gaps[1..].iter().all(|gap| (7.99..=12.02).contains(gap)), "{gaps:?}");
        let (least, most) = gaps[1..].iter().fold((99.0_f64, 0.0_f64), |(a, b), gap| (a.min(*gap), b.max(*gap)));
        assert!(most - least > 0.5, "no jitter: {gaps:?}");
        seconds.push(times[1]);
    }
    seconds.sort();
    assert!(seconds[19] - seconds[0] > SECOND * 3, "the second checks are spread over the interval: {seconds:?}");
    drop(watched);
}

#[tokio::test(start_paused = true)]
async fn a_bounded_number_of_checks_is_under_way_and_waiting_for_a_turn_costs_no_check_its_time() {
    let script = Script::default();
    let group = script.group(json!({ "tcp": true, "interval": "1h", "timeout": "15ms" }), 4);
    let watched: Vec<_> = (1..=200).map(|number| group.watch(&"users".into(), address(number), None)).collect();
    futures::future::join_all(watched.iter().map(|watched| watched.first_check())).await;
    assert_eq!(script.most_under_way.load(Ordering::SeqCst), 4);
    assert!(watched.iter().all(|watched| watched.target.is_available()), "all had their whole 15 ms");
}

#[tokio::test(start_paused = true)]
async fn one_prober_asks_for_everybody_who_watches_and_ends_with_the_last() {
    let script = Script::default();
    let group = script.group(json!({ "tcp": true, "interval": "1s", "jitter": "0%" }), 9);
    let first = group.watch(&"users".into(), address(1), None);
    let second = group.watch(&"users".into(), address(1), Some("users.test".into()));
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(first.backend().ext.get::<Name>().map(|name| &*name.0), Some("users.test"), "what it is called now");
    pass(SECOND * 10).await;
    let asked = script.asked();
    assert!((10..=12).contains(&asked), "{asked}");
    drop(first);
    pass(SECOND * 3).await;
    assert_eq!(script.asked(), asked + 3, "somebody still watches");
    drop(second);
    assert_eq!(group.watched_now(), 0);
    pass(SECOND * 10).await;
    assert_eq!(script.asked(), asked + 3);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_leaves_during_its_check_ends_the_check() {
    let script = Script::default();
    *script.silent.lock() = true;
    let group = script.group(json!({ "tcp": true, "timeout": "1h" }), 9);
    let watched = group.watch(&"users".into(), address(1), None);
    pass(SECOND).await;
    assert_eq!(script.under_way.load(Ordering::SeqCst), 1);
    drop(watched);
    pass(SECOND).await;
    assert_eq!((script.under_way.load(Ordering::SeqCst), group.watched_now()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_goes_and_comes_back_is_judged_afresh() {
    let script = Script::default();
    script.is(1, Some("connection refused"));
    let group = script.group(json!({ "tcp": true, "interval": "1s", "unhealthy_after": 1, "healthy_after": 9 }), 9);
    let watched = group.watch(&"users".into(), address(1), None);
    watched.first_check().await;
    assert!(watched.target.is_barred(Bar::Unhealthy));
    drop(watched);
    script.is(1, None);
    let watched = group.watch(&"users".into(), address(1), None);
    watched.first_check().await;
    assert!(watched.target.is_available());
}

#[tokio::test(start_paused = true)]
async fn without_checks_everybody_is_trusted_and_nobody_is_waited_for() {
    let group = HealthGroup::new(None, transport(), &Probing::default());
    group.start(&Handle::current(), transport());
    let watched = group.watch(&"users".into(), address(1), None);
    assert!(watched.target.is_available() && watched.last_check().is_none());
    assert!(watched.first_check().now_or_never().is_some() && group.first_round().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_never_started_checks_nobody() {
    let script = Script::default();
    let config = config(json!({ "tcp": true }));
    let checks = Checks::new(&config, Box::new(script.played(&config)), Arc::new(Semaphore::new(9)));
    let group = HealthGroup::with(Some(checks), Arc::new(ArcSwap::new(transport())));
    let watched = group.watch(&"users".into(), address(1), None);
    pass(SECOND * 100).await;
    assert_eq!(script.asked(), 0);
    assert!(!watched.target.is_available());
}
