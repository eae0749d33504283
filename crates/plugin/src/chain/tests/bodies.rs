//! Buffered answers: handed over whole, bounded, and neither lost nor doubled when the bound is passed.

use proptest::prelude::*;

use super::scripted::{Act, Rig, Script, block_on, letter};
use crate::chain::{Mode, OnError};
use crate::decision::Verdict;
use crate::error::Cause;
use crate::plugin::Access;

fn entered(scripts: impl IntoIterator<Item = Script>) -> Rig {
    let mut rig = Rig::new(scripts);
    rig.request().unwrap();
    rig.calls();
    rig
}

fn buffering(limit: usize) -> Script {
    Script { access: Access::Buffer(limit), ..Script::default() }
}

#[test]
fn a_buffered_body_is_held_and_handed_over_whole() {
    let mut rig = entered([buffering(4)]);
    assert_eq!(rig.response_body(&["xy", "", "zw", ""]).unwrap(), ["", "", "", "xyzwa"]);
    assert_eq!(rig.calls(), ["response_body 0"]);
}

#[test]
fn an_empty_body_reaches_a_hook_once_as_the_last_chunk() {
    for access in [Access::Buffer(0), Access::Stream] {
        let mut rig = entered([Script { access, ..Script::default() }]);
        assert_eq!(rig.request_body(&[""]).unwrap().unwrap(), ["a"]);
        assert_eq!(rig.response_body(&[""]).unwrap(), ["a"]);
        assert_eq!(rig.calls(), ["request_body 0", "response_body 0"]);
    }
}

#[test]
fn two_steps_buffer_one_after_the_other() {
    let mut rig = entered([buffering(6), Script::default(), buffering(4)]);
    assert_eq!(rig.response_body(&["xy", "zw"]).unwrap(), ["", "xyzwcba"]);
    assert_eq!(rig.calls(), ["response_body 2", "response_body 1", "response_body 0"]);
}

#[test]
fn a_body_over_the_bound_fails_at_the_chunk_that_exceeds_it() {
    let mut rig = entered([buffering(3)]);
    let failure = rig.response_body(&["xy", "zw", "never seen"]).unwrap_err();
    assert!(matches!(failure.cause, Cause::TooLarge { limit: 3 }));
    assert_eq!(
        failure.to_string(),
        "scripted (gateway.yaml:1:3): the body is longer than the 3 bytes this plugin holds"
    );
    assert_eq!(rig.calls(), [""; 0]);
}

#[test]
fn a_lenient_step_over_its_bound_is_told_once_and_lets_the_body_go_on_unchanged() {
    for (on_error, mode) in [(OnError::Skip, Mode::Enforce), (OnError::Fail, Mode::Observe)] {
        let mut rig = entered([Script::default(), Script { mode, on_error, ..buffering(3) }]);
        rig.exchange.decisions.clear();
        let out = rig.response_body(&["xy", "zw", "", "v"]).unwrap();
        // An observer holds nothing back in the first place.
        let observed = mode == Mode::Observe;
        assert_eq!(out, if observed { ["xya", "zwa", "", "va"] } else { ["", "xyzwa", "", "va"] });
        assert_eq!(rig.verdicts(), [("test/1".to_owned(), Verdict::Skipped)]);
        assert_eq!(rig.calls(), vec!["response_body 0"; if observed { 3 } else { 2 }]);
    }
}

#[test]
fn another_answer_starts_the_body_over() {
    let mut rig = entered([buffering(100)]);
    let Rig { chain, head, exchange, run, .. } = &mut rig;
    let mut chunk = bytes::Bytes::from_static(b"half");
    block_on(chain.response_body(&mut chunk, false, head, exchange, run)).unwrap();
    assert!(chunk.is_empty());
    rig.run.restart_bodies();
    assert_eq!(rig.response_body(&["half", "half"]).unwrap(), ["", "halfhalfa"]);
}

#[test]
fn the_bound_of_a_response_is_the_smallest_of_the_entered_strict_steps() {
    let scripts = [
        buffering(9),
        buffering(5),
        Script { when: Some(false), ..buffering(1) },
        Script { on_error: OnError::Skip, ..buffering(2) },
    ];
    let rig = entered(scripts);
    assert_eq!(rig.chain.response_body_limit(&rig.run), Some(5));
    let rig = entered([Script::default()]);
    assert_eq!(rig.chain.response_body_limit(&rig.run), None);
}

#[derive(Debug, Clone)]
struct Holder {
    limit: Option<usize>,
    lenient: bool,
}

fn holders() -> impl Strategy<Value = Vec<Holder>> {
    let holder = (proptest::option::of(0_usize..24), any::<bool>());
    proptest::collection::vec(holder.prop_map(|(limit, lenient)| Holder { limit, lenient }), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// However the body is cut and whoever buffers it: each buffering step that can adds its letter to the whole.
    #[test]
    fn no_byte_of_a_buffered_body_is_lost_or_doubled(
        holders in holders(),
        chunks in proptest::collection::vec("[A-Z]{0,8}", 1..6),
    ) {
        // Streaming steps leave the chunks alone here, so that the result does not depend on how the body was cut.
        let scripts = holders.iter().filter(|holder| holder.limit.is_some()).map(|holder| Script {
            on_error: if holder.lenient { OnError::Skip } else { OnError::Fail },
            response_body: Act::Continue,
            ..buffering(holder.limit.unwrap_or(0))
        });
        let mut rig = entered(scripts.collect::<Vec<_>>());
        let mut expected = Some(chunks.concat());
        let holding: Vec<_> = holders.iter().filter(|holder| holder.limit.is_some()).enumerate().collect();
        for (index, holder) in holding.into_iter().rev() {
            let Some(body) = &mut expected else { break };
            if body.len() <= holder.limit.unwrap_or(0) {
                body.push(letter(index));
            } else if !holder.lenient {
                expected = None;
            }
        }
        let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
        match (rig.response_body(&chunks), expected) {
            (Ok(out), Some(expected)) => prop_assert_eq!(out.concat(), expected),
            (Err(failure), None) => {
                let large = matches!(failure.cause, Cause::TooLarge { .. });
                prop_assert!(large);
            }
            (out, expected) => prop_assert!(false, "{:?} but expected {:?}", out, expected),
        }
    }
}
