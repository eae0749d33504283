//! The test kit, tried on plugins that keep the rules and on plugins that break one each.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::uri::PathAndQuery;
use parking_lot::Mutex;
use portreeve_plugin::prelude::*;
use portreeve_plugin::testing::{Mode, OnError, Probe, answer, conformance, conformance_in};
use portreeve_plugin::{Upstream, Verdict};
use serde_json::{Value, json};

/// Asks an upstream before it lets a request go on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AskConfig {
    /// Whom to ask.
    upstream: String,
    /// Longest wait, in milliseconds.
    #[serde(default = "hundred")]
    timeout_ms: u64,
}

fn hundred() -> u64 {
    100
}

struct Ask {
    upstream: Upstream,
    timeout: Duration,
    clock: Clock,
    asked: Counter,
}

#[async_trait]
impl Plugin for Ask {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    fn request_fields(&self) -> RequestFields {
        RequestFields::none().sets(["x-waited", "x-told"].map(HeaderName::from_static))
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        self.asked.inc();
        let started = self.clock.now();
        let call = Call { timeout: self.timeout, ..Call::get(PathAndQuery::from_static("/ask")) };
        let answered = match self.upstream.call(call).await {
            Ok(answered) => answered,
            Err(error) => return Ok(Reply::problem(error.status(), "asked in vain").into()),
        };
        let waited = self.clock.now().duration_since(started).as_millis();
        cx.set_header(HeaderName::from_static("x-waited"), HeaderValue::from_str(&waited.to_string())?);
        cx.set_header(HeaderName::from_static("x-told"), HeaderValue::from_bytes(&answered.body)?);
        cx.set_upstream(&self.upstream);
        cx.put(answered.status.as_u16());
        Ok(Flow::Continue)
    }
}

impl Build for Ask {
    const NAME: &'static str = "ask";
    type Config = AskConfig;

    fn build(config: AskConfig, host: &Host) -> Result<Self, BuildError> {
        Ok(Self {
            upstream: host.upstream(&config.upstream, "upstream")?,
            timeout: Duration::from_millis(config.timeout_ms),
            clock: host.clock(),
            asked: host.counter("asked_total", "Questions asked.")?,
        })
    }
}

fn asking(latency: Duration) -> Probe<Ask> {
    let setup = Probe::<Ask>::setup().upstream_slow("sage", latency, |_| Ok(answer(200, "yes")));
    setup.build(json!({ "upstream": "sage" }))
}

#[test]
fn an_upstream_stub_is_called_through_its_pool() {
    let probe = asking(Duration::ZERO);
    let sent = probe.get("/").send();
    let forwarded = sent.forwarded();
    assert_eq!(forwarded.header("x-told"), Some("yes"));
    assert_eq!(forwarded.header("x-waited"), Some("0"));
    assert_eq!(forwarded.upstream.as_deref(), Some("sage"));
    assert_eq!(sent.fact::<u16>(), Some(200));
    assert_eq!(probe.calls("sage").len(), 1);
    assert!(probe.metric("portreeve_plugin_ask_asked_total") > 0.5);
}

#[test]
fn a_slow_stub_takes_its_time_on_the_frozen_clock() {
    assert_eq!(asking(Duration::from_millis(70)).get("/").send().forwarded().header("x-waited"), Some("70"));
}

#[test]
fn a_stub_that_is_too_slow_times_out() {
    assert_eq!(asking(Duration::from_millis(101)).get("/").send().refused().status, 504);
    assert_eq!(asking(Duration::MAX).get("/").send().refused().status, 504);
}

#[test]
fn an_answer_longer_than_the_call_allows_is_refused() {
    let setup = Probe::<Ask>::setup().upstream_async("sage", |_| async { Ok(answer(200, vec![b'y'; 2 << 20])) });
    let answered = setup.build(json!({ "upstream": "sage" })).get("/").send().refused();
    assert_eq!(answered.status, 502);
    assert_eq!(
        answered.json(),
        json!({
            "type": "about:blank", "title": "Bad Gateway", "status": 502, "detail": "asked in vain"
        })
    );
}

#[test]
fn a_setting_that_names_no_upstream_is_answered_with_the_nearest() {
    let setup = Probe::<Ask>::setup().upstream("sage", |_| Ok(answer(200, "")));
    let error = setup.try_build(json!({ "upstream": "sags" })).unwrap_err();
    assert_eq!(error.to_string(), "upstream: no upstream \"sags\"; did you mean \"sage\"?");
}

#[test]
fn a_client_that_goes_away_drops_the_hook_where_it_waits() {
    assert!(asking(Duration::MAX).get("/").abandon());
    assert!(!asking(Duration::ZERO).get("/").abandon());
}

#[test]
fn a_plugin_that_keeps_the_rules_conforms() {
    conformance_in::<Ask>(|| Probe::setup().upstream("sage", |_| Ok(answer(200, "y"))), json!({ "upstream": "sage" }));
    conformance::<Faulty<{ NONE }>>(json!({ "named": null }));
}

/// Settings that any fault has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Strict {
    /// Not used.
    #[serde(default)]
    #[expect(dead_code, reason = "only its being known matters")]
    named: Option<String>,
}

/// Settings that take anything.
#[derive(Debug, Deserialize, JsonSchema)]
struct Lax {}

/// Settings of which one is not described.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Silent {
    #[serde(default)]
    #[expect(dead_code, reason = "only its being known matters")]
    named: Option<Vec<String>>,
}

const NONE: u8 = 0;
const PANICS: u8 = 1;
const ERRS: u8 = 2;
const MIXES: u8 = 3;
const HIDES_HOOKS: u8 = 4;
const HIDES_FIELDS: u8 = 9;

/// A plugin with one fault, or none.
struct Faulty<const FAULT: u8> {
    last: Mutex<String>,
    seen: AtomicUsize,
}

#[async_trait]
impl<const FAULT: u8> Plugin for Faulty<FAULT> {
    fn hooks(&self) -> Hooks {
        if FAULT == HIDES_HOOKS { Hooks::REQUEST } else { Hooks::REQUEST | Hooks::RESPONSE }
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        self.seen.fetch_add(1, Ordering::Relaxed);
        cx.path().clone_into(&mut self.last.lock());
        if FAULT == PANICS && cx.header(&header::HOST).is_none() {
            std::panic::resume_unwind(Box::new("no host"));
        }
        if FAULT == ERRS && cx.headers().values().any(|value| value.to_str().is_err()) {
            return Err(Error::new("not text"));
        }
        if FAULT == HIDES_FIELDS {
            cx.set_header(HeaderName::from_static("x-hidden"), HeaderValue::from_static("1"));
        }
        let path = cx.path().to_owned();
        *cx.state() = path;
        Ok(Flow::Continue)
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        let path = if FAULT == MIXES { self.last.lock().clone() } else { cx.state::<String>().clone() };
        cx.set_header(HeaderName::from_static("x-path"), HeaderValue::from_str(&path)?);
        Ok(())
    }
}

macro_rules! build {
    ($fault:expr, $name:literal, $config:ty) => {
        impl Build for Faulty<$fault> {
            const NAME: &'static str = $name;
            type Config = $config;

            fn build(_: $config, _: &Host) -> Result<Self, BuildError> {
                Ok(Self { last: Mutex::default(), seen: AtomicUsize::new(0) })
            }
        }
    };
}

build!(NONE, "faultless", Strict);
build!(PANICS, "panics", Strict);
build!(ERRS, "errs", Strict);
build!(MIXES, "mixes", Strict);
build!(HIDES_HOOKS, "hides-hooks", Strict);
build!(HIDES_FIELDS, "hides-fields", Strict);
build!(5, "lax", Lax);
build!(6, "silent", Silent);
build!(7, "Not_Kebab", Strict);
build!(8, "when", Strict);

/// What the conformance suite says against a plugin.
fn complaint<P: Build>() -> String {
    let complaint = catch_unwind(AssertUnwindSafe(|| conformance::<P>(json!({})))).unwrap_err();
    complaint.downcast_ref::<String>().expect("a message").clone()
}

#[test]
fn each_broken_rule_is_named() {
    for (complaint, expected) in [
        (
            complaint::<Faulty<PANICS>>(),
            "panics: a request without any header (GET /a/b?c=d) failed: panics (gateway.yaml:1:1): panicked: no host",
        ),
        (
            complaint::<Faulty<ERRS>>(),
            "errs: headers that are not UTF-8 (GET /a/b?c=d) failed: errs (gateway.yaml:1:1): not text",
        ),
        (
            complaint::<Faulty<MIXES>>(),
            "mixes: two requests at a time do not come out as one after the other\n  headers: ",
        ),
        (
            complaint::<Faulty<HIDES_HOOKS>>(),
            "hides-hooks: a request (GET /a/b?c=d) comes out differently when all hooks are called",
        ),
        (
            complaint::<Faulty<HIDES_FIELDS>>(),
            "hides-fields: a request (GET /a/b?c=d) changed the field x-hidden of a request; does `request_fields()` tell",
        ),
        (
            complaint::<Marks>(),
            "marks: a body of single bytes (POST /a) comes out differently when its body comes in pieces of 7 bytes",
        ),
        (complaint::<Faulty<5>>(), "lax: an unknown setting is accepted"),
        (complaint::<Faulty<6>>(), "silent: settings without a doc comment: named"),
        (complaint::<Faulty<7>>(), "\"Not_Kebab\" is not a plugin name"),
        (complaint::<Faulty<8>>(), "\"when\" means something else in a chain step"),
    ] {
        assert!(complaint.starts_with(expected), "{complaint}");
    }
}

#[test]
fn parameters_are_found_in_the_path_or_read_off_the_pattern() {
    #[derive(Debug, Deserialize, JsonSchema)]
    struct Nothing {}
    struct Echo;
    #[async_trait]
    impl Plugin for Echo {
        async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
            let names = ["id", "rest", "version"].map(|name| format!("{name}={:?}", cx.param(name)));
            Ok(Reply::text(StatusCode::OK, names.join(" ")).into())
        }
    }
    impl Build for Echo {
        const NAME: &'static str = "echo";
        type Config = Nothing;
        fn build(_: Nothing, _: &Host) -> Result<Self, BuildError> {
            Ok(Self)
        }
    }
    let probe = Probe::<Echo>::new(Value::Null);
    let answered = probe.get("/v7/users/7?7").param("id", "7").send().refused();
    assert_eq!(answered.text(), "id=Some(\"7\") rest=None version=None");
    let answered = probe.get("/v1/users/7/x").route("/{version}/users/**").send().refused();
    assert_eq!(answered.text(), "id=None rest=Some(\"7/x\") version=Some(\"v1\")");
}

#[test]
fn what_stands_beside_the_step_is_honoured() {
    let probe = Probe::<Faulty<PANICS>>::setup().on_error(OnError::Skip).build(json!({}));
    let sent = probe.get("/").without_host().send();
    sent.forwarded();
    assert_eq!(sent.decisions().first().map(|decision| decision.what), Some(Verdict::Skipped));

    let probe = Probe::<Faulty<PANICS>>::setup().when("request.path == \"/b\"").build(json!({}));
    probe.get("/a").without_host().send().forwarded();
    let sent = probe.get("/b").without_host().send();
    assert_eq!(sent.answered().map(|answered| answered.status), Some(StatusCode::INTERNAL_SERVER_ERROR));
    assert_eq!(sent.failure().as_deref(), Some("panics (gateway.yaml:1:1): panicked: no host"));

    let probe = Probe::<Faulty<NONE>>::setup().mode(Mode::Observe).build(json!({}));
    assert_eq!(probe.get("/").send().respond(200, &[], "x").header("x-path"), None);
}

#[test]
fn a_target_may_be_tried_again_and_its_answer_passes_the_response_hooks() {
    let probe = Probe::<Faulty<NONE>>::new(json!({}));
    let sent = probe.request(Method::POST, "/a").chunks(["ab", "cd"]).send();
    assert_eq!(sent.forwarded().text(), "abcd");
    assert_eq!(sent.retry().text(), "abcd");
    let answered = sent.respond(201, &[("x-a", "1"), ("x-a", "2")], "made");
    assert_eq!((answered.status.as_u16(), answered.text()), (201, "made"));
    assert_eq!(answered.header_all("x-a"), ["1", "2"]);
    assert_eq!(answered.header("x-path"), Some("/a"));
    sent.log(201);
}

/// Turns whole bodies of requests into capitals.
struct Capitals;

#[async_trait]
impl Plugin for Capitals {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        if cx.has_body() {
            let body = cx.body(200_000).await?;
            cx.set_body(body.to_ascii_uppercase());
        }
        Ok(Flow::Continue)
    }
}

impl Build for Capitals {
    const NAME: &'static str = "capitals";
    type Config = Strict;

    fn build(_: Strict, _: &Host) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

/// Asks for whole bodies, and where one is too long for it does something to each piece that it is sent in.
struct Marks;

#[async_trait]
impl Plugin for Marks {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST | Hooks::REQUEST_BODY
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        // Passed over: the body streams on.
        cx.body(2).await.ok();
        Ok(Flow::Continue)
    }

    async fn on_request_body(&self, cx: &mut RequestBodyCx<'_>) -> Result<Flow> {
        let marked = [cx.chunk(), &b"|"[..]].concat();
        cx.set_chunk(marked.into());
        Ok(Flow::Continue)
    }
}

impl Build for Marks {
    const NAME: &'static str = "marks";
    type Config = Strict;

    fn build(_: Strict, _: &Host) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

#[test]
fn a_whole_body_is_gathered_changed_and_sent_in_every_attempt() {
    let probe = Probe::<Capitals>::new(json!({}));
    let sent = probe.request(Method::POST, "/a").header("digest", "x").chunks(["ab", "", "cd"]).send();
    assert_eq!((sent.forwarded().text(), sent.forwarded().header("digest")), ("ABCD", None));
    assert_eq!(sent.retry().text(), "ABCD");
    assert_eq!(probe.get("/a").send().forwarded().text(), "");

    let sent = probe.request(Method::POST, "/a").body(vec![b'x'; 200_001]).send();
    assert_eq!(sent.refused().status, StatusCode::PAYLOAD_TOO_LARGE);

    let sent = probe.request(Method::POST, "/a").chunks(["ab"]).breaking_off().send();
    assert_eq!(sent.answered().map(|answered| answered.status), Some(StatusCode::BAD_REQUEST));
}

#[test]
fn a_plugin_that_gathers_keeps_the_contract_however_bodies_are_cut() {
    conformance::<Capitals>(json!({}));
}
