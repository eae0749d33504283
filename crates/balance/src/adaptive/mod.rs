//! How many requests an upstream may have at once, found by how fast it answers. What it cannot work on waits in front of it,
//! and then each answer takes longer than it did when less was asked of it: so long as it does, fewer may go there.
//!
//! The limit follows the *gradient* of the latency, as Netflix's concurrency-limits does (`Gradient2Limit`): tolerance × what
//! an answer takes unhindered ÷ what it takes now, at most 1, and smoothed. It moves only while it is used. What differs:
//!
//! - The allowance of √limit is for growing, while answers take no longer than they may. Netflix adds it always, so that the
//!   limit settles by as much above what an upstream works on times the tolerance: at 2.3 times that for four at once.
//! - What an answer takes unhindered is *looked at*, as Envoy's adaptive concurrency filter does, and no long average of what
//!   it takes anyway: under an overload that lasts, the average becomes the overload, and the limit grows without end.
//! - Looking halves the limit for a moment, where Envoy goes down to 3: by its making the limit is at most about twice what
//!   the upstream can work on, so that half of it leaves the upstream busy and shows it without a queue.
//! - Everybody looks at the same moments of the wall clock. Of several gateways before an upstream one alone would see it with
//!   the queue of all the others.
//! - Latencies are averaged by their logarithms: one answer in a hundred that takes a hundred times as long tells nothing of
//!   the load.
//! - Answers that do not come in time, or say that the upstream has too much (503), lower the limit by themselves.

mod window;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use window::{Seen, Window};

/// Between what a limit moves, and how much longer answers may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// It is never lower. At least 1.
    pub min: u32,
    /// It is never higher.
    pub max: u32,
    /// What part more than unhindered an answer may take: 0.5 for half as much again.
    pub tolerance: f64,
}

/// What came of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// An answer began after so long.
    Answered(Duration),
    /// None began in time, or one that says that there is too much.
    Dropped,
}

/// The limit of one upstream.
#[derive(Debug)]
pub struct Adaptive {
    bounds: Bounds,
    limit: AtomicU32,
    state: Mutex<State>,
}

/// How a limit stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// As many may be in flight now.
    pub limit: u32,
    /// What an answer takes unhindered; `None` before one came.
    pub unhindered: Option<Duration>,
    /// Whether the limit is halved for a moment to see that.
    pub is_looking: bool,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// The limit, with its fraction.
    estimate: f64,
    /// Logarithm of the seconds that an answer takes unhindered.
    unhindered: Option<f64>,
    window: Window,
    phase: Phase,
    /// No queue has been seen yet: it grows by half, not step by step.
    is_new: bool,
    /// When it was last seen what answers take unhindered.
    looked: Duration,
    /// What an answer takes now.
    pace: Duration,
    /// The highest the limit has been since it was last seen what answers take unhindered.
    highest: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Steady,
    /// The limit is halved; what is in flight beyond it still has to end, until then.
    Draining(Duration),
    /// What waited in front of the upstream is being worked off, until then.
    Settling(Duration),
    Looking,
}

/// Where a limit begins, within its bounds: as Netflix has it.
const FIRST: u32 = 20;
/// How much of each change is taken on at once (Netflix's default).
const SMOOTHING: f64 = 0.2;
/// Of one step back, however long answers take (Netflix's).
const STEEPEST: f64 = 0.5;
/// What is left of the limit after a window with drops (the usual of Netflix's AIMD limit).
const BACK_OFF: f64 = 0.9;
/// More than one drop in so many is an upstream that has too much; fewer are requests that nobody could have answered in time.
const DROPS: u64 = 10;
/// How much longer an answer may take in any case: schedulers and collectors of garbage make as much. Seconds.
const GRACE: f64 = 0.002;
/// How often it is looked at what answers take unhindered: seldom enough to cost little, and often enough that an upstream that
/// has become slower is not held down for long.
const BEAT: Duration = Duration::from_secs(10);
/// Looking takes as long as some answers do: where they are slow it is done more seldom, after as many as these.
const APART: u32 = 20;
/// What is slower is waited for no longer.
const SLOWEST: Duration = Duration::from_secs(30);
/// The shortest time to settle: gateways' clocks differ, and all are to look at once.
const SETTLE: Duration = Duration::from_millis(200);

impl Adaptive {
    /// A limit within these bounds, that goes on from how another stood.
    #[must_use]
    pub fn new(bounds: Bounds, before: Option<&Self>) -> Self {
        let state = before.map_or_else(State::new, |before| *before.state.lock());
        let state = state.within(bounds);
        Self { bounds, limit: AtomicU32::new(state.limit(bounds)), state: Mutex::new(state) }
    }

    /// Between what it moves.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// As many may be in flight now.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// How it stands.
    #[must_use]
    pub fn found(&self) -> Found {
        let state = self.state.lock();
        let unhindered = state.unhindered.map(|log| Duration::try_from_secs_f64(log.exp()).unwrap_or_default());
        Found { limit: state.limit(self.bounds), unhindered, is_looking: state.phase != Phase::Steady }
    }

    /// Learns from one attempt, with what is in flight as it ends, itself among it. `now` is the time on the wall, since 1970.
    pub fn observe(&self, now: Duration, in_flight: u32, sample: Sample) {
        let mut state = self.state.lock();
        state.observe(now, in_flight, sample, self.bounds);
        self.limit.store(state.limit(self.bounds), Ordering::Relaxed);
    }
}

impl State {
    fn new() -> Self {
        Self {
            estimate: f64::from(FIRST),
            unhindered: None,
            window: Window::new(Duration::ZERO),
            phase: Phase::Steady,
            is_new: true,
            looked: Duration::ZERO,
            pace: Duration::ZERO,
            highest: 0.0,
        }
    }

    fn within(mut self, bounds: Bounds) -> Self {
        self.estimate = self.estimate.min(f64::from(bounds.max)).max(f64::from(bounds.min));
        self
    }

    /// Half of the limit: with so many in flight there is no queue.
    fn half(&self, bounds: Bounds) -> u32 {
        whole(self.estimate / 2.0).max(bounds.min)
    }

    fn limit(&self, bounds: Bounds) -> u32 {
        if self.phase == Phase::Steady { whole(self.estimate) } else { self.half(bounds) }
    }

    fn observe(&mut self, now: Duration, in_flight: u32, sample: Sample, bounds: Bounds) {
        if self.window.is_stale(now, self.pace) {
            // Nobody came for long, or the clock was set.
            (self.window, self.phase) = (Window::new(now), Phase::Steady);
            self.looked = now;
        }
        let now = now.max(self.window.begun());
        match self.phase {
            // At once, in the middle of a window: the others look now.
            Phase::Steady if in_flight > self.half(bounds) && (self.has_fallen() || self.is_due(now)) => {
                self.phase = Phase::Draining(now + (2 * self.pace).max(SETTLE));
            }
            Phase::Draining(_) if in_flight <= self.half(bounds) => {
                self.phase = Phase::Settling(now + self.pace.max(SETTLE));
            }
            Phase::Settling(until) if now >= until => {
                (self.window, self.phase) = (Window::new(now), Phase::Looking);
            }
            // What stays for so long is no queue: streams, perhaps. It is looked at another time.
            Phase::Draining(until) if now >= until => self.steady(now),
            _ => {}
        }
        self.window.add(in_flight, sample);
        let is_whole = match self.phase {
            Phase::Steady => self.window.is_whole(now, self.pace),
            Phase::Looking => self.window.has_shown(now, self.pace),
            Phase::Draining(_) | Phase::Settling(_) => false,
        };
        if is_whole {
            let seen = self.window.seen();
            self.window = Window::new(now);
            self.learn(now, seen, bounds);
        }
    }

    /// Takes in what a window has shown.
    fn learn(&mut self, now: Duration, seen: Seen, bounds: Bounds) {
        let is_dropping = u64::from(seen.dropped) * DROPS > u64::from(seen.answered) + u64::from(seen.dropped);
        let is_looking = self.phase == Phase::Looking;
        let shows = seen.latency.filter(|_| !is_dropping);
        if let Some(latency) = shows {
            self.pace = Duration::try_from_secs_f64(latency.exp()).map_or(SLOWEST, |pace| pace.min(SLOWEST));
            self.compare(now, latency, is_looking || seen.peak <= self.half(bounds), is_looking);
        }
        if is_looking {
            return self.steady(now);
        }
        if f64::from(seen.peak) * 2.0 <= self.estimate {
            return;
        }
        if is_dropping {
            self.estimate *= BACK_OFF;
            self.is_new = false;
        } else if let (Some(latency), Some(unhindered)) = (shows, self.unhindered) {
            self.step(latency.exp(), unhindered.exp(), bounds.tolerance);
        }
        *self = self.within(bounds);
    }

    /// Compares with what was thought that answers take unhindered.
    fn compare(&mut self, now: Duration, latency: f64, is_unhindered: bool, is_looking: bool) {
        let Some(thought) = self.unhindered else {
            self.unhindered = Some(latency);
            return;
        };
        if is_unhindered {
            self.unhindered = Some(if is_looking { latency } else { thought + (latency - thought) * SMOOTHING });
            self.looked = now;
        } else if latency < thought {
            // With a queue it is faster still.
            self.unhindered = Some(thought + (latency - thought) * SMOOTHING);
        }
    }

    fn step(&mut self, latency: f64, unhindered: f64, tolerance: f64) {
        let allowed = (unhindered * (1.0 + tolerance)).max(unhindered + GRACE);
        let gradient = (allowed / latency).clamp(STEEPEST, 1.0);
        self.is_new &= gradient >= 1.0;
        if self.is_new {
            self.estimate *= 1.5;
        } else {
            // Room for a longer queue only while the one there is is allowed: always, the limit would settle √limit above what
            // is, which before few workers is as many as they are.
            let room = if gradient < 1.0 { 0.0 } else { self.estimate.sqrt() };
            let wanted = self.estimate * gradient + room;
            self.estimate += (wanted - self.estimate) * SMOOTHING;
        }
        self.highest = self.highest.max(self.estimate);
    }

    /// Whether answers have been slower than they should for so long that half of the limit is gone. If that is a queue, it is
    /// gone as well; if it is not, other requests than before are being answered, or by a slower upstream: looked at now, it
    /// costs no more than this half.
    fn has_fallen(&self) -> bool {
        self.estimate * 2.0 < self.highest
    }

    /// Whether it is time to look. At the same moments for everybody who has the time of day: what is slower by so much that
    /// it looks half as often does so at every other of them.
    fn is_due(&self, now: Duration) -> bool {
        let mut every = BEAT;
        while every < APART * self.pace {
            every *= 2;
        }
        let turn = |time: Duration| time.as_nanos() / every.as_nanos();
        turn(now) > turn(self.looked)
    }

    fn steady(&mut self, now: Duration) {
        (self.window, self.phase) = (Window::new(now), Phase::Steady);
        self.looked = now;
        self.highest = self.estimate;
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and a million")]
fn whole(limit: f64) -> u32 {
    limit as u32
}

#[cfg(test)]
mod tests;
