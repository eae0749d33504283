//! Whose requests count together, what they count, and what clients are told.

use super::*;

fn statuses(probe: &Probe<RateLimit>, clients: &[&str]) -> Vec<bool> {
    clients.iter().map(|client| probe.get("/").client(client).send().answered().is_none()).collect()
}

#[test]
fn clients_of_one_network_count_together() {
    let limit = json!({ "rate": "1/min" });
    let probe = Probe::<RateLimit>::new(json!({ "by": { "client_network": { "v4": 24, "v6": 48 } }, "limit": limit }));
    let clients = [
        "192.0.2.1",
        "192.0.2.200",
        "192.0.3.1",
        "::ffff:192.0.2.7",
        "2001:db8:1::1",
        "2001:db8:1:2::3",
        "2001:db8:2::1",
    ];
    assert_eq!(statuses(&probe, &clients), [true, false, true, false, true, false, true]);
    // Unless the file says otherwise: every IPv4 address, and the 64 bits that a customer has of IPv6.
    let probe = Probe::<RateLimit>::new(json!({ "by": { "client_network": {} }, "limit": { "rate": "1/min" } }));
    let clients = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2:1", "2001:db8:0:1::1"];
    assert_eq!(statuses(&probe, &clients), [true, true, true, false, true]);
}

#[test]
fn several_parts_make_one_key_and_never_read_alike() {
    let by = json!(["${request.headers.x-a}", "${request.headers.x-b}", "${request.route}"]);
    let probe = Probe::<RateLimit>::new(json!({ "by": by, "limit": { "rate": "1/min" } }));
    let passes = |a: &str, b: &str, route: &str| {
        probe.get("/").route_name(route).header("x-a", a).header("x-b", b).send().answered().is_none()
    };
    assert!(passes("a", "bc", "r") && passes("ab", "c", "r") && passes("a", "bc", "s"));
    assert!(!passes("a", "bc", "r"));
}

#[test]
fn an_empty_key_is_nobodys_and_a_long_one_is_as_good_as_a_short_one() {
    let probe = Probe::<RateLimit>::new(json!({ "by": "${request.headers.x-team}", "limit": { "rate": "1/min" } }));
    let sent = probe.get("/").header("x-team", "").send();
    assert_eq!(sent.refused().status, 403);
    assert_eq!(sent.decisions()[0].why, "`by`: `${request.headers.x-team}` has no value");
    let (long, longer) = ("x".repeat(64 * 1024), "x".repeat(64 * 1024 + 1));
    let passes = |team: &str| probe.get("/").header("x-team", team).send().answered().is_none();
    assert!(passes(&long) && passes(&longer) && !passes(&long));
}

#[test]
fn a_claim_that_a_token_does_not_make_is_no_key() {
    let probe = Probe::<RateLimit>::new(json!({ "by": "${claims.org}", "limit": { "rate": "1/min" } }));
    let status =
        |claims: Option<Value>| status(&probe, Consumer { claims: claims.map(Arc::new), ..Consumer::new("ada") });
    for none in [None, Some(json!({})), Some(json!({ "org": null })), Some(json!({ "org": "" }))] {
        assert_eq!(status(none.clone()), 403, "{none:?}");
    }
    let of = |org: &str| status(Some(json!({ "org": org })));
    assert_eq!([of("a"), of("b"), of("a")], [200, 200, 429]);
}

#[test]
fn a_request_counts_what_it_costs() {
    let probe = Probe::<RateLimit>::new(json!({ "by": "all", "limit": { "rate": "10/min" }, "cost": 4 }));
    assert_eq!((0..3).map(|_| is_admitted(&probe)).collect::<Vec<_>>(), [true, true, false]);
    let settings = json!({ "by": "all", "limit": { "rate": "10/min" }, "cost": "${request.headers.x-weight:-1}" });
    let probe = Probe::<RateLimit>::new(settings);
    let status = |weight: &str| {
        probe.get("/").header("x-weight", weight).send().answered().map_or(200, |answered| answered.status.as_u16())
    };
    assert_eq!([status(" 8 "), status("3"), status("2"), status("1"), status("0")], [200, 429, 200, 429, 200]);
    for odd in ["-1", "+1", "1.5", "x", "4294967296", "99999999999999999999999999"] {
        assert_eq!(status(odd), 403, "{odd}");
    }
}

#[test]
fn a_tier_says_what_a_request_costs_where_the_step_does_not() {
    let dear = portreeve_plugin::Tier {
        name: "dear".into(),
        allowance: portreeve_plugin::Allowance { rates: vec!["10/min".parse().unwrap()], ..Default::default() },
        concurrency: None,
        cost: std::num::NonZeroU32::new(4).unwrap(),
    };
    let probe = tiers().declare_tier(dear).build(json!({ "by": "${consumer.id}", "limit": "tier" }));
    let of = |tier| (0..3).map(|_| status(&probe, consumer("ada", Some(tier)))).collect::<Vec<_>>();
    assert_eq!(of("dear"), [200, 200, 429]);
}

#[test]
fn what_was_charged_is_told_and_a_refused_request_is_charged_nothing() {
    let settings = json!({ "by": "all", "limit": { "rate": "10/min" }, "cost": { "response_header": "x-cost" } });
    let probe = Probe::<RateLimit>::new(settings);
    let first = probe.get("/").send();
    assert_eq!(first.cost(), Some(1));
    first.respond(200, &[("x-cost", "12")], "");
    assert_eq!(first.cost(), Some(12));
    let refused = probe.get("/").send();
    assert_eq!(refused.refused().status, 429);
    assert_eq!(refused.cost(), None);
}

#[test]
fn a_path_parameter_is_a_key_like_any_other() {
    let probe = Probe::<RateLimit>::new(json!({ "by": "${params.team}", "limit": { "rate": "1/min" } }));
    let passes = |team: &str| probe.get(&format!("/{team}")).param("team", team).send().answered().is_none();
    assert!(passes("a") && passes("b") && !passes("a"));
    assert_eq!(probe.get("/").send().refused().status, 403);
}

#[test]
fn a_request_that_costs_more_than_there_ever_is_is_told_no_time_to_come_back() {
    let settings = json!({ "by": "all", "limit": { "rate": "10/min" }, "cost": "${request.headers.x-weight:-1}" });
    let probe = Probe::<RateLimit>::new(settings);
    let sent = probe.get("/").header("x-weight", "11").send();
    let refused = sent.refused();
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, None));
    assert_eq!(refused.json()["detail"], "This request counts more than the limit of 10/min ever admits.");
}

#[test]
fn an_answer_may_say_what_it_has_cost_and_bring_a_key_below_zero() {
    let settings = json!({ "by": "all", "limit": { "rate": "10/min" }, "cost": { "response_header": "x-cost" } });
    let probe = Probe::<RateLimit>::new(settings);
    let left = |cost: &str| {
        let answered = probe.get("/").send().respond(200, &[("x-cost", cost)], "");
        answered.header("ratelimit").map(str::to_owned)
    };
    assert_eq!(left("3").unwrap(), r#""probe/rate-limit";r=7;t=60"#);
    // What is no whole number, and what is less than the 1 that was taken, is 1.
    for odd in ["0", "-5", "+9", "a lot", "1.5"] {
        left(odd);
    }
    assert_eq!(left("20").unwrap(), r#""probe/rate-limit";r=0;t=60"#);
    probe.advance(Duration::from_secs(59));
    assert!(!is_admitted(&probe));
    probe.advance(Duration::from_secs(1));
    assert!(is_admitted(&probe));
}

#[test]
fn the_exempt_are_not_counted() {
    let exempt = json!({ "networks": ["10.0.0.0/8"], "consumers": ["ada"], "groups": ["staff"], "tiers": ["paid"] });
    let settings = json!({ "by": "all", "limit": "tier", "exempt": exempt });
    let probe = tiers().build(settings);
    assert_eq!(
        [status(&probe, consumer("bob", Some("free"))), status(&probe, consumer("bob", Some("free")))],
        [200; 2]
    );
    assert_eq!(status(&probe, consumer("bob", Some("free"))), 429);
    assert_eq!(status(&probe, consumer("ada", Some("free"))), 200);
    assert_eq!(status(&probe, consumer("eve", Some("paid"))), 200);
    let staff = Consumer { groups: vec!["staff".into()], ..consumer("bob", Some("free")) };
    assert_eq!(status(&probe, staff), 200);
    assert!(probe.get("/").client("10.1.2.3").send().answered().is_none());
}

#[test]
fn each_kind_of_exemption_stands_alone() {
    let staff = Consumer { groups: vec!["staff".into()], ..consumer("bob", Some("paid")) };
    for (exempt, client, who) in [
        (json!({ "networks": ["10.0.0.0/8"] }), "10.1.2.3", consumer("eve", Some("free"))),
        (json!({ "consumers": ["ada"] }), "192.0.2.1", consumer("ada", Some("free"))),
        (json!({ "groups": ["staff"] }), "192.0.2.1", staff),
        (json!({ "tiers": ["paid"] }), "192.0.2.1", consumer("eve", Some("paid"))),
    ] {
        let probe = tiers().build(json!({ "by": "all", "limit": { "rate": "1/min" }, "exempt": exempt }));
        let passes = |who: &Consumer, client: &str| {
            (0..3).filter(|_| probe.get("/").client(client).consumer(who.clone()).send().answered().is_none()).count()
        };
        assert_eq!(passes(&who, client), 3, "{exempt}");
        assert_eq!(passes(&consumer("bob", Some("free")), "192.0.2.1"), 1, "{exempt}");
    }
}

#[test]
fn both_fields_and_retry_after_speak_of_the_same_moment() {
    let limit = json!([{ "rate": "4/min" }, { "rate": "100/h" }]);
    let settings = json!({ "by": "all", "limit": limit, "cost": "${request.headers.x-weight}" });
    let probe = Probe::<RateLimit>::new(settings);
    let ask = |weight: &str| probe.get("/").header("x-weight", weight).send();
    ask("2").forwarded();
    probe.advance(Duration::from_secs(10));
    ask("2").forwarded();
    probe.advance(Duration::from_secs(10) - Duration::from_nanos(1));
    // Three have to leave: the second two do so 50 seconds and a nanosecond from now.
    let refused = ask("3").refused();
    assert_eq!(refused.header("retry-after"), Some("51"));
    assert_eq!(
        refused.header("ratelimit"),
        Some(r#""probe/rate-limit 4/min";r=0;t=51, "probe/rate-limit 100/h";r=96;t=3581"#)
    );
}

#[test]
fn the_window_of_a_limit_is_told_as_far_as_it_has_one() {
    for (limit, policy) in [
        (json!({ "rate": "60/min", "burst": 120 }), ";q=120;w=120"),
        (json!({ "quota": "20000/month" }), ";q=20000"),
        (json!({ "quota": "5000/week" }), ";q=5000;w=604800"),
        (json!({ "quota": { "of": "20000/month", "window": "rolling" } }), ";q=20000;w=2592000"),
    ] {
        let probe = Probe::<RateLimit>::new(json!({ "by": "all", "limit": limit }));
        let answered = probe.get("/").send().respond(200, &[], "");
        let expected = format!("\"probe/rate-limit\"{policy}");
        assert_eq!(answered.header("ratelimit-policy"), Some(&*expected));
    }
}

#[test]
fn an_operator_sees_what_a_consumer_has_used_and_gives_it_back() {
    let settings = json!({
        "by": "${consumer.id}", "limit": [{ "rate": "10/min" }, { "quota": "5/day" }], "exempt": { "consumers": ["boss"] },
    });
    let probe = Probe::<RateLimit>::new(settings);
    let of = |id: &str, key: &[&str]| portreeve_plugin::Subject {
        consumer: Arc::new(consumer(id, None)),
        key: key.iter().map(ToString::to_string).collect(),
    };
    let told = |id: &str, key: &[&str]| {
        let limits = probe.account(&of(id, key)).unwrap().limits;
        limits.iter().map(|limit| (limit.used, limit.remaining, limit.resets_at.is_some())).collect::<Vec<_>>()
    };
    assert_eq!([status(&probe, consumer("ada", None)), status(&probe, consumer("ada", None))], [200, 200]);
    assert_eq!(told("ada", &[]), [(2, 8, true), (2, 3, true)]);
    assert_eq!(told("eve", &[]), [(0, 10, false), (0, 5, false)]);
    assert!(probe.account(&of("boss", &[])).is_err());
    assert_eq!(told("boss", &["ada"]), [(2, 8, true), (2, 3, true)]);
    probe.reset(&of("ada", &[])).unwrap();
    assert_eq!(told("ada", &[]), [(0, 10, false), (0, 5, false)]);
}

#[test]
fn steps_that_share_a_name_count_together_whatever_each_costs() {
    let settings = |cost| json!({ "by": "all", "limit": { "rate": "10/min" }, "share": "api", "cost": cost });
    let cheap = Probe::<RateLimit>::new(settings(1));
    let dear = cheap.reload(settings(9)).unwrap();
    assert!(is_admitted(&cheap) && is_admitted(&dear));
    assert!(!is_admitted(&cheap) && !is_admitted(&dear));
    let alone = cheap.reload(json!({ "by": "all", "limit": { "rate": "10/min" } })).unwrap();
    assert!(is_admitted(&alone));
}

#[test]
fn a_step_may_hold_one_tier_to_another_limit() {
    let settings = json!({ "by": "${consumer.id}", "limit": "tier", "overrides": { "free": { "rate": "1/min" } } });
    let probe = tiers().build(settings);
    let statuses = |id: &str, tier: &str| (0..3).map(|_| status(&probe, consumer(id, Some(tier)))).collect::<Vec<_>>();
    assert_eq!(statuses("ada", "free"), [200, 429, 429]);
    assert_eq!(statuses("eve", "paid"), [200, 200, 200]);
}

#[test]
fn a_tier_says_what_its_requests_cost_and_a_quota_holds_beside_its_rate() {
    let probe = Probe::<RateLimit>::setup()
        .tier_with_quota("free", "2/min", "3/day")
        .build(json!({ "by": "${consumer.id}", "limit": "tier" }));
    let ada = || consumer("ada", Some("free"));
    assert_eq!([status(&probe, ada()), status(&probe, ada()), status(&probe, ada())], [200, 200, 429]);
    probe.advance(Duration::from_mins(1));
    let last = probe.get("/").consumer(ada()).send().respond(200, &[], "");
    assert_eq!(last.header("ratelimit-policy"), Some(r#""free 2/min";q=2;w=60, "free 3/day quota";q=3;w=86400"#));
    assert_eq!(last.header("ratelimit"), Some(r#""free 2/min";r=1;t=60, "free 3/day quota";r=0;t=86340"#));
    let refused = probe.get("/").consumer(ada()).send();
    assert_eq!(refused.refused().header("retry-after"), Some("86340"));
    assert_eq!(refused.refused().json()["detail"], "The limit of 3/day is used up.");
}

#[test]
fn older_clients_are_told_in_their_words_where_the_file_says_so() {
    let limit = json!([{ "rate": "10/min" }, { "quota": "5/day" }]);
    for (word, is_draft, is_legacy) in [("legacy", false, true), ("both", true, true), ("none", false, false)] {
        let probe = Probe::<RateLimit>::new(json!({ "by": "all", "limit": limit, "headers": word }));
        let answered = probe.get("/").send().respond(200, &[], "");
        assert_eq!(answered.header("ratelimit").is_some(), is_draft);
        let names = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
        let expected = if is_legacy { [Some("5"), Some("4"), Some("86400")] } else { [None; 3] };
        assert_eq!(names.map(|name| answered.header(name)), expected);
    }
}

#[test]
fn a_smooth_rate_lets_one_at_a_time_through_and_a_dear_one_alone() {
    let settings = json!({
        "by": "all", "limit": { "rate": "100/min", "smooth": true }, "cost": "${request.headers.x-weight:-1}",
    });
    let probe = Probe::<RateLimit>::new(settings);
    let first = probe.get("/").send().respond(200, &[], "");
    assert_eq!(first.header("ratelimit-policy"), Some(r#""probe/rate-limit";q=100;w=60"#));
    assert!(!is_admitted(&probe));
    probe.advance(Duration::from_millis(600));
    assert!(probe.get("/").header("x-weight", "3").send().answered().is_none());
    probe.advance(Duration::from_millis(1799));
    assert!(!is_admitted(&probe));
    probe.advance(Duration::from_millis(1));
    assert!(is_admitted(&probe));
}
