//! A world in virtual time: clients that ask at random moments, targets that work on a few requests at once and let the others
//! wait, and between them the picker as it is in production.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve_balance::{Bar, Group, InFlight, Ledger, Member, Outcome, Picker, Policy, Target};

/// What a target is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Mean time that a request takes, once it is worked on; exponentially distributed.
    pub(crate) service: Duration,
    /// Requests worked on at once.
    pub(crate) workers: usize,
    /// When it comes to the pool.
    pub(crate) joins: Duration,
    /// How much longer the first request takes: caches are empty, code is not compiled. Wears off by half with each
    /// `WARM` requests.
    pub(crate) cold: f64,
}

impl Kind {
    /// One that is there and warm from the beginning.
    pub(crate) fn usual(service: Duration, workers: usize) -> Self {
        Self { service, workers, joins: Duration::ZERO, cold: 1.0 }
    }
}

/// So many requests halve what is cold in a target.
const WARM: f64 = 200.0;

/// What is played out.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) targets: Vec<Kind>,
    pub(crate) policy: Policy,
    /// Requests per second, at random moments (Poisson).
    pub(crate) rate: f64,
    pub(crate) lasts: Duration,
    pub(crate) seed: u64,
}

/// One request that was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    /// When it was asked.
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    pub(crate) target: usize,
}

enum Event {
    Arrives,
    /// A target is done with its oldest request at this worker.
    Done {
        target: usize,
        job: Job,
    },
    Joins {
        target: usize,
    },
}

struct Job {
    asked: Duration,
    attempt: InFlight,
}

struct Server {
    kind: Kind,
    busy: usize,
    waiting: VecDeque<Job>,
    served: u32,
}

/// Plays a scenario to its end. `epoch` is where its virtual time begins: the same for all scenarios of a process, or later.
pub(crate) fn play(scenario: &Scenario, epoch: Instant) -> Vec<Answered> {
    fastrand::seed(scenario.seed);
    let mut chance = fastrand::Rng::with_seed(scenario.seed ^ 0x5eed);
    let ledger = Ledger::new();
    let member = |place: usize| {
        let address = SocketAddr::from(([10, 0, 0, u8::try_from(place % 250).unwrap_or(0) + 1], 80));
        let (target, seat) = (Arc::new(Target::new(address)), ledger.seat(address));
        Arc::new(Member { target, seat, weight: 1, group: Group::default(), prepared: place })
    };
    let members: Vec<_> = (0..scenario.targets.len()).map(member).collect();
    let picker = Picker::new(&ledger, members.clone(), scenario.policy.clone());
    let server = |kind: &Kind| Server { kind: *kind, busy: 0, waiting: VecDeque::new(), served: 0 };
    let mut servers: Vec<_> = scenario.targets.iter().map(server).collect();

    let mut events: BinaryHeap<Reverse<(Duration, u64)>> = BinaryHeap::new();
    let mut happenings: Vec<Option<Event>> = Vec::new();
    let plan = |events: &mut BinaryHeap<_>, at: Duration, event: Event, happenings: &mut Vec<Option<Event>>| {
        events.push(Reverse((at, happenings.len() as u64)));
        happenings.push(Some(event));
    };
    for (place, kind) in scenario.targets.iter().enumerate().filter(|(_, kind)| !kind.joins.is_zero()) {
        members[place].target.bar(Bar::Unproven, true);
        plan(&mut events, kind.joins, Event::Joins { target: place }, &mut happenings);
    }
    plan(&mut events, Duration::ZERO, Event::Arrives, &mut happenings);
    let mut answered = Vec::new();
    while let Some(Reverse((at, number))) = events.pop() {
        let now = epoch + at;
        let Some(event) = happenings[number as usize].take() else { continue };
        let begins = match event {
            Event::Joins { target } => {
                members[target].target.bar(Bar::Unproven, false);
                None
            }
            Event::Arrives => {
                let next = at + Duration::from_secs_f64(exponential(&mut chance) / scenario.rate);
                if next < scenario.lasts {
                    plan(&mut events, next, Event::Arrives, &mut happenings);
                }
                let Some(member) = picker.pick(now, 0, &[]) else { continue };
                let target = member.prepared;
                let job = Job { asked: at, attempt: InFlight::new(member, now) };
                let server = &mut servers[target];
                if server.busy < server.kind.workers {
                    server.busy += 1;
                    Some((target, job))
                } else {
                    server.waiting.push_back(job);
                    None
                }
            }
            Event::Done { target, job } => {
                picker.report(&job.attempt, Outcome::Answered, now);
                answered.push(Answered { at: job.asked, took: at.saturating_sub(job.asked), target });
                drop(job);
                let server = &mut servers[target];
                let next = server.waiting.pop_front();
                server.busy -= usize::from(next.is_none());
                next.map(|job| (target, job))
            }
        };
        if let Some((target, job)) = begins {
            let server = &mut servers[target];
            let cold = 1.0 + (server.kind.cold - 1.0) * 0.5_f64.powf(f64::from(server.served) / WARM);
            server.served += 1;
            let takes = server.kind.service.mul_f64(cold * exponential(&mut chance));
            plan(&mut events, at + takes, Event::Done { target, job }, &mut happenings);
        }
    }
    answered
}

/// A number of mean 1.
fn exponential(chance: &mut fastrand::Rng) -> f64 {
    -(1.0 - chance.f64()).ln()
}

/// The time that this share of the requests did not exceed, in milliseconds.
pub(crate) fn quantile(answered: impl IntoIterator<Item = Answered>, share: f64) -> f64 {
    let mut times: Vec<Duration> = answered.into_iter().map(|answered| answered.took).collect();
    times.sort_unstable();
    let place = (times.len() as f64 * share).ceil() as usize;
    times.get(place.saturating_sub(1)).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
