//! Random chains against a naive reading of the rules: no lists per hook, no reversal ahead of time, only the text of
//! the contract written down once more.

use std::collections::BTreeSet;

use http::HeaderMap;
use proptest::prelude::*;

use super::scripted::{Act, Mark, Rig, Script, letter, status};
use crate::chain::{Mode, OnError};
use crate::decision::Verdict;
use crate::plugin::Hooks;

/// Everything about one request that can be told from outside.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    calls: Vec<String>,
    verdicts: Vec<(String, Verdict)>,
    /// How each phase that took place ended.
    ends: Vec<String>,
    request_headers: BTreeSet<String>,
    upstream_headers: BTreeSet<String>,
    response_headers: BTreeSet<String>,
    request_body: String,
    response_body: String,
    consumer: Option<String>,
    upstream: Option<String>,
    mark: Option<usize>,
}

const REQUEST: [&str; 3] = ["XX", "YY", "ZZ"];
const RESPONSE: [&str; 2] = ["VV", "WW"];

/// The story as the chain tells it.
fn told(scripts: &[Script]) -> Story {
    let mut rig = Rig::new(scripts.to_vec());
    let mut story = Story::default();
    let mut forward = false;
    story.ends.push(match rig.request() {
        Ok(None) => {
            forward = true;
            "continue".to_owned()
        }
        Ok(Some(reply)) => format!("reply {}", reply.status_code()),
        Err(failure) => failure.place.to_string(),
    });
    let end = |ends: &mut Vec<String>, outcome: Result<(), crate::error::Failure>| {
        ends.push(outcome.map_or_else(|failure| failure.place.to_string(), |()| "continue".to_owned()));
    };
    if forward {
        let outcome = rig.upstream_request();
        end(&mut story.ends, outcome);
        match rig.request_body(&REQUEST) {
            Ok(Ok(out)) => {
                story.ends.push("continue".to_owned());
                story.request_body = out.concat();
            }
            Ok(Err(reply)) => story.ends.push(format!("reply {}", reply.status_code())),
            Err(failure) => story.ends.push(failure.place.to_string()),
        }
    }
    let outcome = rig.response();
    end(&mut story.ends, outcome);
    match rig.response_body(&RESPONSE) {
        Ok(out) => {
            story.ends.push("continue".to_owned());
            story.response_body = out.concat();
        }
        Err(failure) => story.ends.push(failure.place.to_string()),
    }
    rig.log();
    let names = |headers: &HeaderMap| headers.keys().map(ToString::to_string).collect();
    story.request_headers = names(&rig.head.headers);
    story.upstream_headers = if forward { names(&rig.upstream_head.headers) } else { BTreeSet::new() };
    story.response_headers = names(&rig.response_head.headers);
    story.consumer = rig.exchange.consumer.as_ref().map(|consumer| consumer.id.to_string());
    story.upstream = rig.exchange.upstream.as_ref().map(|upstream| upstream.name().to_string());
    story.mark = rig.exchange.fact::<Mark>().map(|mark| mark.0);
    story.verdicts = rig.verdicts();
    story.calls = rig.calls();
    story
}

/// What the rules make of what a hook did.
enum End {
    On,
    Reply,
    Failure,
}

impl Story {
    fn verdict(&mut self, index: usize, what: Verdict) {
        self.verdicts.push((format!("test/{index}"), what));
    }

    /// A hook that may answer was called: what comes of it. A plain `continue` is told of request hooks alone.
    fn judge(&mut self, index: usize, script: &Script, act: Act, tell_continue: bool) -> End {
        let enforces = script.mode == Mode::Enforce;
        match act {
            Act::Continue if tell_continue => self.verdict(index, Verdict::Continue),
            Act::Continue => {}
            Act::Respond if enforces => {
                self.verdict(index, Verdict::Respond(status(index)));
                return End::Reply;
            }
            Act::Respond => self.verdict(index, Verdict::WouldRespond(status(index))),
            Act::Fail | Act::Panic if enforces && script.on_error == OnError::Fail => {
                self.verdict(index, Verdict::Failed);
                return End::Failure;
            }
            Act::Fail | Act::Panic => self.verdict(index, Verdict::Skipped),
        }
        End::On
    }

    fn end(&mut self, index: usize, end: &End) {
        self.ends.push(match end {
            End::On => "continue".to_owned(),
            End::Reply => format!("reply {}", status(index)),
            End::Failure => format!("gateway.yaml:{}:3", index + 1),
        });
    }
}

/// The story as design and contract have it.
fn expected(scripts: &[Script]) -> Story {
    let mut story = Story::default();
    let mut entered = Vec::new();
    let mut left_out = Vec::new();
    let mut forward = true;

    for (index, script) in scripts.iter().enumerate() {
        if script.when == Some(false) {
            story.verdict(index, Verdict::NotEntered);
            left_out.push(index);
            continue;
        }
        entered.push(index);
        if !script.hooks.contains(Hooks::REQUEST) {
            continue;
        }
        story.calls.push(format!("request {index}"));
        if script.mode == Mode::Enforce {
            story.request_headers.insert(format!("x-{index}"));
            story.consumer = Some(index.to_string());
            story.upstream = Some(index.to_string());
            story.mark = Some(index);
        }
        let end = story.judge(index, script, script.request, true);
        if !matches!(end, End::On) {
            story.end(index, &end);
            forward = false;
            break;
        }
    }
    if forward {
        story.end(0, &End::On);
        upstream_request(&mut story, scripts, &entered);
        request_body(&mut story, scripts, &entered);
    }
    response(&mut story, scripts, &entered);
    response_body(&mut story, scripts, &entered);
    for (index, script) in scripts.iter().enumerate() {
        if script.hooks.contains(Hooks::LOG) && !left_out.contains(&index) {
            story.calls.push(format!("log {index}"));
        }
    }
    story
}

fn upstream_request(story: &mut Story, scripts: &[Script], entered: &[usize]) {
    story.upstream_headers = story.request_headers.clone();
    for &index in entered {
        let script = &scripts[index];
        if !script.hooks.contains(Hooks::UPSTREAM_REQUEST) {
            continue;
        }
        story.calls.push(format!("upstream_request {index}"));
        if script.mode == Mode::Enforce {
            story.upstream_headers.insert(format!("x-{index}"));
        }
        let end = story.judge(index, script, script.upstream_request, false);
        if !matches!(end, End::On) {
            return story.end(index, &end);
        }
    }
    story.end(0, &End::On);
}

fn request_body(story: &mut Story, scripts: &[Script], entered: &[usize]) {
    let mut out = String::new();
    for chunk in REQUEST {
        out.push_str(chunk);
        for &index in entered {
            let script = &scripts[index];
            if !script.hooks.contains(Hooks::REQUEST_BODY) {
                continue;
            }
            story.calls.push(format!("request_body {index}"));
            if script.mode == Mode::Enforce {
                out.push(letter(index));
            }
            let end = story.judge(index, script, script.request_body, false);
            if !matches!(end, End::On) {
                return story.end(index, &end);
            }
        }
    }
    story.request_body = out;
    story.end(0, &End::On);
}

fn response(story: &mut Story, scripts: &[Script], entered: &[usize]) {
    for &index in entered.iter().rev() {
        let script = &scripts[index];
        if !script.hooks.contains(Hooks::RESPONSE) {
            continue;
        }
        story.calls.push(format!("response {index}"));
        if script.mode == Mode::Enforce {
            story.response_headers.insert(format!("x-{index}"));
        }
        let end = story.judge(index, script, script.response, false);
        if !matches!(end, End::On) {
            return story.end(index, &end);
        }
    }
    story.end(0, &End::On);
}

fn response_body(story: &mut Story, scripts: &[Script], entered: &[usize]) {
    let mut out = String::new();
    for chunk in RESPONSE {
        out.push_str(chunk);
        for &index in entered.iter().rev() {
            let script = &scripts[index];
            if !script.hooks.contains(Hooks::RESPONSE_BODY) {
                continue;
            }
            story.calls.push(format!("response_body {index}"));
            if script.mode == Mode::Enforce {
                out.push(letter(index));
            }
            let end = story.judge(index, script, script.response_body, false);
            if !matches!(end, End::On) {
                return story.end(index, &end);
            }
        }
    }
    story.response_body = out;
    story.end(0, &End::On);
}

fn hooks() -> impl Strategy<Value = Hooks> {
    let each = [
        Hooks::REQUEST,
        Hooks::REQUEST_BODY,
        Hooks::UPSTREAM_REQUEST,
        Hooks::RESPONSE,
        Hooks::RESPONSE_BODY,
        Hooks::LOG,
    ];
    proptest::sample::subsequence(each.to_vec(), 0..=6)
        .prop_map(|hooks| hooks.into_iter().fold(Hooks::none(), |all, hook| all | hook))
}

fn act(may_answer: bool) -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => Just(Act::Continue),
        1 => Just(if may_answer { Act::Respond } else { Act::Continue }),
        1 => Just(Act::Fail),
        1 => Just(Act::Panic),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    let when = prop_oneof![3 => Just(None), 1 => Just(Some(true)), 1 => Just(Some(false))];
    let mode = prop_oneof![3 => Just(Mode::Enforce), 1 => Just(Mode::Observe)];
    let on_error = prop_oneof![Just(OnError::Fail), Just(OnError::Skip)];
    let acts = (act(true), act(true), act(false), act(false), act(false), act(false));
    (hooks(), when, mode, on_error, acts).prop_map(|(hooks, when, mode, on_error, acts)| {
        let (request, request_body, upstream_request, response, response_body, log) = acts;
        let access = crate::plugin::Access::default();
        Script {
            hooks,
            access,
            when,
            mode,
            on_error,
            request,
            request_body,
            upstream_request,
            response,
            response_body,
            log,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn every_chain_does_what_the_rules_say(scripts in proptest::collection::vec(script(), 0..8)) {
        prop_assert_eq!(told(&scripts), expected(&scripts));
    }
}
