//! A model of a pool: whatever happens in whatever order, nobody is picked who is not there, and nothing is left in flight.

use proptest::prelude::*;

use super::*;

/// What can happen to a pool.
#[derive(Debug, Clone)]
enum Event {
    /// A request begins, which has tried those before.
    Begin { key: u64, tried: Vec<usize> },
    /// One of those in flight ends so, or is given up.
    End { which: prop::sample::Index, outcome: Option<bool> },
    /// A task that holds one panics.
    Panic { which: prop::sample::Index },
    /// A bar goes up or down.
    Bar { place: usize, bar: usize, up: bool },
    /// Time passes.
    Wait { seconds: u64 },
    /// Discovery says who is there, and a picker is made anew.
    Members { present: Vec<bool> },
}

fn event() -> impl Strategy<Value = Event> {
    let index = any::<prop::sample::Index>();
    prop_oneof![
        4 => (any::<u64>(), prop::collection::vec(0..SIZE, 0..4)).prop_map(|(key, tried)| Event::Begin { key, tried }),
        3 => (index, any::<Option<bool>>()).prop_map(|(which, outcome)| Event::End { which, outcome }),
        1 => any::<prop::sample::Index>().prop_map(|which| Event::Panic { which }),
        2 => (0..SIZE, 0..BARS.len(), any::<bool>()).prop_map(|(place, bar, up)| Event::Bar { place, bar, up }),
        1 => (0_u64..40).prop_map(|seconds| Event::Wait { seconds }),
        1 => prop::collection::vec(any::<bool>(), SIZE).prop_map(|present| Event::Members { present }),
    ]
}

const SIZE: usize = 6;
const BARS: [Bar; 2] = [Bar::Unhealthy, Bar::Unproven];

fn group(place: usize) -> Group {
    Group { priority: u16::try_from(place / 3).unwrap(), zone: u8::from(place % 3 == 2) }
}

struct Pool {
    ledger: Arc<Ledger>,
    everybody: Vec<Arc<Member<()>>>,
    picker: Picker<()>,
    policy: Policy,
    now: Instant,
    held: Vec<(usize, InFlight)>,
}

impl Pool {
    fn new(policy: Policy) -> Self {
        let ledger = Ledger::new();
        let weight = |place: usize| u32::try_from(place % 3 + 1).unwrap();
        let everybody: Vec<_> = (0..SIZE).map(|place| member(&ledger, place, weight(place), group(place))).collect();
        let picker = Picker::new(&ledger, everybody.clone(), policy.clone());
        Self { ledger, everybody, picker, policy, now: Instant::now(), held: Vec::new() }
    }

    /// Whether it may be picked, said in the plainest way.
    fn is_there(&self, member: &Member<()>) -> bool {
        let ejected = self.policy.outlier.is_some() && member.seat.is_ejected(self.now);
        !BARS.iter().any(|bar| member.target.is_barred(*bar)) && !ejected
    }

    fn begin(&mut self, key: u64, tried: &[usize]) -> Result<(), TestCaseError> {
        let tried: Vec<_> = tried.iter().map(|place| address(*place)).collect();
        let free = |member: &&Arc<Member<()>>| !tried.contains(&member.target.address);
        let could = self.picker.members().iter().filter(free).any(|member| self.is_there(member));
        let panicking = self.policy.failover.panic_below > 0.0;
        let picked = self.picker.pick(self.now, key, &tried).cloned();
        match &picked {
            Some(member) => {
                prop_assert!(free(&member), "tried before");
                prop_assert!(self.is_there(member) || panicking, "not there");
            }
            None => prop_assert!(!could, "somebody was there"),
        }
        if !panicking {
            prop_assert_eq!(self.picker.has_another(self.now, &tried), could);
        }
        if let Some(member) = picked {
            let place = self.everybody.iter().position(|known| Arc::ptr_eq(known, &member)).unwrap();
            self.held.push((place, InFlight::new(&member, self.now)));
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Begin { key, tried } => self.begin(key, &tried)?,
            Event::End { which, outcome } if !self.held.is_empty() => {
                let (_, attempt) = self.held.swap_remove(which.index(self.held.len()));
                if let Some(failed) = outcome {
                    let outcome = if failed { Outcome::Failed } else { Outcome::Answered };
                    self.picker.report(&attempt, outcome, self.now);
                }
            }
            Event::Panic { which } if !self.held.is_empty() => {
                let (_, attempt) = self.held.swap_remove(which.index(self.held.len()));
                let task = std::panic::AssertUnwindSafe(move || {
                    let _attempt = attempt;
                    std::panic::resume_unwind(Box::new("as a plugin might"));
                });
                prop_assert!(std::panic::catch_unwind(task).is_err());
            }
            Event::End { .. } | Event::Panic { .. } => {}
            Event::Bar { place, bar, up } => {
                self.everybody[place].target.bar(BARS[bar], up);
            }
            Event::Wait { seconds } => self.now += Duration::from_secs(seconds),
            Event::Members { present } => {
                let members = self.everybody.iter().zip(present).filter(|(_, there)| *there);
                let members = members.map(|(member, _)| member.clone()).collect();
                self.picker = Picker::new(&self.ledger, members, self.policy.clone());
            }
        }
        self.check()
    }

    /// What is counted is what is held.
    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.ledger.in_flight() as usize, self.held.len());
        for (place, member) in self.everybody.iter().enumerate() {
            let held = self.held.iter().filter(|(at, _)| *at == place).count();
            prop_assert_eq!(member.target.in_flight() as usize, held);
        }
        let ejected = self.picker.members().iter().filter(|member| member.seat.is_ejected(self.now)).count();
        prop_assert!(self.policy.outlier.is_some() || ejected == 0);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_only_who_is_there_is_picked_and_nothing_stays_in_flight(
        events in prop::collection::vec(event(), 1..80),
        which in 0_usize..5,
        slow in any::<bool>(),
        ejects in any::<bool>(),
        panics in any::<bool>(),
        spill_below in 0.0_f64..1.0,
    ) {
        let mut pool = Pool::new(Policy {
            algorithm: ALL[which],
            failover: Failover { spill_below, panic_below: if panics { 0.5 } else { 0.0 } },
            slow_start: slow.then_some(Duration::from_secs(20)),
            outlier: ejects.then(|| Outlier { consecutive_failures: 2, ..outlier() }),
        });
        for event in events {
            pool.happen(event)?;
        }
        pool.held.clear();
        pool.check()?;
    }
}
