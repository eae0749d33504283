//! Places, the queue before them, and that every place comes back.

use std::time::Duration;

use portreeve_plugin::testing::{Mode, Probe, Setup, conformance, conformance_in};
use portreeve_plugin::{Allowance, NoAccount, Tier};
use serde_json::{Value, json};

use super::*;

fn places(limit: u32, queue: u32) -> Value {
    json!({ "by": "${request.client_ip}", "limit": limit, "queue": { "length": queue, "timeout": "500ms" } })
}

fn tiers() -> Setup<ConcurrencyLimit> {
    let tier = |name: &str, concurrency| Tier {
        name: name.into(),
        allowance: Allowance::default(),
        concurrency: NonZeroU32::new(concurrency),
        cost: NonZeroU32::MIN,
    };
    Probe::setup().declare_tier(tier("free", 1)).declare_tier(tier("paid", 2))
}

#[test]
fn it_keeps_the_contract() {
    conformance::<ConcurrencyLimit>(json!({ "by": "${request.client_ip}", "limit": 3 }));
    conformance_in::<ConcurrencyLimit>(tiers, json!({ "by": "${consumer.id}", "limit": "tier" }));
}

#[test]
fn so_many_are_let_in_at_the_same_time_and_each_that_ends_makes_room() {
    let probe = Probe::<ConcurrencyLimit>::new(json!({ "by": "${request.client_ip}", "limit": 2 }));
    let first = probe.get("/").send();
    let second = probe.get("/").send();
    let refused = probe.get("/").send();
    assert_eq!((refused.refused().status.as_u16(), refused.refused().header("retry-after")), (429, Some("1")));
    assert!(probe.get("/").client("192.0.2.9").send().answered().is_none());
    drop(first);
    assert!(probe.get("/").send().answered().is_none());
    drop(second);
}

#[test]
fn whoever_waits_is_let_in_in_order_and_whoever_gives_up_takes_no_place() {
    let gates = Arc::new(Gates::new());
    let enter = |queue| gates.enter(1, NonZeroU32::MIN, queue);
    let Entry::Inside(place) = enter(3) else { panic!("the first is let in") };
    let [mut first, gone, mut third] = [(); 3].map(|()| match enter(3) {
        Entry::Waiting(place) => place,
        other => panic!("{other:?}"),
    });
    assert!(matches!(enter(3), Entry::Refused));
    drop(gone);
    // Who gave up has left the queue.
    let Entry::Waiting(fourth) = enter(3) else { panic!("there is room to wait") };
    drop(place);
    let second = first.try_recv().unwrap().unwrap();
    assert!(third.try_recv().unwrap().is_none());
    drop(second);
    // A place that came and was never taken is given back with its channel.
    drop((third, fourth));
    assert_eq!((gates.inside(), gates.keys()), (0, 0), "a key without a request has no gate");
}

#[test]
fn each_that_leaves_makes_room_for_one_and_the_others_stay_counted() {
    let (gates, limit) = (Arc::new(Gates::new()), NonZeroU32::new(3).unwrap());
    // Of every shard, which the highest byte chooses.
    for key in (0..=u128::from(u8::MAX)).map(|shard| shard << 120) {
        let enter = |queue| gates.enter(key, limit, queue);
        let inside = || match enter(0) {
            Entry::Inside(place) => place,
            other => panic!("{other:?}"),
        };
        let [one, two, three] = [(); 3].map(|()| inside());
        assert!(matches!(enter(0), Entry::Refused));
        drop(one);
        let four = inside();
        assert!(matches!(enter(0), Entry::Refused));
        let [mut first, mut second] = [(); 2].map(|()| match enter(2) {
            Entry::Waiting(place) => place,
            other => panic!("{other:?}"),
        });
        drop(two);
        let five = first.try_recv().unwrap().unwrap();
        assert!(second.try_recv().unwrap().is_none());
        assert_eq!(gates.inside_of(key), 3);
        drop(second);
        drop((three, four, five));
        assert_eq!((gates.inside(), gates.keys()), (0, 0));
    }
}

#[test]
fn an_empty_key_is_nobodys_and_a_long_one_is_as_good_as_a_short_one() {
    let settings = json!({ "by": ["${request.headers.x-team}", "${claims.sub}"], "limit": 1 });
    let probe = Probe::<ConcurrencyLimit>::new(settings);
    let ask = |team: &str, claims: Value| {
        let ada = Consumer { claims: Some(Arc::new(claims)), ..Consumer::new("ada") };
        probe.get("/").header("x-team", team).consumer(ada).send()
    };
    for (team, claims, missing) in
        [("", json!({ "sub": "ada" }), "request.headers.x-team"), ("a", json!({}), "claims.sub")]
    {
        let sent = ask(team, claims);
        assert_eq!(sent.refused().status, 403);
        assert_eq!(sent.decisions()[0].why, format!("`by`: `${{{missing}}}` has no value"));
    }
    let passes = |team: &str| {
        let sent = ask(team, json!({ "sub": "ada" }));
        (sent.answered().is_none(), sent)
    };
    let (long, longer) = ("x".repeat(64 * 1024), "x".repeat(64 * 1024 + 1));
    let under_way = [passes(&long), passes(&longer), passes(&long)];
    assert_eq!(under_way.map(|(is_in, _)| is_in), [true, true, false]);
}

#[test]
fn a_request_waits_as_long_as_the_queue_says() {
    let probe = Probe::<ConcurrencyLimit>::new(places(1, 1));
    let first = probe.get("/").send();
    // The client goes away while it waits; its place in the queue is free again.
    assert!(probe.get("/").abandon());
    assert!(probe.get("/").abandon());
    drop(first);
    assert!(!probe.get("/").abandon());
    let shared = probe.reload(places(1, 1)).unwrap();
    assert!(shared.get("/").send().answered().is_none());
}

#[test]
fn many_threads_never_get_more_places_than_there_are_and_lose_none() {
    let (gates, inside) = (Arc::new(Gates::new()), std::sync::atomic::AtomicU32::new(0));
    let limit = NonZeroU32::new(3).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for round in 0..2000 {
                    let place = match gates.enter(1, limit, 4) {
                        Entry::Inside(place) => place,
                        Entry::Refused => continue,
                        Entry::Waiting(_) if round % 3 == 0 => continue,
                        Entry::Waiting(place) => runtime.block_on(place).unwrap(),
                    };
                    let others = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    assert!(others < limit.get());
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    drop(place);
                }
            });
        }
    });
    assert_eq!(gates.inside(), 0);
}

#[test]
fn each_tier_has_its_own_number() {
    let probe = tiers().build(json!({ "by": "${consumer.id}", "limit": "tier" }));
    let consumer = |id: &str, tier: &str| Consumer { tier: Some(tier.into()), ..Consumer::new(id) };
    let under_way: Vec<_> = [("ada", "free"), ("ada", "free"), ("eve", "paid"), ("eve", "paid"), ("eve", "paid")]
        .map(|(id, tier)| probe.get("/").consumer(consumer(id, tier)).send())
        .into();
    let statuses = under_way.iter().map(|sent| sent.answered().map_or(200, |answer| answer.status.as_u16()));
    assert_eq!(statuses.collect::<Vec<_>>(), [200, 429, 200, 200, 429]);
    assert_eq!(probe.get("/").consumer(consumer("bob", "gold")).send().refused().status, 403);
    assert_eq!(probe.get("/").send().refused().status, 403);
}

#[test]
fn an_observing_step_holds_nobody_up() {
    let probe = Probe::<ConcurrencyLimit>::setup().mode(Mode::Observe).build(places(1, 5));
    let first = probe.get("/").send();
    assert!(!probe.get("/").abandon());
    assert!(probe.get("/").send().answered().is_none());
    drop(first);
    probe.advance(Duration::from_secs(1));
}

#[test]
fn a_tier_without_a_number_is_refused() {
    let error = |setup: Setup<ConcurrencyLimit>| {
        setup.try_build(json!({ "by": "${consumer.id}", "limit": "tier" })).unwrap_err().to_string()
    };
    assert_eq!(error(Probe::setup().tier("free", "1/s")), "limit: tier \"free\" has no concurrency; give it one");
    assert!(error(Probe::setup()).starts_with("limit: the file has no `tiers`"));
}

#[test]
fn an_operator_sees_the_places_of_a_key_and_cannot_give_back_what_a_request_has() {
    let probe = tiers().build(json!({ "by": "${consumer.id}", "limit": "tier" }));
    let of = |id: &str, tier: Option<&str>| portreeve_plugin::Subject {
        consumer: Arc::new(Consumer { tier: tier.map(Arc::from), ..Consumer::new(id) }),
        key: Vec::new(),
    };
    let standing = |id: &str, tier: &str| {
        let account = probe.account(&of(id, Some(tier))).unwrap();
        let limit = &account.limits[0];
        (limit.limit.clone(), limit.used, limit.remaining)
    };
    let under_way = probe.get("/").consumer(Consumer { tier: Some("paid".into()), ..Consumer::new("eve") }).send();
    assert_eq!(standing("eve", "paid"), ("2 at once".to_owned(), 1, 1));
    assert_eq!(standing("ada", "free"), ("1 at once".to_owned(), 0, 1));
    // Moved to a smaller tier while under way: none is left, and none below that.
    let second = probe.get("/").consumer(Consumer { tier: Some("paid".into()), ..Consumer::new("eve") }).send();
    assert_eq!(standing("eve", "free"), ("1 at once".to_owned(), 2, 0));
    let refused = probe.reset(&of("eve", Some("paid"))).unwrap_err();
    assert!(matches!(&refused, NoAccount::NotCounted(why) if why.contains("when that ends")), "{refused:?}");
    assert_eq!(standing("eve", "paid").1, 2);
    drop((under_way, second));
    assert_eq!(standing("eve", "paid").1, 0);
    let tierless = probe.account(&of("bob", None)).unwrap_err();
    assert!(matches!(&tierless, NoAccount::NotCounted(why) if why.ends_with("give tier")), "{tierless:?}");
}
