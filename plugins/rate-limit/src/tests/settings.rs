//! Settings that make no sense, and what is said of them.

use super::*;

#[test]
fn as_many_limits_as_can_hold_together_all_hold() {
    let buckets: Vec<Value> = (1..=16).map(|n| json!({ "rate": format!("{n}/h"), "burst": 20 - n })).collect();
    let probe = Probe::<RateLimit>::new(json!({ "by": "all", "limit": buckets }));
    assert_eq!((0..20).filter(|_| is_admitted(&probe)).count(), 4);
}

fn error(settings: Value) -> String {
    tiers().try_build(settings).unwrap_err().to_string()
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let limit = |limit: Value| error(json!({ "by": "all", "limit": limit }));
    assert_eq!(limit(json!({})), "limit: it limits nothing; give it a rate or a quota");
    assert_eq!(limit(json!([])), "limit: an empty list limits nothing; give it a limit such as { rate: 100/min }");
    assert_eq!(limit(json!([{ "rate": "1/s" }, {}])), "limit[1]: it limits nothing; give it a rate or a quota");
    assert_eq!(
        limit(json!({ "rate": ["1/s", "5/min"], "burst": 3 })),
        "limit.burst: burst belongs to one rate; write each rate as a limit of its own"
    );
    assert_eq!(
        limit(json!({ "quota": "5/day", "smooth": true })),
        "limit.smooth: smooth belongs to a rate, and there is none"
    );
    assert_eq!(
        limit(json!({ "rate": "1/s", "burst": 3, "smooth": true })),
        "limit.burst: burst and smooth exclude each other; keep one"
    );
    assert!(limit(json!({ "quota": ["5/day", "6/day"] })).starts_with("limit: two limits hold over the same span"));
    assert_eq!(
        limit(json!([{ "rate": "1/s" }, { "rate": "2/s" }])),
        "limit: two limits hold over the same span, of which only the lower one ever decides; keep it"
    );
    let buckets = |count: usize| limit(json!(vec![json!({ "rate": "1/s", "burst": 2 }); count]));
    assert_eq!(buckets(100), "limit: 100 limits hold together; at most 16 can");
    assert_eq!(
        limit(json!({ "quota": { "of": "5/day", "window": "rolling", "time_zone": "Europe/Zurich" } })),
        "limit.quota: a rolling window has no time zone; remove time_zone"
    );
}

#[test]
fn keys_costs_and_overrides_that_make_no_sense_are_refused() {
    let with = |key: &str, value: Value| {
        let mut settings = json!({ "by": "all", "limit": { "rate": "10/s" } });
        settings[key] = value;
        error(settings)
    };
    assert!(with("by", json!("")).contains("an empty text is nobody's key"));
    assert!(with("by", json!([])).contains("an empty list is nobody's key"));
    for (by, meant) in [
        ("$remote_addr", "${request.client_ip}"),
        ("{consumer.id}", "${consumer.id}"),
        ("consumer.id", "${consumer.id}"),
    ] {
        let error = with("by", json!(by));
        assert!(error.starts_with("by: ") && error.contains(&format!("did you mean \"{meant}\"?")), "{error}");
    }
    assert!(with("by", json!("everybody")).contains("all counts all requests together"));
    assert!(with("by", json!(["${consumer.id}", "all"])).contains("is plain text"), "as a part it would do nothing");
    assert_eq!(with("cost", json!(11)), "cost: a request that costs 11 never fits into 10/s");
    assert_eq!(with("cost", json!("5")), "cost: \"5\" is not a whole number; write one without quotes, or a template");
    assert_eq!(
        with("overrides", json!({ "free": { "rate": "1/s" } })),
        "overrides.free: only `limit: tier` has something to override; remove it"
    );
    assert_eq!(with("lease", json!("5%")), "lease: lease means something only with a store; add one or remove it");
    assert_eq!(
        error(json!({ "by": "all", "limit": "tier", "overrides": { "fre": { "rate": "1/s" } } })),
        "overrides.fre: no tier \"fre\"; the file has free, paid"
    );
}

#[test]
fn limits_that_just_make_sense_are_taken() {
    let taken = |settings: Value| tiers().try_build(settings).map(drop).map_err(|error| error.to_string());
    let store = json!({ "redis": { "url": "redis://a" } });
    for settings in [
        json!({ "by": "all", "limit": { "rate": "1/day", "burst": 366 } }),
        json!({ "by": "all", "limit": { "rate": "10/s" }, "cost": 10 }),
        json!({ "by": "all", "limit": { "quota": ["5/day", "20/month"] } }),
        json!({ "by": "all", "limit": { "rate": "10/s", "smooth": true }, "store": store }),
        json!({ "by": "all", "limit": { "rate": "10/s" }, "store": store, "lease": "5%" }),
    ] {
        assert_eq!(taken(settings.clone()), Ok(()), "{settings}");
    }
}

#[test]
fn what_is_wrong_of_a_list_is_told_with_its_place_in_it() {
    let overrides = |free: Value| error(json!({ "by": "all", "limit": "tier", "overrides": { "free": free } }));
    assert_eq!(
        overrides(json!([{ "rate": "1/s" }, {}])),
        "overrides.free[1]: it limits nothing; give it a rate or a quota"
    );
    assert_eq!(overrides(json!({})), "overrides.free: it limits nothing; give it a rate or a quota");
}

#[test]
fn a_tier_that_this_step_cannot_hold_anybody_to_is_refused() {
    let tier = |cost: u32, rates: Vec<units::Rate>| portreeve_plugin::Tier {
        name: "odd".into(),
        allowance: portreeve_plugin::Allowance { rates, ..portreeve_plugin::Allowance::default() },
        concurrency: None,
        cost: std::num::NonZeroU32::new(cost).unwrap(),
    };
    let error = |tier, exempt: Value| {
        let setup = tiers().declare_tier(tier);
        setup.try_build(json!({ "by": "all", "limit": "tier", "exempt": exempt })).err().map(|error| error.to_string())
    };
    let none = tier(1, Vec::new());
    assert_eq!(
        error(none.clone(), json!({})).unwrap(),
        "limit: tier \"odd\" has neither a rate nor a quota; give it one, give it `overrides` here, or exempt it"
    );
    assert_eq!(error(none, json!({ "tiers": ["odd"] })), None);
    assert_eq!(
        error(tier(5, vec!["4/s".parse().unwrap()]), json!({})).unwrap(),
        "limit: tier \"odd\": a request that costs 5 never fits into 4/s"
    );
}

#[test]
fn a_store_that_makes_no_sense_is_refused() {
    let store = |redis: Value| error(json!({ "by": "all", "limit": { "rate": "10/s" }, "store": { "redis": redis } }));
    assert!(store(json!({})).starts_with("store.redis: expected one of url, sentinel and cluster"));
    assert!(store(json!({ "url": "redis://a", "cluster": ["redis://b"] })).starts_with("store.redis: expected one of"));
    assert!(store(json!({ "url": "http://a" })).starts_with("store.redis.url: not the URL of a Redis"));
    let secret = store(json!({ "url": "redis://:hunter2@a" }));
    assert!(
        secret.starts_with("store.redis.url: a name or a password does not belong into a URL")
            && !secret.contains("hunter2")
    );
    assert!(store(json!({ "url": "redis://a", "ca": "/nowhere.pem" })).starts_with("store.redis.ca: /nowhere.pem"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("some.pem");
    std::fs::write(&file, "some").unwrap();
    let in_clear = "ca, cert and key are for TLS: write rediss:// here";
    assert_eq!(store(json!({ "url": "redis://a", "ca": file })), format!("store.redis.url: {in_clear}"));
    let sentinel = json!({ "master": "limits", "urls": ["redis://a"] });
    assert_eq!(store(json!({ "sentinel": sentinel, "ca": file })), format!("store.redis.sentinel.urls: {in_clear}"));
    assert_eq!(store(json!({ "cluster": ["redis://a"], "ca": file })), format!("store.redis.cluster: {in_clear}"));
    assert_eq!(
        store(json!({ "url": "rediss://a", "cert": file })),
        "store.redis.cert: a certificate needs its key; add key: redis.key"
    );
    assert_eq!(
        store(json!({ "url": "rediss://a", "key": file })),
        "store.redis.key: a key needs its certificate; add cert: redis.crt"
    );
    assert!(store(json!({ "url": "rediss://a", "cert": file, "key": file })).starts_with("store.redis.url: "));
    assert!(store(json!({ "url": "rediss://a#insecure" })).contains("#insecure would let anybody be the Redis"));
    let nothing = json!({
        "by": "all", "limit": { "rate": "10/s" }, "lease": "0%", "store": { "redis": { "url": "redis://a" } },
    });
    assert_eq!(error(nothing), "lease: at 0% nothing is drawn; write more, or leave lease out");
    let smooth = json!({
        "by": "all", "limit": [{ "rate": "10/s", "smooth": true }, { "rate": "100/min" }], "lease": "5%",
        "store": { "redis": { "url": "redis://a" } },
    });
    assert_eq!(error(smooth), "lease: a smooth rate has no slices to draw; remove lease or smooth");
}
