//! Picking a target: every algorithm honours weights and health, skips what was tried already, and allocates nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

use crate::hash::{mix, stable};
use crate::{Member, Target};

/// How a member is chosen. Weights count in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// One after the other, heavy ones spread over the round.
    RoundRobin,
    /// The fewest in flight for its weight: of all, or of two drawn at random where there are many.
    LeastConnections,
    /// The less busy of two drawn by weight.
    RandomTwo,
    /// The same member for the same key.
    Hash,
}

/// The targets that a request has tried. Addresses, since places change when a name stands for something else.
pub type Tried = SmallVec<[SocketAddr; 4]>;

/// The members of a pool at one moment, ready to be picked from.
#[derive(Debug)]
pub struct Picker<P> {
    members: Box<[Arc<Member<P>>]>,
    table: Table,
}

/// What an algorithm prepares.
#[derive(Debug)]
enum Table {
    /// A smooth weighted sequence, walked by one shared counter.
    RoundRobin { sequence: Box<[u16]>, next: AtomicUsize },
    /// The fewest in flight for its weight, of two drawn at random; of all, if they are few.
    LeastConnections,
    /// The less busy of two drawn by weight.
    RandomTwo { cumulative: Box<[u64]> },
    /// Rendezvous hashing of a key with the hash of each member's address.
    Hash { addresses: Box<[u64]> },
}

/// Weights are cut down to this sum at the most, which bounds the sequence of a round.
const MAX_SEQUENCE: u64 = 4_096;
/// Up to this many members are all looked at for the fewest in flight.
const FEW: usize = 4;
/// So many turns are skipped in search of a usable member; then one is drawn.
const MAX_SKIPS: usize = 64;

impl<P> Picker<P> {
    /// A picker over these members.
    #[must_use]
    pub fn new(members: Vec<Arc<Member<P>>>, algorithm: Algorithm) -> Self {
        let table = match algorithm {
            Algorithm::RoundRobin => Table::RoundRobin { sequence: smooth(&members), next: AtomicUsize::new(0) },
            Algorithm::LeastConnections => Table::LeastConnections,
            Algorithm::RandomTwo => Table::RandomTwo { cumulative: cumulative(&members) },
            Algorithm::Hash => {
                Table::Hash { addresses: members.iter().map(|member| hashed(member.target.address)).collect() }
            }
        };
        Self { members: members.into(), table }
    }

    /// Its members, in the order they were given.
    #[must_use]
    pub fn members(&self) -> &[Arc<Member<P>>] {
        &self.members
    }

    /// Picks a healthy member that was not tried; `None` when there is none. `key` is what hashing hashes.
    #[must_use]
    pub fn pick(&self, key: u64, tried: &[SocketAddr]) -> Option<&Arc<Member<P>>> {
        self.members.get(self.place(key, tried)?)
    }

    /// Whether a healthy member is left that was not tried.
    #[must_use]
    pub fn has_another(&self, tried: &[SocketAddr]) -> bool {
        (0..self.members.len()).any(|place| self.usable(place, tried))
    }

    fn place(&self, key: u64, tried: &[SocketAddr]) -> Option<usize> {
        match &self.table {
            Table::RoundRobin { sequence, next } => self.in_turn(sequence, next, tried),
            Table::LeastConnections if self.members.len() <= FEW => self.least(tried),
            Table::LeastConnections => self.less_busy(|| fastrand::usize(..self.members.len()), tried),
            Table::RandomTwo { cumulative } => self.less_busy(|| draw(cumulative), tried),
            Table::Hash { addresses } => self.rendezvous(addresses, key, tried),
        }
    }

    fn usable(&self, place: usize, tried: &[SocketAddr]) -> bool {
        let usable = |target: &Target| target.is_available() && !tried.contains(&target.address);
        self.members.get(place).is_some_and(|member| usable(&member.target))
    }

    fn in_turn(&self, sequence: &[u16], next: &AtomicUsize, tried: &[SocketAddr]) -> Option<usize> {
        let start = next.fetch_add(1, Ordering::Relaxed);
        // Skipping walks on in the same sequence, so that what a missing target leaves is shared out by weight too.
        let turn = (0..sequence.len().min(MAX_SKIPS))
            .filter_map(|step| sequence.get(start.wrapping_add(step) % sequence.len()))
            .map(|place| usize::from(*place))
            .find(|place| self.usable(*place, tried));
        // With most of a large pool down a walk could be as long as the sequence, for every request.
        turn.or_else(|| self.drawn(tried))
    }

    /// One of the usable members, drawn by weight in one pass over all (reservoir sampling).
    fn drawn(&self, tried: &[SocketAddr]) -> Option<usize> {
        let mut sum = 0;
        let usable = self.members.iter().enumerate().filter(|(place, _)| self.usable(*place, tried));
        let winners = usable.filter(|(_, member)| {
            let weight = u64::from(member.weight.max(1));
            sum += weight;
            fastrand::u64(..sum) < weight
        });
        winners.last().map(|(place, _)| place)
    }

    /// How busy a member is for its weight; compared without division: a/w < b/v is a·v < b·w.
    fn busier(&self, a: usize, b: usize) -> bool {
        let (Some(a), Some(b)) = (self.members.get(a), self.members.get(b)) else { return false };
        let load = |member: &Member<P>| u64::from(member.target.in_flight()) + 1;
        load(a) * u64::from(b.weight) > load(b) * u64::from(a.weight)
    }

    /// The least busy of all. Ties go to whoever comes first after a random start, so that they are shared out.
    fn least(&self, tried: &[SocketAddr]) -> Option<usize> {
        let count = self.members.len();
        let start = fastrand::usize(..count.max(1));
        let usable = (0..count).map(|step| (start + step) % count).filter(|place| self.usable(*place, tried));
        usable.reduce(|best, place| if self.busier(best, place) { place } else { best })
    }

    /// The less busy of two draws; if neither can be used, the least busy of all.
    fn less_busy(&self, draw: impl Fn() -> usize, tried: &[SocketAddr]) -> Option<usize> {
        if self.members.is_empty() {
            return None;
        }
        let (a, b) = (draw(), draw());
        match (self.usable(a, tried), self.usable(b, tried)) {
            (true, true) => Some(if self.busier(a, b) { b } else { a }),
            (true, false) => Some(a),
            (false, true) => Some(b),
            (false, false) => self.least(tried),
        }
    }

    /// Highest weighted random score of key and address (rendezvous hashing, Thaler and Ravishankar 1998): a member that
    /// comes or goes moves only its own share of the keys.
    fn rendezvous(&self, addresses: &[u64], key: u64, tried: &[SocketAddr]) -> Option<usize> {
        let members = self.members.iter().zip(addresses).enumerate();
        let scored = members.filter(|(place, _)| self.usable(*place, tried)).map(|(place, (member, address))| {
            #[expect(clippy::cast_precision_loss, reason = "53 bits are a fine random number")]
            let unit = ((mix(key ^ address) >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
            (-f64::from(member.weight) / unit.ln(), place)
        });
        scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, place)| place)
    }
}

/// The hash of an address: of its bytes, which no other version of anything writes otherwise.
fn hashed(address: SocketAddr) -> u64 {
    let port = address.port().to_be_bytes();
    mix(match address.ip() {
        IpAddr::V4(ip) => stable(ip.octets().into_iter().chain(port)),
        IpAddr::V6(ip) => stable(ip.octets().into_iter().chain(port)),
    })
}

/// The smooth weighted round-robin sequence (nginx's): A, A, B, A rather than A, A, A, B.
fn smooth<P>(members: &[Arc<Member<P>>]) -> Box<[u16]> {
    let weights = reduced(members);
    let total: i64 = weights.iter().sum();
    let mut current = vec![0_i64; weights.len()];
    let turns = (0..total).filter_map(|_| {
        for (now, weight) in current.iter_mut().zip(&weights) {
            *now += weight;
        }
        let (place, now) =
            current.iter_mut().enumerate().max_by_key(|(place, now)| (**now, std::cmp::Reverse(*place)))?;
        *now -= total;
        u16::try_from(place).ok()
    });
    turns.collect()
}

/// Weights with nothing in common, cut down so that they sum to at most [`MAX_SEQUENCE`] (each at least 1).
fn reduced<P>(members: &[Arc<Member<P>>]) -> Vec<i64> {
    let weights: Vec<u64> = members.iter().map(|member| u64::from(member.weight.max(1))).collect();
    let common = weights.iter().copied().fold(0, gcd).max(1);
    let total: u64 = weights.iter().map(|weight| weight / common).sum();
    let cut = total.div_ceil(MAX_SEQUENCE).max(1);
    weights.iter().map(|weight| i64::try_from((weight / common / cut).max(1)).unwrap_or(1)).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn cumulative<P>(members: &[Arc<Member<P>>]) -> Box<[u64]> {
    let sums = members.iter().scan(0, |sum, member| {
        *sum += u64::from(member.weight.max(1));
        Some(*sum)
    });
    sums.collect()
}

fn draw(cumulative: &[u64]) -> usize {
    let Some(total) = cumulative.last() else { return 0 };
    let ticket = fastrand::u64(..*total);
    cumulative.partition_point(|sum| *sum <= ticket)
}

#[cfg(test)]
#[path = "picker_tests.rs"]
mod tests;
