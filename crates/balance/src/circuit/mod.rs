//! The circuit breaker of a pool: when too large a share of its attempts fails, nobody is asked for a while; then a few attempts
//! show whether it is well again. Asking and reporting take no lock, and allocate nothing.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::counts::{Counts, Slices};
use crate::time::{length, nanos};

/// When a circuit opens, and how it closes again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CircuitPolicy {
    /// A share of failed attempts within `window`, 0 to 1, that opens it.
    pub failures: f64,
    /// Attempts within `window` below which the share says nothing.
    pub minimum: u32,
    /// The time that the share is taken over, give or take a tenth.
    pub window: Duration,
    /// How long nobody is asked.
    pub open_for: Duration,
    /// So many attempts are let through then. All of them must succeed.
    pub probes: u16,
}

/// Whether a pool may be asked. Outlives the generations of the pool.
#[derive(Debug, Default)]
pub struct Circuit {
    /// Two bits of [`CLOSED`], [`OPEN`] or [`HALF_OPEN`]; above them the number of the phase, by which late reports are told.
    phase: AtomicU64,
    /// Until when it is open, or was. Only ever later.
    until: AtomicU64,
    /// While it is half open: 32 bits of the number of the phase, 16 of attempts let through, 16 of those that succeeded.
    probing: AtomicU64,
    window: Slices<TENTHS>,
}

const TENTHS: usize = 10;

const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const HALF_OPEN: u64 = 2;
const KIND: u64 = 0b11;

/// The phase that follows.
const fn after(phase: u64, kind: u64) -> u64 {
    (phase & !KIND).wrapping_add(KIND + 1) | kind
}

/// Whether and how a pool may be asked, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    /// It is asked.
    Closed,
    /// A few attempts show whether it may be asked.
    HalfOpen,
    /// It is not asked for so long.
    Open(Duration),
}

/// What a report has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitChange {
    /// Nobody is asked from now on.
    Opened {
        /// Attempts within the window; 0 if it was a probe that failed.
        attempts: u32,
        /// How many of them failed.
        failures: u32,
    },
    /// Everybody may ask again.
    Closed,
}

/// The right to one attempt. One that is dropped without a report says nothing, and lets another in its place.
#[derive(Debug)]
pub struct Pass {
    /// Which phase it was begun in: its number above bits that are all set. Every request carries room for one.
    number: NonZeroU64,
    /// Where it is a probe.
    probes: Option<Arc<Circuit>>,
    is_told: AtomicBool,
}

impl Pass {
    fn of(phase: u64, probes: Option<Arc<Circuit>>) -> Self {
        let number = NonZeroU64::MIN.saturating_add((phase | KIND) - 1);
        Self { number, probes, is_told: AtomicBool::new(false) }
    }

    /// The phase in which it was begun.
    fn phase(&self) -> u64 {
        let kind = if self.probes.is_some() { HALF_OPEN } else { CLOSED };
        (self.number.get() & !KIND) | kind
    }
}

/// What is known of the probes of one phase.
#[derive(Debug, Clone, Copy)]
struct Probing {
    of: u32,
    begun: u16,
    succeeded: u16,
}

impl Probing {
    /// That of this phase, whatever stood there before.
    fn unpack(packed: u64, phase: u64) -> Self {
        let of = tag(phase);
        #[expect(clippy::cast_possible_truncation, reason = "the upper, the middle and the lower bits")]
        let (known, begun, succeeded) = ((packed >> 32) as u32, (packed >> 16) as u16, packed as u16);
        if known == of { Self { of, begun, succeeded } } else { Self { of, begun: 0, succeeded: 0 } }
    }

    fn pack(self) -> u64 {
        u64::from(self.of) << 32 | u64::from(self.begun) << 16 | u64::from(self.succeeded)
    }
}

/// What of a phase's number stands with its probes: two that are the same are four thousand million phases apart.
fn tag(phase: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower bits of a number that counts up")]
    let tag = (phase >> 2) as u32;
    tag
}

impl Circuit {
    /// A closed one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Lets one attempt through.
    ///
    /// # Errors
    /// Nobody is asked for so long; for an unknown time (zero) while others show whether the pool is well.
    pub fn pass(self: &Arc<Self>, policy: &CircuitPolicy, now: Instant) -> Result<Pass, Duration> {
        loop {
            let phase = self.phase.load(Ordering::Acquire);
            match phase & KIND {
                CLOSED => return Ok(Pass::of(phase, None)),
                OPEN => {
                    let left = self.until.load(Ordering::Acquire).saturating_sub(nanos(now));
                    if left > 0 {
                        return Err(Duration::from_nanos(left));
                    }
                    // Whoever comes first; the others find it done.
                    self.change(phase, HALF_OPEN);
                }
                _ => {
                    let let_in = |probing: &mut Probing| {
                        let is_room = probing.begun < policy.probes;
                        probing.begun += u16::from(is_room);
                        is_room
                    };
                    self.probing(phase, let_in).ok_or(Duration::ZERO)?;
                    return Ok(Pass::of(phase, Some(self.clone())));
                }
            }
        }
    }

    /// How long nobody is let through, if that is so; zero where that is not known.
    #[must_use]
    pub fn refuses(&self, policy: &CircuitPolicy, now: Instant) -> Option<Duration> {
        let phase = self.phase.load(Ordering::Acquire);
        match phase & KIND {
            OPEN => {
                let left = self.until.load(Ordering::Acquire).saturating_sub(nanos(now));
                (left > 0).then(|| Duration::from_nanos(left))
            }
            HALF_OPEN => {
                let probing = Probing::unpack(self.probing.load(Ordering::Relaxed), phase);
                (probing.begun >= policy.probes).then_some(Duration::ZERO)
            }
            _ => None,
        }
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self, now: Instant) -> CircuitState {
        match self.phase.load(Ordering::Acquire) & KIND {
            CLOSED => CircuitState::Closed,
            OPEN => match self.until.load(Ordering::Acquire).saturating_sub(nanos(now)) {
                0 => CircuitState::HalfOpen,
                left => CircuitState::Open(Duration::from_nanos(left)),
            },
            _ => CircuitState::HalfOpen,
        }
    }

    /// Attempts within the window, and how many of them failed.
    #[must_use]
    pub fn counts(&self, policy: &CircuitPolicy, now: Instant) -> (u32, u32) {
        let counts = self.window.counts(policy.window, nanos(now));
        (counts.attempts, counts.failures)
    }

    /// Takes note of what came of an attempt; once for each. Those that were begun in another phase say nothing of this one.
    pub fn report(&self, policy: &CircuitPolicy, pass: &Pass, failed: bool, now: Instant) -> Option<CircuitChange> {
        let (nanos, phase) = (nanos(now), pass.phase());
        let is_told = pass.probes.is_some() && pass.is_told.swap(true, Ordering::Relaxed);
        if is_told || self.phase.load(Ordering::Acquire) != phase {
            return None;
        }
        if pass.probes.is_some() {
            if failed {
                return self.open(phase, policy, nanos, Counts::default());
            }
            let succeed = |probing: &mut Probing| {
                probing.succeeded = probing.succeeded.saturating_add(1);
                true
            };
            if self.probing(phase, succeed)?.succeeded < policy.probes {
                return None;
            }
            // Nobody counts while it is half open.
            self.window.clear();
            return self.change(phase, CLOSED).then_some(CircuitChange::Closed);
        }
        self.window.observe(failed, policy.window, nanos);
        if !failed {
            return None;
        }
        let counts = self.window.counts(policy.window, nanos);
        if counts.attempts < policy.minimum || counts.rate() < policy.failures {
            return None;
        }
        self.open(phase, policy, nanos, counts)
    }

    fn open(&self, phase: u64, policy: &CircuitPolicy, nanos: u64, counts: Counts) -> Option<CircuitChange> {
        // First, so that whoever sees that it is open knows until when; and never sooner, whoever comes late.
        self.until.fetch_max(nanos.saturating_add(length(policy.open_for)), Ordering::AcqRel);
        let opened = CircuitChange::Opened { attempts: counts.attempts, failures: counts.failures };
        self.change(phase, OPEN).then_some(opened)
    }

    /// Goes on to the next phase, unless somebody has done so already. Whether it did.
    fn change(&self, phase: u64, kind: u64) -> bool {
        self.phase.compare_exchange(phase, after(phase, kind), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Changes what is known of the probes of this phase, if `change` says so and no later phase has probes. What it is then.
    fn probing(&self, phase: u64, change: impl Fn(&mut Probing) -> bool) -> Option<Probing> {
        let mut changed = None;
        let update = |packed| {
            let known = u32::try_from(packed >> 32).unwrap_or_default();
            if known != tag(phase) && known.wrapping_sub(tag(phase)) < u32::MAX / 2 {
                return None;
            }
            let mut probing = Probing::unpack(packed, phase);
            changed = change(&mut probing).then_some(probing);
            changed.map(Probing::pack)
        };
        self.probing.fetch_update(Ordering::AcqRel, Ordering::Acquire, update).ok()?;
        changed
    }
}

impl Drop for Pass {
    /// Nothing came of it: another may try.
    fn drop(&mut self) {
        let phase = self.phase();
        let Some(circuit) = self.probes.as_ref().filter(|_| !self.is_told.load(Ordering::Relaxed)) else { return };
        if circuit.phase.load(Ordering::Acquire) != phase {
            return;
        }
        let give_back = |probing: &mut Probing| {
            probing.begun = probing.begun.saturating_sub(1);
            true
        };
        circuit.probing(phase, give_back);
    }
}

#[cfg(test)]
mod tests;
