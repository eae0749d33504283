//! Against a circuit that is written down naively; and by several threads at once.

use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

use super::*;

const POLICY: CircuitPolicy = CircuitPolicy {
    failures: 0.5,
    minimum: 4,
    window: Duration::from_secs(10),
    open_for: Duration::from_secs(30),
    probes: 3,
};

/// A moment that is later than the one that this process counts from, which whoever comes first has set.
fn start() -> Instant {
    nanos(Instant::now());
    Instant::now()
}

/// Attempts that end so, one after the other.
fn attempts(circuit: &Arc<Circuit>, outcomes: &[bool], now: Instant) -> Vec<Option<CircuitChange>> {
    let attempt = |failed: &bool| {
        let pass = circuit.pass(&POLICY, now).expect("a pass");
        circuit.report(&POLICY, &pass, *failed, now)
    };
    outcomes.iter().map(attempt).collect()
}

#[test]
fn it_opens_by_a_share_of_enough_attempts_and_closes_when_all_probes_succeed() {
    let (circuit, now) = (Circuit::new(), start());
    // Three of three are not enough to tell; two of four are the half.
    assert_eq!(attempts(&circuit, &[true, true, false], now), [None; 3]);
    assert_eq!(attempts(&circuit, &[true], now), [Some(CircuitChange::Opened { attempts: 4, failures: 3 })]);
    assert_eq!(circuit.pass(&POLICY, now + Duration::from_secs(10)).unwrap_err(), Duration::from_secs(20));
    assert_eq!(circuit.state(now), CircuitState::Open(POLICY.open_for));
    let later = now + POLICY.open_for;
    assert_eq!(circuit.state(later), CircuitState::HalfOpen);
    let probes: Vec<_> = (0..3).map(|_| circuit.pass(&POLICY, later).unwrap()).collect();
    assert_eq!(circuit.pass(&POLICY, later).unwrap_err(), Duration::ZERO);
    let told: Vec<_> = probes.iter().map(|probe| circuit.report(&POLICY, probe, false, later)).collect();
    assert_eq!(told, [None, None, Some(CircuitChange::Closed)]);
    // What failed before says nothing any more.
    assert_eq!(attempts(&circuit, &[true, true, true], later), [None; 3]);
}

#[test]
fn what_opened_it_is_forgotten_when_it_closes_however_long_its_window() {
    let policy = CircuitPolicy { window: Duration::from_mins(10), ..POLICY };
    let (circuit, now) = (Circuit::new(), start());
    let attempt = |failed: bool, at: Instant| {
        let pass = circuit.pass(&policy, at).unwrap();
        circuit.report(&policy, &pass, failed, at)
    };
    assert!((0..4).any(|_| attempt(true, now).is_some()));
    let later = now + policy.open_for;
    assert_eq!([(); 3].map(|()| attempt(false, later)).last(), Some(&Some(CircuitChange::Closed)));
    assert_eq!(circuit.counts(&policy, later), (0, 0));
    assert_eq!(attempt(true, later), None, "one of one is not enough to tell");
}

#[test]
fn a_probe_that_fails_opens_it_again_and_one_that_is_given_up_lets_another_in() {
    let (circuit, now) = (Circuit::new(), start());
    attempts(&circuit, &[true; 4], now);
    let later = now + POLICY.open_for;
    let mut probes: Vec<_> = (0..3).map(|_| circuit.pass(&POLICY, later).unwrap()).collect();
    assert!(circuit.pass(&POLICY, later).is_err());
    drop(probes.pop());
    probes.push(circuit.pass(&POLICY, later).unwrap());
    assert!(circuit.pass(&POLICY, later).is_err());
    let opened = Some(CircuitChange::Opened { attempts: 0, failures: 0 });
    assert_eq!(circuit.report(&POLICY, &probes[0], true, later), opened);
    // The others were begun before that.
    assert_eq!(circuit.report(&POLICY, &probes[1], true, later), None);
    assert_eq!(circuit.report(&POLICY, &probes[2], false, later), None);
    assert_eq!(circuit.state(later), CircuitState::Open(POLICY.open_for));
}

#[test]
fn what_was_begun_before_it_opened_says_nothing_later() {
    let (circuit, now) = (Circuit::new(), start());
    let early: Vec<_> = (0..100).map(|_| circuit.pass(&POLICY, now).unwrap()).collect();
    attempts(&circuit, &[true; 4], now);
    let later = now + POLICY.open_for;
    attempts(&circuit, &[false; 3], later);
    assert_eq!(circuit.state(later), CircuitState::Closed);
    assert!(early.iter().all(|pass| circuit.report(&POLICY, pass, true, later).is_none()));
    assert_eq!((circuit.state(later), circuit.counts(&POLICY, later)), (CircuitState::Closed, (0, 0)));
}

#[derive(Debug, Clone)]
enum Event {
    Wait { millis: u64 },
    Begin,
    End { which: prop::sample::Index, failed: bool },
    GiveUp { which: prop::sample::Index },
}

fn event() -> impl Strategy<Value = Event> {
    let index = any::<prop::sample::Index>();
    prop_oneof![
        2 => (0_u64..4_000).prop_map(|millis| Event::Wait { millis }),
        1 => (20_000_u64..40_000).prop_map(|millis| Event::Wait { millis }),
        12 => Just(Event::Begin),
        8 => (index, prop::bool::weighted(0.6)).prop_map(|(which, failed)| Event::End { which, failed }),
        2 => any::<prop::sample::Index>().prop_map(|which| Event::GiveUp { which }),
    ]
}

/// A circuit as one would write it down.
#[derive(Debug)]
enum Naive {
    Closed { ended: Vec<(u64, bool)> },
    Open { until: u64 },
    HalfOpen { begun: HashSet<usize>, succeeded: usize },
}

#[derive(Debug)]
struct Oracle {
    naive: Naive,
    phase: usize,
    /// In which phase each attempt was begun.
    phases: Vec<usize>,
}

impl Oracle {
    fn pass(&mut self, nanos: u64) -> Result<usize, u64> {
        if let Naive::Open { until } = self.naive {
            if nanos < until {
                return Err(until - nanos);
            }
            self.turn(Naive::HalfOpen { begun: HashSet::new(), succeeded: 0 });
        }
        let number = self.phases.len();
        if let Naive::HalfOpen { begun, succeeded } = &mut self.naive {
            if begun.len() + *succeeded >= usize::from(POLICY.probes) {
                return Err(0);
            }
            begun.insert(number);
        }
        self.phases.push(self.phase);
        Ok(number)
    }

    fn turn(&mut self, naive: Naive) {
        self.naive = naive;
        self.phase += 1;
    }

    fn report(&mut self, number: usize, failed: bool, nanos: u64) -> Option<CircuitChange> {
        if self.phases[number] != self.phase {
            return None;
        }
        let until = nanos + length(POLICY.open_for);
        match &mut self.naive {
            Naive::Open { .. } => None,
            Naive::Closed { ended } => {
                ended.push((nanos, failed));
                let tenth = length(POLICY.window) / 10;
                let within = ended.iter().filter(|(at, _)| nanos / tenth - at / tenth < 10);
                let (attempts, failures) =
                    within.fold((0, 0), |(all, bad), (_, failed)| (all + 1, bad + u32::from(*failed)));
                let is_too_much =
                    attempts >= POLICY.minimum && f64::from(failures) / f64::from(attempts) >= POLICY.failures;
                if !failed || !is_too_much {
                    return None;
                }
                self.turn(Naive::Open { until });
                Some(CircuitChange::Opened { attempts, failures })
            }
            Naive::HalfOpen { begun, succeeded } => {
                begun.remove(&number);
                if failed {
                    self.turn(Naive::Open { until });
                    return Some(CircuitChange::Opened { attempts: 0, failures: 0 });
                }
                *succeeded += 1;
                if *succeeded < usize::from(POLICY.probes) {
                    return None;
                }
                self.turn(Naive::Closed { ended: Vec::new() });
                Some(CircuitChange::Closed)
            }
        }
    }

    fn give_up(&mut self, number: usize) {
        if let Naive::HalfOpen { begun, .. } = &mut self.naive
            && self.phases[number] == self.phase
        {
            begun.remove(&number);
        }
    }
}

proptest! {
    #[test]
    fn it_does_what_its_model_does(events in prop::collection::vec(event(), 1..400)) {
        let (circuit, mut now) = (Circuit::new(), start());
        let mut oracle = Oracle { naive: Naive::Closed { ended: Vec::new() }, phase: 0, phases: Vec::new() };
        let mut held: Vec<(usize, Pass)> = Vec::new();
        for event in events {
            let at = nanos(now);
            match event {
                Event::Wait { millis } => now += Duration::from_millis(millis),
                Event::Begin => {
                    let refuses = circuit.refuses(&POLICY, now).map(length);
                    let passed = circuit.pass(&POLICY, now);
                    let expected = oracle.pass(at);
                    prop_assert_eq!(refuses, expected.err());
                    prop_assert_eq!(passed.as_ref().err().copied().map(length), expected.err());
                    if let (Ok(pass), Ok(number)) = (passed, expected) {
                        held.push((number, pass));
                    }
                }
                Event::End { which, failed } if !held.is_empty() => {
                    let (number, pass) = held.swap_remove(which.index(held.len()));
                    prop_assert_eq!(circuit.report(&POLICY, &pass, failed, now), oracle.report(number, failed, at));
                    // A second report of the same changes nothing where probes are counted.
                    if pass.probes.is_some() {
                        prop_assert_eq!(circuit.report(&POLICY, &pass, !failed, now), None);
                    }
                }
                Event::GiveUp { which } if !held.is_empty() => {
                    let (number, _) = held.swap_remove(which.index(held.len()));
                    oracle.give_up(number);
                }
                Event::End { .. } | Event::GiveUp { .. } => {}
            }
        }
    }
}

/// However many ask at once: one opening, no probe too many, one closing.
#[test]
fn it_opens_once_and_lets_no_probe_too_many_through_however_many_ask_at_once() {
    const THREADS: usize = 4;
    for _ in 0..200 {
        let (circuit, now) = (Circuit::new(), start());
        let (opened, probes, closed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let count = |counter: &AtomicUsize, yes: bool| counter.fetch_add(usize::from(yes), Ordering::Relaxed);
        let all_at_once = |work: &(dyn Fn() + Sync)| {
            std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(work))));
        };
        all_at_once(&|| {
            for _ in 0..20 {
                let Ok(pass) = circuit.pass(&POLICY, now) else { return };
                let change = circuit.report(&POLICY, &pass, true, now);
                count(&opened, matches!(change, Some(CircuitChange::Opened { .. })));
            }
        });
        assert_eq!(opened.load(Ordering::Relaxed), 1);
        let later = now + POLICY.open_for;
        let held = parking_lot::Mutex::new(Vec::new());
        all_at_once(&|| {
            for _ in 0..20 {
                if let Ok(pass) = circuit.pass(&POLICY, later) {
                    count(&probes, true);
                    held.lock().push(pass);
                }
            }
        });
        assert_eq!(probes.load(Ordering::Relaxed), usize::from(POLICY.probes));
        all_at_once(&|| {
            let Some(pass) = held.lock().pop() else { return };
            let change = circuit.report(&POLICY, &pass, false, later);
            count(&closed, change == Some(CircuitChange::Closed));
        });
        assert_eq!((closed.load(Ordering::Relaxed), circuit.state(later)), (1, CircuitState::Closed));
    }
}
