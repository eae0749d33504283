//! The rules of the chain, one test for each; `model` compares random chains with a naive reading of them all.

mod bodies;
mod gathered;
mod model;
mod scripted;

use std::sync::Arc;

use futures::future::BoxFuture;
use http::StatusCode;

use self::scripted::{Act, Mark, Rig, Script, block_on, step};
use super::{Chain, MAX_STEPS, Mode, OnError, Run};
use crate::cx::{LogCx, RequestBodyCx, RequestCx, ResponseCx};
use crate::decision::Verdict;
use crate::error::{Cause, Failure, Result};
use crate::plugin::{Hooks, Plugin};
use crate::reply::Flow;

fn plain() -> Script {
    Script::default()
}

#[test]
fn request_hooks_run_in_the_order_written() {
    let mut rig = Rig::new([plain(), plain(), plain()]);
    assert!(rig.request().unwrap().is_none());
    assert_eq!(rig.calls(), ["request 0", "request 1", "request 2"]);
    rig.upstream_request().unwrap();
    assert_eq!(rig.calls(), ["upstream_request 0", "upstream_request 1", "upstream_request 2"]);
    rig.request_body(&["x"]).unwrap().unwrap();
    assert_eq!(rig.calls(), ["request_body 0", "request_body 1", "request_body 2"]);
}

#[test]
fn response_hooks_run_in_reverse_order() {
    let mut rig = Rig::new([plain(), plain(), plain()]);
    rig.request().unwrap();
    rig.calls();
    rig.response().unwrap();
    assert_eq!(rig.calls(), ["response 2", "response 1", "response 0"]);
    assert_eq!(rig.response_body(&["x"]).unwrap(), ["xcba"]);
    assert_eq!(rig.calls(), ["response_body 2", "response_body 1", "response_body 0"]);
}

#[test]
fn an_answer_skips_later_plugins_and_passes_the_response_hooks_of_the_entered_ones() {
    let mut rig = Rig::new([plain(), Script { request: Act::Respond, ..plain() }, plain()]);
    let reply = rig.request().unwrap().unwrap();
    assert_eq!(reply.status_code(), 401);
    assert_eq!(rig.calls(), ["request 0", "request 1"]);
    rig.response().unwrap();
    rig.response_body(&["x"]).unwrap();
    assert_eq!(rig.calls(), ["response 1", "response 0", "response_body 1", "response_body 0"]);
    rig.log();
    assert_eq!(rig.calls(), ["log 0", "log 1", "log 2"]);
    assert_eq!(rig.verdicts().last().unwrap(), &("test/1".to_owned(), Verdict::Respond(StatusCode::UNAUTHORIZED)));
}

#[test]
fn a_plugin_without_a_request_hook_is_entered_when_the_request_passes_it() {
    let passive = Script { hooks: Hooks::RESPONSE, ..plain() };
    let mut rig = Rig::new([passive.clone(), Script { request: Act::Respond, ..plain() }, passive]);
    rig.request().unwrap();
    rig.response().unwrap();
    assert_eq!(rig.calls(), ["request 1", "response 1", "response 0"]);
}

#[test]
fn a_condition_that_does_not_hold_leaves_out_every_hook_of_the_step() {
    let mut rig = Rig::new([plain(), Script { when: Some(false), ..plain() }, Script { when: Some(true), ..plain() }]);
    rig.request().unwrap();
    rig.upstream_request().unwrap();
    rig.request_body(&["x"]).unwrap().unwrap();
    rig.response().unwrap();
    rig.response_body(&["x"]).unwrap();
    rig.log();
    let calls = rig.calls();
    assert_eq!(calls.len(), 12, "{calls:?}");
    assert!(calls.iter().all(|call| !call.ends_with('1')), "{calls:?}");
    assert_eq!(rig.verdicts().get(1).unwrap(), &("test/1".to_owned(), Verdict::NotEntered));
}

#[test]
fn a_condition_is_decided_where_the_request_passes_even_without_a_request_hook() {
    let passive = Script { when: Some(false), hooks: Hooks::RESPONSE | Hooks::LOG, ..plain() };
    let mut rig = Rig::new([passive]);
    rig.request().unwrap();
    rig.response().unwrap();
    rig.log();
    assert_eq!(rig.calls(), [""; 0]);
}

#[test]
fn observing_records_the_answer_and_drops_every_change() {
    let script = Script { mode: Mode::Observe, request: Act::Respond, request_body: Act::Respond, ..plain() };
    let mut rig = Rig::new([script]);
    let before = rig.head.as_owned_parts();
    assert!(rig.request().unwrap().is_none());
    rig.upstream_request().unwrap();
    assert_eq!(rig.request_body(&["x", "y"]).unwrap().unwrap(), ["x", "y"]);
    rig.response().unwrap();
    assert_eq!(rig.response_body(&["x"]).unwrap(), ["x"]);

    assert_eq!(rig.head.headers, before.headers);
    assert_eq!(rig.upstream_head.headers, before.headers);
    assert!(rig.response_head.headers.is_empty());
    assert!(rig.exchange.consumer.is_none() && rig.exchange.upstream.is_none());
    assert_eq!(rig.exchange.fact::<Mark>(), None);
    let would = ("test/0".to_owned(), Verdict::WouldRespond(StatusCode::BAD_REQUEST));
    assert_eq!(rig.verdicts(), [would.clone(), would.clone(), would]);
}

/// A script that does `act` in one hook only.
fn only(hook: &str, act: Act, on_error: OnError, mode: Mode) -> Script {
    let mut script = Script { mode, on_error, ..plain() };
    *match hook {
        "request" => &mut script.request,
        "request_body" => &mut script.request_body,
        "upstream_request" => &mut script.upstream_request,
        "response" => &mut script.response,
        _ => &mut script.response_body,
    } = act;
    script
}

/// Runs every hook of a chain whose middle step is `script`, up to the first failure.
fn drive(script: Script) -> (Rig, Option<Failure>) {
    let mut rig = Rig::new([plain(), script, plain()]);
    let failure = rig
        .request()
        .map(drop)
        .and_then(|()| rig.upstream_request())
        .and_then(|()| rig.request_body(&["x"]).map(drop))
        .and_then(|()| rig.response())
        .and_then(|()| rig.response_body(&["x"]).map(drop))
        .err();
    rig.log();
    (rig, failure)
}

const FALLIBLE: [&str; 5] = ["request", "request_body", "upstream_request", "response", "response_body"];

#[test]
fn a_failure_in_any_hook_fails_closed_and_names_plugin_and_place() {
    for hook in FALLIBLE {
        let (rig, failure) = drive(only(hook, Act::Fail, OnError::Fail, Mode::Enforce));
        let failure = failure.unwrap();
        assert_eq!(failure.to_string(), "scripted (gateway.yaml:2:3): scripted failure", "{hook}");
        assert!(matches!(failure.cause, Cause::Error(_)));
        assert!(rig.verdicts().contains(&("test/1".to_owned(), Verdict::Failed)), "{hook}");
    }
}

#[test]
fn a_panic_in_any_hook_is_fenced_and_fails_closed() {
    for hook in FALLIBLE {
        let (_, failure) = drive(only(hook, Act::Panic, OnError::Fail, Mode::Enforce));
        let failure = failure.unwrap();
        assert_eq!(failure.to_string(), "scripted (gateway.yaml:2:3): panicked: scripted panic", "{hook}");
    }
}

#[test]
fn a_panic_in_the_log_hook_does_not_keep_the_others_from_logging() {
    let rig = Rig::new([plain(), Script { log: Act::Panic, ..plain() }, plain()]);
    rig.log();
    assert_eq!(rig.calls(), ["log 0", "log 1", "log 2"]);
}

#[test]
fn errors_and_panics_are_passed_over_where_the_step_says_so_or_only_observes() {
    for hook in FALLIBLE {
        for act in [Act::Fail, Act::Panic] {
            for (on_error, mode) in [(OnError::Skip, Mode::Enforce), (OnError::Fail, Mode::Observe)] {
                let (rig, failure) = drive(only(hook, act, on_error, mode));
                assert!(failure.is_none(), "{hook} {act:?}");
                let skipped = rig.verdicts().into_iter().filter(|(_, what)| *what == Verdict::Skipped).count();
                assert_eq!(skipped, 1, "{hook} {act:?}");
                assert_eq!(rig.calls().len(), 18, "{hook} {act:?}");
            }
        }
    }
}

/// Panics before there is a future to poll, as only a hook written without `async_trait` can.
struct Eager;

impl Plugin for Eager {
    fn on_request<'a: 's, 'b: 's, 'c: 's, 's>(&'a self, _: &'b mut RequestCx<'c>) -> BoxFuture<'s, Result<Flow>>
    where
        Self: 's,
    {
        std::panic::resume_unwind(Box::new("eager"))
    }
}

#[test]
fn a_panic_while_a_hook_makes_its_future_is_fenced_too() {
    let failure = Rig::of(vec![Arc::new(step(0, Eager))]).request().unwrap_err();
    assert!(matches!(failure.cause, Cause::Panic(message) if message == "eager"));
}

#[test]
fn a_request_body_hook_may_answer() {
    let mut rig = Rig::new([plain(), Script { request_body: Act::Respond, ..plain() }, plain()]);
    rig.request().unwrap();
    rig.calls();
    let reply = rig.request_body(&["x", "y"]).unwrap().unwrap_err();
    assert_eq!(reply.status_code(), 401);
    assert_eq!(rig.calls(), ["request_body 0", "request_body 1"]);
}

#[test]
fn a_chain_has_at_most_64_steps() {
    let steps = |count| (0..count).map(|index| Arc::new(step(index, Idle))).collect::<Vec<_>>();
    assert!(Chain::new(steps(MAX_STEPS)).is_some());
    assert!(Chain::new(steps(MAX_STEPS + 1)).is_none());
}

#[test]
fn the_last_of_64_steps_is_entered_and_left_out_like_any_other() {
    let last = |when| {
        let mut scripts = vec![Script { hooks: Hooks::none(), ..plain() }; MAX_STEPS - 1];
        scripts.push(Script { when: Some(when), hooks: Hooks::RESPONSE, ..plain() });
        let mut rig = Rig::new(scripts);
        rig.request().unwrap();
        rig.response().unwrap();
        rig.calls()
    };
    assert_eq!(last(true), ["response 63"]);
    assert_eq!(last(false), [""; 0]);
}

struct Idle;

impl Plugin for Idle {}

#[test]
fn the_last_to_choose_consumer_upstream_and_fact_wins() {
    let mut rig = Rig::new([plain(), plain()]);
    rig.request().unwrap();
    assert_eq!(&*rig.exchange.consumer.as_ref().unwrap().id, "1");
    assert_eq!(&**rig.exchange.upstream.as_ref().unwrap().name(), "1");
    assert_eq!(rig.exchange.fact::<Mark>(), Some(&Mark(1)));
}

/// Counts its own calls in its memory of the request, and tells the count when it logs.
struct Counting;

#[derive(Default)]
struct Count(u32);

#[async_trait::async_trait]
impl Plugin for Counting {
    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        cx.state::<Count>().0 += 1;
        Ok(Flow::Continue)
    }

    async fn on_request_body(&self, cx: &mut RequestBodyCx<'_>) -> Result<Flow> {
        cx.state::<Count>().0 += 10;
        Ok(Flow::Continue)
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        let count = cx.state::<Count>().0;
        cx.note(count.to_string());
        Ok(())
    }

    fn on_log(&self, cx: &LogCx<'_>) {
        assert!(cx.state::<Count>().is_some());
    }
}

#[test]
fn each_step_has_a_memory_of_its_own_for_each_request() {
    // The same instance twice in one chain: memory belongs to the step, not to the instance.
    let plugin = Arc::new(Counting);
    let twice = [0, 1].map(|index: usize| {
        let step = super::Step::new("counting", index.to_string().into(), "".into(), plugin.clone());
        Arc::new(step.with_hooks(if index == 0 { Hooks::all() } else { Hooks::REQUEST | Hooks::RESPONSE }))
    });
    let mut rig = Rig::of(twice.to_vec());
    let notes = |rig: &Rig| -> Vec<_> {
        let notes = rig.exchange.decisions.iter().filter(|decision| decision.what == Verdict::Note);
        notes.map(|decision| format!("{}: {}", decision.step, decision.why)).collect()
    };
    rig.request().unwrap();
    rig.request_body(&["x", "y"]).unwrap().unwrap();
    rig.response().unwrap();
    rig.log();
    assert_eq!(notes(&rig), ["1: 1", "0: 21"]);

    rig.run = Run::default();
    rig.exchange.decisions.clear();
    rig.request().unwrap();
    rig.response().unwrap();
    assert_eq!(notes(&rig), ["1: 1", "0: 1"]);
}

/// Notes without end.
struct Chatty;

#[async_trait::async_trait]
impl Plugin for Chatty {
    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        (0..10_000).for_each(|_| cx.note("again"));
        Ok(Flow::Continue)
    }
}

#[test]
fn the_notes_kept_for_one_request_are_bounded() {
    let mut rig = Rig::of(vec![Arc::new(step(0, Chatty))]);
    rig.request().unwrap();
    assert_eq!(rig.exchange.decisions.len(), 128);
}

#[test]
fn letting_a_request_go_on_is_only_recorded_when_everything_is_wanted() {
    let mut rig = Rig::new([plain(), Script { when: Some(false), ..plain() }]);
    rig.exchange.verbose = false;
    rig.request().unwrap();
    assert!(rig.exchange.decisions.is_empty());
}

#[test]
fn dropping_a_waiting_hook_leaves_later_steps_unentered() {
    let mut rig = Rig::new([plain(), plain()]);
    {
        let Rig { chain, head, source, exchange, run, .. } = &mut rig;
        let mut hooks = Box::pin(chain.request(head, source, exchange, run));
        let polled = block_on(async { futures::poll!(hooks.as_mut()) });
        assert!(polled.is_pending());
    }
    assert!(rig.run.entered(0) && !rig.run.entered(1));
    rig.response().unwrap();
    rig.log();
    assert_eq!(rig.calls(), ["request 0", "response 0", "log 0", "log 1"]);
}
