//! What every plugin must withstand, whatever it does. Each rule is one function; the requests are in `samples`.

mod journey;
mod samples;
mod schema;

use serde_json::{Map, Value};

use self::journey::{Journey, Outcome};
use self::samples::{Sample, all};
use super::probe::Probe;
use super::setup::Setup;
use crate::chain::Mode;
use crate::plugin::{Build, Hooks};
use crate::registry::Registration;

/// Words that stand beside a plugin in a chain step, so that none may be called so.
const RESERVED: [&str; 5] = ["use", "name", "when", "mode", "on_error"];

/// Tries what every plugin must withstand, with these settings:
///
/// * its name is kebab-case and free;
/// * the settings build, an unknown one is refused, and every one is described in the schema;
/// * requests and answers of odd shapes bring neither a panic nor an `Err`;
/// * what it remembers of one request does not reach another that runs at the same time;
/// * it does the same with the hooks it names as with all of them;
/// * it tells every field of requests that it sets or removes;
/// * if it asks for whole bodies, it does the same however a body is cut;
/// * under `mode: observe` it changes nothing.
///
/// # Panics
/// On the first thing that is wrong.
#[track_caller]
pub fn conformance<P: Build>(example: Value) {
    conformance_in::<P>(Setup::new, example);
}

/// As [`conformance`], for a plugin that needs upstreams, tiers or consumers around it. `setup` is called once for each trial.
///
/// # Panics
/// On the first thing that is wrong.
#[track_caller]
pub fn conformance_in<P: Build>(setup: impl Fn() -> Setup<P>, example: Value) {
    is_named_well(P::NAME);
    schema::is_described(P::NAME, &Registration::of::<P>().schema);
    let suite = Suite { setup: &setup, example };
    suite.refuses_unknown_settings();
    suite.survives_odd_input();
    suite.keeps_requests_apart();
    suite.names_its_hooks();
    suite.names_its_request_fields();
    suite.gathers_bodies_however_they_are_cut();
    suite.changes_nothing_when_observing();
}

struct Suite<'s, P: Build> {
    setup: &'s dyn Fn() -> Setup<P>,
    example: Value,
}

impl<P: Build> Suite<'_, P> {
    /// A new instance in a new world.
    #[track_caller]
    fn probe(&self, around: impl FnOnce(Setup<P>) -> Setup<P>) -> Probe<P> {
        around((self.setup)()).build(self.example.clone())
    }

    /// What becomes of all samples, one after the other, in a new world.
    fn outcomes(&self, around: impl FnOnce(Setup<P>) -> Setup<P>) -> Vec<(Sample, Outcome)> {
        let probe = self.probe(around);
        let whole = |sample: Sample| {
            let outcome = Journey::new(&probe, &sample).finish();
            (sample, outcome)
        };
        all().into_iter().map(whole).collect()
    }

    #[track_caller]
    fn refuses_unknown_settings(&self) {
        self.probe(|setup| setup);
        let mut settings = match &self.example {
            Value::Object(settings) => settings.clone(),
            Value::Null => Map::new(),
            other => panic!("{}: settings are a map, not {other}", P::NAME),
        };
        settings.insert("no_such_setting".to_owned(), Value::Null);
        let refused = (self.setup)().try_build(settings.into()).is_err();
        assert!(refused, "{}: an unknown setting is accepted; mark Config with #[serde(deny_unknown_fields)]", P::NAME);
    }

    #[track_caller]
    fn survives_odd_input(&self) {
        for (sample, outcome) in self.outcomes(|setup| setup) {
            if let Some(failure) = &outcome.failure {
                panic!("{}: {sample:?} failed: {failure}", P::NAME);
            }
        }
    }

    /// Two requests take turns, hook by hook, and come out as they do one after the other.
    #[track_caller]
    fn keeps_requests_apart(&self) {
        let (a, b) = samples::pair();
        let in_turn = || {
            let probe = self.probe(|setup| setup);
            [Journey::new(&probe, &a).finish(), Journey::new(&probe, &b).finish()]
        };
        let probe = self.probe(|setup| setup);
        let (mut first, mut second) = (Journey::new(&probe, &a), Journey::new(&probe, &b));
        // Not short-circuited: each takes its step as long as either has one.
        while first.step() | second.step() {}
        let interleaved = [first.finish(), second.finish()];
        let (expected, again) = (in_turn(), in_turn());
        let what = "two requests at a time do not come out as one after the other";
        for ((expected, again), outcome) in expected.into_iter().zip(again).zip(interleaved) {
            agree::<P>(what, expected, &again, outcome);
        }
    }

    #[track_caller]
    fn names_its_hooks(&self) {
        let (own, again) = (self.outcomes(|setup| setup), self.outcomes(|setup| setup));
        let every = self.outcomes(|mut setup| {
            setup.around.hooks = Some(Hooks::all());
            setup
        });
        let question = "comes out differently when all hooks are called; does `hooks()` name every hook it has?";
        for (((sample, own), (_, again)), (_, every)) in own.into_iter().zip(again).zip(every) {
            agree::<P>(&format!("{sample:?} {question}"), own, &again, every);
        }
    }

    #[track_caller]
    fn names_its_request_fields(&self) {
        let probe = self.probe(|setup| setup);
        let told = probe.request_fields();
        for sample in all() {
            let untouched = Journey::untouched(&probe, &sample);
            let outcome = Journey::new(&probe, &sample).finish();
            for name in outcome.changed_fields(&untouched) {
                let is_told = told.set().contains(&name) || told.removed().contains(&name);
                let question = "does `request_fields()` tell every field that it sets and removes?";
                assert!(is_told, "{}: {sample:?} changed the field {name} of a request; {question}", P::NAME);
            }
        }
    }

    #[track_caller]
    fn gathers_bodies_however_they_are_cut(&self) {
        let probe = self.probe(|setup| setup);
        for sample in samples::bodies() {
            let mut whole = Journey::new(&probe, &sample);
            while whole.step() {}
            if !whole.gathers() {
                continue;
            }
            let (whole, again) = (whole.finish(), Journey::new(&probe, &sample).finish());
            for size in [1, 7, 10_000] {
                let complaint =
                    format!("{sample:?} comes out differently when its body comes in pieces of {size} bytes");
                agree::<P>(&complaint, whole.clone(), &again, Journey::cut(&probe, &sample, size).finish());
            }
        }
    }

    #[track_caller]
    fn changes_nothing_when_observing(&self) {
        let probe = self.probe(|setup| setup.mode(Mode::Observe));
        for sample in all() {
            let untouched = Journey::untouched(&probe, &sample);
            let outcome = Journey::new(&probe, &sample).finish().effect();
            agree::<P>(
                &format!("under `mode: observe`, {sample:?} was changed"),
                untouched.clone(),
                &untouched,
                outcome,
            );
        }
    }
}

/// Requires that `outcome` is as expected. If `again`, the same trial made twice, differs from itself, the plugin draws
/// random values of its own and only the shape can be compared.
#[track_caller]
fn agree<P: Build>(complaint: &str, expected: Outcome, again: &Outcome, outcome: Outcome) {
    let (expected, outcome) =
        if expected == *again { (expected, outcome) } else { (expected.shape(), outcome.shape()) };
    assert!(expected == outcome, "{}: {complaint}{}", P::NAME, expected.difference(&outcome));
}

#[track_caller]
fn is_named_well(name: &str) {
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let kebab = name.split('-').all(part) && name.starts_with(|first: char| first.is_ascii_lowercase());
    assert!(kebab, "{name:?} is not a plugin name: lower-case words joined by hyphens");
    assert!(!RESERVED.contains(&name), "{name:?} means something else in a chain step");
}
