//! The limit in virtual time, before a server that works on so many requests at once and lets the rest wait.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds and counts of a test"
)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::*;

const BOUNDS: Bounds = Bounds { min: 4, max: 1000, tolerance: 0.5 };

/// What the world is like from this second on.
#[derive(Clone, Copy)]
struct Time {
    from: f64,
    /// Requests that come each second.
    arrivals: f64,
    /// Requests that the server works on at once, and how long on each, in seconds, in the mean.
    workers: usize,
    service: f64,
    /// What part of it varies; 1 for an exponential distribution.
    varies: f64,
}

#[derive(Clone, Copy)]
struct Journey {
    gateway: usize,
    came: f64,
    began: f64,
}

/// Gateways with a queue of 100 and a patience of a second each, before one server.
struct World {
    random: fastrand::Rng,
    now: f64,
    times: Vec<Time>,
    gateways: Vec<Gateway>,
    server: VecDeque<Journey>,
    busy: usize,
    /// When which request is done, in nanoseconds.
    done: BinaryHeap<(Reverse<u64>, usize)>,
    working: Vec<Journey>,
    served: Vec<Served>,
}

struct Gateway {
    limit: Adaptive,
    in_flight: u32,
    waiting: VecDeque<f64>,
    limits: Vec<(f64, u32)>,
}

#[derive(Clone, Copy)]
struct Served {
    at: f64,
    /// From the client's request to the answer.
    took: f64,
}

const BEGINNING: f64 = 1000.0;
/// From the beginning of one gateway to that of the next: not in step with when they look.
const STAGGER: f64 = 2.3;

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

impl World {
    fn new(gateways: usize, times: &[Time]) -> Self {
        let gateway = || Gateway {
            limit: Adaptive::new(BOUNDS, None),
            in_flight: 0,
            waiting: VecDeque::new(),
            limits: Vec::new(),
        };
        Self {
            random: fastrand::Rng::with_seed(7),
            now: BEGINNING,
            times: times.to_vec(),
            gateways: (0..gateways).map(|_| gateway()).collect(),
            server: VecDeque::new(),
            busy: 0,
            done: BinaryHeap::new(),
            working: Vec::new(),
            served: Vec::new(),
        }
    }

    fn time(&self) -> Time {
        *self.times.iter().rev().find(|time| BEGINNING + time.from <= self.now).unwrap()
    }

    fn draw(&mut self) -> f64 {
        -(1.0 - self.random.f64()).ln()
    }

    fn play(mut self, seconds: f64) -> Self {
        let mut next = self.now;
        while self.now < BEGINNING + seconds {
            let done = self.done.peek().map(|(Reverse(at), _)| *at);
            if done.is_some_and(|done| done <= nanos(next)) {
                let (Reverse(at), place) = self.done.pop().unwrap();
                self.now = at as f64 / 1e9;
                self.finish(self.working[place]);
            } else {
                self.now = next;
                next += self.draw() / self.time().arrivals;
                // Each begins some seconds after the one before.
                let begun = ((self.now - BEGINNING) / STAGGER) as usize + 1;
                let gateway = self.random.usize(..self.gateways.len().min(begun));
                let now = self.now;
                let waiting = &mut self.gateways[gateway].waiting;
                if waiting.len() < 100 {
                    waiting.push_back(now);
                }
                self.admit(gateway);
            }
        }
        self
    }

    fn admit(&mut self, gateway: usize) {
        let now = self.now;
        let this = &mut self.gateways[gateway];
        this.limits.push((now, this.limit.limit()));
        while this.waiting.front().is_some_and(|came| now - came > 1.0) {
            this.waiting.pop_front();
        }
        while this.in_flight < this.limit.limit()
            && let Some(came) = this.waiting.pop_front()
        {
            this.in_flight += 1;
            self.server.push_back(Journey { gateway, came, began: now });
        }
        self.work();
    }

    fn work(&mut self) {
        while self.busy < self.time().workers
            && let Some(journey) = self.server.pop_front()
        {
            let Time { service, varies, .. } = self.time();
            let takes = service * (1.0 - varies) + service * varies * self.draw();
            self.busy += 1;
            self.working.push(journey);
            self.done.push((Reverse(nanos(self.now + takes)), self.working.len() - 1));
        }
    }

    fn finish(&mut self, journey: Journey) {
        let Journey { gateway, came, began } = journey;
        self.busy -= 1;
        let this = &mut self.gateways[gateway];
        let took = Duration::from_secs_f64(self.now - began);
        this.limit.observe(Duration::from_secs_f64(self.now), this.in_flight, Sample::Answered(took));
        this.in_flight -= 1;
        self.served.push(Served { at: self.now - BEGINNING, took: self.now - came });
        self.admit(gateway);
    }

    /// Answers each second in this time, and what 99 of 100 took at most, with the queue of the gateway.
    fn between(&self, from: f64, to: f64) -> (f64, f64) {
        let served = self.served.iter().filter(|served| (from..to).contains(&served.at));
        let mut took: Vec<f64> = served.map(|served| served.took).collect();
        took.sort_by(f64::total_cmp);
        (took.len() as f64 / (to - from), took[took.len() * 99 / 100])
    }

    /// The mean of the limits of all gateways together in this time.
    fn limit(&self, from: f64, to: f64) -> f64 {
        let mean = |gateway: &Gateway| {
            let of_time = |(at, _): &&(f64, u32)| (from..to).contains(&(at - BEGINNING));
            let limits: Vec<f64> = gateway.limits.iter().filter(of_time).map(|(_, limit)| f64::from(*limit)).collect();
            limits.iter().sum::<f64>() / limits.len() as f64
        };
        self.gateways.iter().map(mean).sum()
    }
}

const CALM: Time = Time { from: 0.0, arrivals: 1500.0, workers: 50, service: 0.1, varies: 0.5 };

#[test]
fn at_three_times_the_capacity_the_limit_is_near_it_answers_stay_fast_and_nothing_is_lost() {
    for (workers, service, varies) in [
        (50, 0.1, 0.5),
        (50, 0.1, 0.0),
        (50, 0.1, 1.0),
        (4, 0.05, 0.0),
        (4, 0.05, 0.5),
        (8, 0.02, 0.5),
        (300, 0.2, 0.5),
        (20, 1.0, 0.5),
    ] {
        let capacity = workers as f64 / service;
        let world =
            World::new(1, &[Time { from: 0.0, arrivals: 3.0 * capacity, workers, service, varies }]).play(240.0);
        let (goodput, slowest) = world.between(40.0, 240.0);
        let limit = world.limit(40.0, 240.0);
        println!(
            "{workers} × {service} s (± {varies}): limit {limit:.0}, goodput {:.3}, p99 {slowest:.3} s",
            goodput / capacity
        );
        // What docs/resilience.md says: about one and a half times what it works on.
        assert!((1.1..1.8).contains(&(limit / workers as f64)), "{limit} for {workers}");
        // The queue of the gateway, then the one of the server, then the work itself.
        assert!(goodput >= 0.95 * capacity, "looking costs little: {goodput} of {capacity}");
        let queue = (100.0 / capacity).min(1.0);
        assert!(slowest < 1.2 * queue + 2.5 * service + 4.6 * service * varies, "{slowest}");
    }
}

#[test]
fn an_overload_that_lasts_for_hours_does_not_become_what_is_thought_normal() {
    let world = World::new(1, &[Time { arrivals: 600.0, workers: 20, ..CALM }]).play(2.0 * 3600.0);
    let (early, late) = (world.limit(100.0, 700.0), world.limit(6500.0, 7200.0));
    assert!((0.8..1.25).contains(&(late / early)), "{early} became {late}");
}

#[test]
fn a_server_that_becomes_slower_or_faster_is_followed() {
    let times = [
        CALM,
        Time { from: 120.0, service: 0.3, ..CALM },
        Time { from: 240.0, service: 0.03, arrivals: 5000.0, ..CALM },
        Time { from: 360.0, workers: 10, ..CALM },
        Time { from: 480.0, ..CALM },
    ];
    let world = World::new(1, &times).play(600.0);
    for time in times {
        let (goodput, slowest) = world.between(time.from + 40.0, time.from + 120.0);
        let capacity = time.workers as f64 / time.service;
        println!(
            "from {}: goodput {:.3}, p99 {slowest:.3} s, limit {:.0}",
            time.from,
            goodput / capacity,
            world.limit(time.from + 40.0, time.from + 120.0)
        );
        assert!(goodput >= 0.9 * capacity, "from {}: {goodput} of {capacity}", time.from);
        assert!(slowest < 1.2 * (100.0 / capacity).min(1.0) + 5.0 * time.service, "from {}: {slowest}", time.from);
    }
}

#[test]
fn a_flood_of_cheap_answers_holds_nobody_down_after_it() {
    let cheap = Time { service: 0.002, arrivals: 30_000.0, ..CALM };
    let capacity = CALM.workers as f64 / CALM.service;
    for gateways in [1, 5] {
        // Whatever the flood meets: steady times, or a moment in which it is looked what answers take.
        for begins in (0..10).map(|second| 60.0 + f64::from(second)) {
            let ends = begins + 3.0;
            let times = [CALM, Time { from: begins, ..cheap }, Time { from: ends, ..CALM }];
            let world = World::new(gateways, &times).play(ends + 20.0);
            for after in [0.0, 5.0, 10.0, 15.0] {
                let (goodput, _) = world.between(ends + after, ends + after + 5.0);
                assert!(goodput > 0.85 * capacity, "{gateways}, {begins}: {goodput} of {capacity} after {after} s");
            }
        }
    }
}

#[test]
fn below_its_capacity_nothing_is_held_back() {
    let world = World::new(1, &[Time { arrivals: 450.0, ..CALM }]).play(120.0);
    let (goodput, _) = world.between(20.0, 120.0);
    assert!(goodput > 0.97 * 450.0, "{goodput}");
    let longest = world.gateways[0].waiting.len();
    assert!(longest < 50, "{longest}");
}

#[test]
fn several_gateways_before_one_server_do_not_take_each_others_queue_for_normal() {
    let world = World::new(5, &[CALM]).play(900.0);
    let (goodput, _) = world.between(60.0, 900.0);
    let limit = world.limit(700.0, 900.0);
    println!("5 gateways: limits of {limit:.0} together, goodput {:.3}", goodput / 500.0);
    assert!(goodput >= 0.9 * 500.0, "{goodput}");
    assert!(limit < 2.5 * 50.0, "{limit}");
}

/// Plays answers that all take so long, with so many in flight.
fn play(
    limit: &Adaptive,
    seconds: std::ops::Range<u32>,
    in_flight: impl Fn(u32) -> u32,
    sample: impl Fn(u32) -> Sample,
) {
    for step in seconds.start * 100..seconds.end * 100 {
        let now = Duration::from_secs(1000) + Duration::from_millis(10) * step;
        limit.observe(now, in_flight(limit.limit()), sample(step));
    }
}

const QUICK: Sample = Sample::Answered(Duration::from_millis(10));

#[test]
fn a_limit_that_is_not_used_does_not_move() {
    let limit = Adaptive::new(BOUNDS, None);
    play(&limit, 0..60, |_| 9, |_| QUICK);
    assert_eq!(limit.limit(), FIRST);
    play(&limit, 60..62, |limit| limit, |_| QUICK);
    assert!(limit.limit() > FIRST, "{}", limit.limit());
    // Until there is a queue it grows by half, ten times a second at most.
    play(&limit, 62..65, |limit| limit, |_| QUICK);
    assert!(limit.limit() > 300, "{}", limit.limit());
}

#[test]
fn drops_lower_the_limit_to_its_minimum_and_a_few_do_not() {
    let limit = Adaptive::new(BOUNDS, None);
    play(&limit, 0..4, |limit| limit, |_| QUICK);
    let grown = limit.limit();
    play(&limit, 4..64, |limit| limit, |step| if step % 50 == 0 { Sample::Dropped } else { QUICK });
    assert!(limit.limit() >= grown, "{} after {grown}", limit.limit());
    play(&limit, 64..124, |limit| limit, |step| if step % 4 == 0 { Sample::Dropped } else { QUICK });
    assert_eq!(limit.limit(), BOUNDS.min);
    play(&limit, 124..126, |limit| limit, |_| Sample::Dropped);
    assert_eq!(limit.limit(), BOUNDS.min);
}

#[test]
fn it_stays_within_its_bounds_and_goes_on_from_the_one_before() {
    let limit = Adaptive::new(Bounds { max: 60, ..BOUNDS }, None);
    play(&limit, 0..60, |limit| limit, |_| QUICK);
    play(&limit, 60..62, |_| 20, |_| QUICK);
    assert_eq!(limit.limit(), 60);
    assert_eq!(Adaptive::new(BOUNDS, Some(&limit)).limit(), 60);
    let narrowed = Adaptive::new(Bounds { max: 30, ..BOUNDS }, Some(&limit));
    assert_eq!((narrowed.limit(), narrowed.found().unhindered), (30, limit.found().unhindered));
    assert_eq!(Adaptive::new(Bounds { min: 100, ..BOUNDS }, Some(&limit)).limit(), 100);
    assert_eq!(Adaptive::new(Bounds { max: 3, min: 1, ..BOUNDS }, None).limit(), 3);
}

#[test]
fn what_is_not_drained_in_time_is_no_queue_and_the_limit_comes_back() {
    let limit = Adaptive::new(BOUNDS, None);
    let looks = std::cell::Cell::new(0);
    // As if streams held all places: nothing ever ends.
    play(&limit, 0..30, |_| 400, |_| QUICK);
    for step in 3000..9000 {
        limit.observe(Duration::from_secs(1000) + Duration::from_millis(10) * step, 4000, QUICK);
        looks.set(looks.get() + u32::from(limit.found().is_looking));
    }
    // Each ten seconds for a fifth of a second, not longer.
    assert!((60..=140).contains(&looks.get()), "{}", looks.get());
    assert_eq!(limit.limit(), BOUNDS.max);
}

#[test]
fn a_clock_that_is_set_and_a_long_silence_do_no_harm() {
    let limit = Adaptive::new(BOUNDS, None);
    play(&limit, 1000..1010, |limit| limit, |_| QUICK);
    let before = limit.limit();
    play(&limit, 0..10, |limit| limit, |_| QUICK);
    assert!(limit.limit() >= before / 2, "{before} became {}", limit.limit());
    play(&limit, 90_000..90_010, |limit| limit, |_| QUICK);
    assert!(limit.limit() >= before, "{before} became {}", limit.limit());
}

#[test]
fn one_answer_in_a_hundred_that_hangs_says_nothing_about_the_load() {
    let limit = Adaptive::new(BOUNDS, None);
    let slow = Sample::Answered(Duration::from_secs(10));
    play(&limit, 0..60, |limit| limit, |step| if step % 100 == 0 { slow } else { QUICK });
    play(&limit, 60..61, |_| 1, |_| QUICK);
    assert!(limit.limit() > 500, "{}", limit.limit());
}

fn millis(millis: f64) -> Sample {
    Sample::Answered(Duration::from_secs_f64(millis / 1000.0))
}

fn unhindered(limit: &Adaptive) -> f64 {
    limit.found().unhindered.map_or(0.0, |took| took.as_secs_f64() * 1000.0)
}

#[test]
fn with_less_than_half_in_flight_it_is_seen_without_a_look_what_answers_take() {
    let limit = Adaptive::new(BOUNDS, None);
    play(&limit, 0..5, |_| 9, |_| millis(10.0));
    assert!((9.9..10.1).contains(&unhindered(&limit)), "{}", unhindered(&limit));
    play(&limit, 5..60, |_| 9, |_| millis(20.0));
    assert!((19.5..20.5).contains(&unhindered(&limit)), "{}", unhindered(&limit));
}

#[test]
fn answers_that_are_faster_than_thought_although_there_is_a_queue_are_believed() {
    let limit = Adaptive::new(BOUNDS, None);
    play(&limit, 0..5, |_| 9, |_| millis(20.0));
    // Before it is time to look.
    play(&limit, 5..8, |limit| limit, |_| millis(10.0));
    assert!((9.9..11.0).contains(&unhindered(&limit)), "{}", unhindered(&limit));
}

#[test]
fn two_milliseconds_more_are_no_queue_however_fast_answers_are() {
    let limit = Adaptive::new(BOUNDS, None);
    play(&limit, 0..5, |_| 9, |_| millis(1.0));
    play(&limit, 5..8, |limit| limit, |_| millis(2.9));
    assert!(limit.limit() > 2 * FIRST, "{}", limit.limit());
}

#[test]
fn after_drops_it_grows_step_by_step() {
    let limit = Adaptive::new(BOUNDS, None);
    play(&limit, 0..2, |limit| limit, |_| QUICK);
    play(&limit, 2..3, |limit| limit, |_| Sample::Dropped);
    let lowered = limit.limit();
    play(&limit, 3..4, |limit| limit, |_| QUICK);
    assert!(limit.limit() > lowered && limit.limit() < 2 * lowered, "{lowered} became {}", limit.limit());
}

#[test]
fn a_clock_that_is_set_back_during_a_look_ends_it_and_others_follow() {
    let limit = Adaptive::new(BOUNDS, None);
    let looks = |from: u64, steps: std::ops::Range<u32>| {
        let observed = steps.map(|step| {
            limit.observe(Duration::from_secs(from) + Duration::from_millis(10) * step, 4000, QUICK);
            limit.found().is_looking
        });
        observed.filter(|is_looking| *is_looking).count()
    };
    assert_eq!(looks(10_000, 0..1001), 1, "it has just begun");
    assert_eq!(looks(1_000, 0..1), 0);
    let then = looks(1_000, 1..3000);
    assert!((20..=100).contains(&then), "{then}");
}
