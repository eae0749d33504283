//! A world in virtual time: clients that ask at random moments, targets that work on a few requests at once and let the others
//! wait, and between them the picker as it is in production.
//!
//! Which target is asked beside a slow one is the picker's choice too; when and how often is played as the gateway does it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve_balance::{Bar, Group, InFlight, Ledger, Member, Outcome, Picker, Policy, Search, Target};

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
    pub(crate) stalls: Option<Stalls>,
    pub(crate) hedge: Option<Hedge>,
    pub(crate) seed: u64,
}

/// Each target stands still now and then, as while it collects garbage: whatever it works on is done so much later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stalls {
    /// Mean time from one to the next; exponentially distributed.
    pub(crate) every: Duration,
    pub(crate) lasts: Duration,
}

/// Another target is asked as well when the first has not answered after so long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hedge {
    pub(crate) after: Duration,
    /// The share of the requests that may be asked twice. Ten are saved up, and each second earns one, as in the gateway.
    pub(crate) budget: f64,
}

/// What came of a scenario.
pub(crate) struct Played {
    pub(crate) answered: Vec<Answered>,
    /// Requests in all, and those of them that were asked twice.
    pub(crate) asked: usize,
    pub(crate) hedged: usize,
}

/// One request that was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    /// When it was asked.
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    pub(crate) target: usize,
}

#[derive(Clone, Copy)]
enum Event {
    Arrives,
    /// A target is done with this job.
    Done(Job),
    Joins {
        target: usize,
    },
    Stalls {
        target: usize,
    },
    /// A request has waited for so long that another target may be asked.
    Lingers {
        request: usize,
    },
}

/// A request at one of the targets that were asked for it.
#[derive(Clone, Copy)]
struct Job {
    request: usize,
    target: usize,
    /// How often the target had stood still when the job was begun.
    stalls: u32,
}

/// A request, and where it is in flight: at the target that was asked first, and at the other one.
struct Request {
    asked: Duration,
    attempts: [Option<(usize, InFlight)>; 2],
}

struct Server {
    kind: Kind,
    busy: usize,
    waiting: VecDeque<Job>,
    served: u32,
    stalls: u32,
    /// When it goes on.
    goes_on: Duration,
}

struct World<'s> {
    scenario: &'s Scenario,
    epoch: Instant,
    chance: fastrand::Rng,
    picker: Picker<usize>,
    servers: Vec<Server>,
    events: BinaryHeap<Reverse<(Duration, usize)>>,
    happenings: Vec<Event>,
    requests: Vec<Request>,
    /// Hedges that are saved up, and until when time has earned its own.
    saved: f64,
    earned: Duration,
    played: Played,
}

/// Plays a scenario to its end. `epoch` is where its virtual time begins: the same for all scenarios of a process, or later.
pub(crate) fn play(scenario: &Scenario, epoch: Instant) -> Played {
    let mut world = World::new(scenario, epoch);
    while let Some(Reverse((at, number))) = world.events.pop() {
        match world.happenings[number] {
            Event::Arrives => world.arrive(at),
            Event::Done(job) => world.finish(job, at),
            Event::Joins { target } => {
                world.picker.members()[target].target.bar(Bar::Unproven, false);
            }
            Event::Stalls { target } => world.stall(target, at),
            Event::Lingers { request } => world.hedge(request, at),
        }
    }
    world.played
}

impl<'s> World<'s> {
    fn new(scenario: &'s Scenario, epoch: Instant) -> Self {
        fastrand::seed(scenario.seed);
        let ledger = Ledger::new();
        let member = |place: usize| {
            let address = SocketAddr::from(([10, 0, 0, u8::try_from(place % 250).unwrap_or(0) + 1], 80));
            let (target, seat) = (Arc::new(Target::new(address)), ledger.seat(address));
            Arc::new(Member { target, seat, weight: 1, group: Group::default(), prepared: place })
        };
        let members: Vec<_> = (0..scenario.targets.len()).map(member).collect();
        let server = |kind: &Kind| Server {
            kind: *kind,
            busy: 0,
            waiting: VecDeque::new(),
            served: 0,
            stalls: 0,
            goes_on: Duration::ZERO,
        };
        let mut world = Self {
            scenario,
            epoch,
            chance: fastrand::Rng::with_seed(scenario.seed ^ 0x5eed),
            picker: Picker::new(&ledger, members, scenario.policy.clone()),
            servers: scenario.targets.iter().map(server).collect(),
            events: BinaryHeap::new(),
            happenings: Vec::new(),
            requests: Vec::new(),
            saved: 10.0,
            earned: Duration::ZERO,
            played: Played { answered: Vec::new(), asked: 0, hedged: 0 },
        };
        for (place, kind) in scenario.targets.iter().enumerate().filter(|(_, kind)| !kind.joins.is_zero()) {
            world.picker.members()[place].target.bar(Bar::Unproven, true);
            world.plan(kind.joins, Event::Joins { target: place });
        }
        if scenario.stalls.is_some() {
            (0..scenario.targets.len()).for_each(|target| world.plan_stall(target, Duration::ZERO));
        }
        world.plan(Duration::ZERO, Event::Arrives);
        world
    }

    fn plan(&mut self, at: Duration, event: Event) {
        self.events.push(Reverse((at, self.happenings.len())));
        self.happenings.push(event);
    }

    fn arrive(&mut self, at: Duration) {
        let next = at + Duration::from_secs_f64(exponential(&mut self.chance) / self.scenario.rate);
        if next < self.scenario.lasts {
            self.plan(next, Event::Arrives);
        }
        let request = self.requests.len();
        self.requests.push(Request { asked: at, attempts: [None, None] });
        self.played.asked += 1;
        self.ask(request, 0, &[], at);
        if let Some(hedge) = self.scenario.hedge {
            self.saved = (self.saved + hedge.budget).min(10.0);
            self.plan(at + hedge.after, Event::Lingers { request });
        }
    }

    /// Asks a target that was not asked before. Whether there was one.
    fn ask(&mut self, request: usize, attempt: usize, tried: &[SocketAddr], at: Duration) -> bool {
        let now = self.epoch + at;
        let Some(place) = Search::new(now, 0).without(tried).next_in(&self.picker) else { return false };
        let member = &self.picker.members()[place];
        let target = member.prepared;
        self.requests[request].attempts[attempt] = Some((target, InFlight::new(member, now)));
        let server = &mut self.servers[target];
        let job = Job { request, target, stalls: 0 };
        if server.busy < server.kind.workers {
            server.busy += 1;
            self.begin(job, at);
        } else {
            server.waiting.push_back(job);
        }
        true
    }

    fn begin(&mut self, job: Job, at: Duration) {
        let server = &mut self.servers[job.target];
        let cold = 1.0 + (server.kind.cold - 1.0) * 0.5_f64.powf(f64::from(server.served) / WARM);
        server.served += 1;
        let takes = server.kind.service.mul_f64(cold * exponential(&mut self.chance));
        let (at, stalls) = (at.max(server.goes_on), server.stalls);
        self.plan(at + takes, Event::Done(Job { stalls, ..job }));
    }

    fn finish(&mut self, job: Job, at: Duration) {
        let server = &mut self.servers[job.target];
        if let Some(Stalls { lasts, .. }) = self.scenario.stalls.filter(|_| job.stalls < server.stalls) {
            let later = at + lasts * (server.stalls - job.stalls);
            let stalls = server.stalls;
            return self.plan(later, Event::Done(Job { stalls, ..job }));
        }
        // A target works on what nobody waits for any more: it may not notice that the connection was closed.
        let next = server.waiting.pop_front();
        server.busy -= usize::from(next.is_none());
        self.answer(job, at);
        if let Some(next) = next {
            self.begin(next, at);
        }
    }

    /// Whoever answers first is heard.
    fn answer(&mut self, job: Job, at: Duration) {
        let (request, now) = (&mut self.requests[job.request], self.epoch + at);
        for (target, attempt) in request.attempts.iter_mut().filter_map(Option::take) {
            let heard = target == job.target;
            self.picker.report(&attempt, if heard { Outcome::Answered } else { Outcome::Overtaken }, now);
            if heard {
                let took = at.saturating_sub(request.asked);
                self.played.answered.push(Answered { at: request.asked, took, target });
            }
        }
    }

    fn hedge(&mut self, request: usize, at: Duration) {
        let earned = Duration::from_secs(at.as_secs());
        self.saved = (self.saved + earned.saturating_sub(self.earned).as_secs_f64()).min(10.0);
        self.earned = earned;
        let [Some((_, first)), None] = &self.requests[request].attempts else { return };
        let tried = [first.target().address];
        if self.saved >= 1.0 && self.ask(request, 1, &tried, at) {
            self.saved -= 1.0;
            self.played.hedged += 1;
        }
    }

    fn stall(&mut self, target: usize, at: Duration) {
        let Some(Stalls { lasts, .. }) = self.scenario.stalls else { return };
        let server = &mut self.servers[target];
        server.stalls += 1;
        server.goes_on = at + lasts;
        self.plan_stall(target, at + lasts);
    }

    fn plan_stall(&mut self, target: usize, after: Duration) {
        let Some(Stalls { every, .. }) = self.scenario.stalls else { return };
        let at = after + every.mul_f64(exponential(&mut self.chance));
        if at < self.scenario.lasts {
            self.plan(at, Event::Stalls { target });
        }
    }
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
