//! One pick: the algorithms themselves.

use std::cmp::Ordering;
use std::sync::atomic::Ordering::Relaxed;

use crate::hash::mix;
use crate::{Algorithm, Member, Order};

use super::view::{LiveGroup, View};
use super::{Picker, Plan, Search};

/// Up to this many members are all looked at for the fewest in flight.
const FEW: usize = 8;
/// So many turns or draws come to nothing before everybody is looked at.
const PATIENCE: u64 = 16;
/// So many slots of a row are looked at, however few members are left.
const LONGEST_ROW: u64 = 64;
/// Where fewer than one in so many is left, each is asked.
const SPARSE: usize = 32;
/// A member may have so much of what is its even share in flight before its keys go elsewhere.
const BOUND: f64 = 1.25;
/// With so few in flight no member is drowned, and its keys stay.
const SLACK: u32 = 8;
/// What floating point may add to a bound that is a whole number.
const ROUNDING: f64 = 1e-6;
/// Tells the choice of a group from the choice of a slot, for one key.
const GROUP_SALT: u64 = 0x6a09_e667_f3bc_c908;
/// Tells whether a key has come over to a member that rises.
const RISE_SALT: u64 = 0xbb67_ae85_84ca_a73b;

/// What a pick is made from.
pub(super) struct Ask<'a, P> {
    pub(super) picker: &'a Picker<P>,
    pub(super) view: &'a View,
    pub(super) search: &'a Search<'a>,
}

impl<P> Ask<'_, P> {
    pub(super) fn place(&self) -> Option<usize> {
        let groups = &self.view.groups;
        let picked = if let Some(order) = self.search.order.filter(|_| groups.len() > 1) {
            self.nearest(order)
        } else {
            let chosen = if groups.len() > 1 { self.view.group(self.ticket()) } else { 0 };
            let picked = groups.get(chosen).and_then(|group| self.within(group));
            picked.or_else(|| groups.iter().find_map(|group| self.within(group)))
        };
        // Whoever was tried or has just gone may have been the last of its group, and the view may be a moment old.
        picked.or_else(|| self.drawn(0..self.picker.members.len()))
    }

    /// One of the first group in this order that has not its fill, and if that comes to nothing, of any other.
    fn nearest(&self, order: &Order) -> Option<usize> {
        let ticket = u64::from(self.ticket());
        let mut up_to = 0;
        let takes = |group: &&LiveGroup| {
            up_to += group.strength;
            ticket < up_to
        };
        let chosen = self.view.in_order(order).find(takes);
        let picked = chosen.and_then(|group| self.within(group));
        picked.or_else(|| self.view.in_order(order).find_map(|group| self.within(group)))
    }

    /// A hashed key stays in its group.
    #[expect(clippy::cast_possible_truncation, reason = "32 bits of a random number")]
    fn ticket(&self) -> u32 {
        let hashes = self.picker.policy.algorithm == Algorithm::Hash;
        if hashes { mix(self.search.key ^ GROUP_SALT) as u32 } else { fastrand::u32(..) }
    }

    fn within(&self, group: &LiveGroup) -> Option<usize> {
        let plan = self.picker.groups.get(group.plan)?;
        match self.picker.policy.algorithm {
            Algorithm::RoundRobin => self.in_turn(group, plan),
            // Not while some rise: an idle one would win every time, however small its share still is.
            Algorithm::LeastConnections if group.live.len() <= FEW && group.rising.is_none() => self.least_busy(group),
            Algorithm::LeastConnections | Algorithm::RandomTwo => self.better_of_two(group, Self::is_busier),
            Algorithm::LeastTime => self.better_of_two(group, Self::is_costlier),
            Algorithm::Hash => self.hashed(group, plan),
        }
    }

    fn member(&self, place: usize) -> Option<&Member<P>> {
        self.picker.members.get(place).map(AsRef::as_ref)
    }

    /// Whether it can be picked, as of this moment.
    pub(super) fn is_usable(&self, place: usize) -> bool {
        let Some(Member { target, seat, group, .. }) = self.member(place) else { return false };
        let was_given = || self.search.given.iter().any(|given| usize::from(*given) == place);
        if self.search.tried.contains(&target.address) || was_given() {
            return false;
        }
        let is_ejected = || self.picker.policy.outlier.is_some() && seat.passive.is_ejected(self.search.nanos);
        if target.is_available() && !is_ejected() {
            return true;
        }
        // Looked up only for those that something is against: who panics uses them still.
        let panics = |live: &LiveGroup| live.panics && live.group == *group;
        self.view.groups.iter().any(panics)
    }

    /// Whether a member that rises takes this one: as often as it has risen, relative to who has furthest.
    fn takes(&self, group: &LiveGroup, place: usize, random: u32) -> bool {
        let (Some(furthest), Some(over)) = (group.rising, self.picker.policy.slow_start) else { return true };
        let risen = self.member(place).map_or(1.0, |member| member.seat.rise(over, self.search.nanos)) / furthest;
        f64::from(random) < f64::from(risen) * 4_294_967_296.0
    }

    /// Whose turn it is. A turn that comes to nothing is used up, so that what somebody misses is shared out by weight.
    fn in_turn(&self, group: &LiveGroup, plan: &Plan) -> Option<usize> {
        let mut spare = None;
        for _ in 0..PATIENCE {
            let turn = plan.turn.fetch_add(1, Relaxed);
            let place = usize::from(*group.round.get(turn % group.round.len().max(1))?);
            if self.is_usable(place) {
                if self.takes(group, place, random(group)) {
                    return Some(place);
                }
                spare.get_or_insert(place);
            }
        }
        spare.or_else(|| self.drawn(places(&group.live)))
    }

    /// One of the usable ones, drawn by weight in one pass over all (reservoir sampling).
    fn drawn(&self, places: impl Iterator<Item = usize>) -> Option<usize> {
        let mut sum = 0;
        let usable = places.filter(|place| self.is_usable(*place));
        let winners = usable.filter(|place| {
            let weight = self.member(*place).map_or(1, Member::share);
            sum += weight;
            fastrand::u64(..sum) < weight
        });
        winners.last()
    }

    /// The least busy of all; of those that are equally so, one drawn by weight.
    fn least_busy(&self, group: &LiveGroup) -> Option<usize> {
        let (mut best, mut sum) = (None, 0);
        for place in places(&group.live).filter(|place| self.is_usable(*place)) {
            let Some(member) = self.member(place) else { continue };
            match best.map_or(Ordering::Less, |best| compare_busy(member, best)) {
                Ordering::Less => {
                    sum = member.share();
                    best = Some(member);
                }
                Ordering::Equal => {
                    sum += member.share();
                    if fastrand::u64(..sum) < member.share() {
                        best = Some(member);
                    }
                }
                Ordering::Greater => {}
            }
        }
        let best = best?;
        places(&group.live).find(|place| self.member(*place).is_some_and(|member| std::ptr::eq(member, best)))
    }

    /// The better of two different ones drawn by weight; the first, if they are equal.
    fn better_of_two(&self, group: &LiveGroup, is_worse: impl Fn(&Self, usize, usize) -> bool) -> Option<usize> {
        let first = self.draw(group, None)?;
        let second = if group.live.len() > 1 { self.draw(group, Some(first)) } else { None };
        Some(second.filter(|second| is_worse(self, first, *second)).unwrap_or(first))
    }

    /// One of the usable ones but `not`, drawn by weight.
    fn draw(&self, group: &LiveGroup, not: Option<usize>) -> Option<usize> {
        let mut spare = None;
        for _ in 0..PATIENCE {
            let place = usize::from(group.draw.draw(fastrand::u64(..))?);
            if Some(place) != not && self.is_usable(place) {
                if self.takes(group, place, random(group)) {
                    return Some(place);
                }
                spare.get_or_insert(place);
            }
        }
        // While some rise, a second that does not take it is none: it would win, being idle.
        if not.is_some() && group.rising.is_some() {
            return None;
        }
        let others = || places(&group.live).filter(|place| Some(*place) != not);
        spare.or_else(|| self.drawn(others()))
    }

    fn is_busier(&self, a: usize, b: usize) -> bool {
        let (Some(a), Some(b)) = (self.member(a), self.member(b)) else { return false };
        compare_busy(a, b) == Ordering::Greater
    }

    /// Whether `a` is expected to take longer: its time to the first byte, for each that is in flight there and the one to
    /// come, for its weight. Of two where one is unknown, an idle unknown one goes first, and a busy one is taken to be as fast
    /// as the other, so that everybody has a first try and nobody gets all of them.
    fn is_costlier(&self, a: usize, b: usize) -> bool {
        let (Some(a), Some(b)) = (self.member(a), self.member(b)) else { return false };
        let cost = |member: &Member<P>, time: f32| {
            #[expect(clippy::cast_precision_loss, reason = "a cost needs no more than 24 bits")]
            let (load, share) = (member.target.in_flight() as f32 + 1.0, member.share() as f32);
            time * load / share
        };
        match (a.seat.latency.at(self.search.nanos), b.seat.latency.at(self.search.nanos)) {
            (Some(of_a), Some(of_b)) => cost(a, of_a) > cost(b, of_b),
            (Some(_), None) if b.target.in_flight() == 0 => true,
            (None, Some(_)) if a.target.in_flight() == 0 => false,
            (Some(time), None) | (None, Some(time)) => cost(a, time) > cost(b, time),
            (None, None) => compare_busy(a, b) == Ordering::Greater,
        }
    }

    /// The owner of the key's slot, or of the next slot of its row if that one is out or has its fill.
    fn hashed(&self, group: &LiveGroup, plan: &Plan) -> Option<usize> {
        let slots = plan.slots.as_ref()?;
        let density = if self.search.order.is_some() { group.whole_density } else { group.density };
        let most = f64::from(self.picker.ledger.in_flight().saturating_add(1)) * density * BOUND;
        let has_room = |place: usize| {
            let Some(member) = self.member(place) else { return false };
            let load = member.seat.in_flight.load(Relaxed);
            #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
            let most = (most * member.share() as f64 - ROUNDING).ceil();
            load < SLACK || f64::from(load) < most
        };
        let fits = |place: usize| has_room(place) && self.takes(group, place, self.coin(place));
        let mut spare = None;
        for step in 0..patience(group.live.len(), plan.places.len()) {
            let place = usize::from(slots.choice(self.search.key, step)?);
            if self.view.live.has(place) && self.is_usable(place) {
                if fits(place) {
                    return Some(place);
                }
                spare.get_or_insert(place);
            }
        }
        // Few are left: each is asked for how well the key suits it, which is as steady as the row.
        let best = |fits: &dyn Fn(usize) -> bool| {
            let scored = places(&group.live).filter(|place| fits(*place)).map(|place| (self.suits(place), place));
            scored.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, place)| place)
        };
        // Mostly the best of all will do, and then only that one is looked at.
        let best_usable = |fits: &dyn Fn(usize) -> bool| best(&|place| self.is_usable(place) && fits(place));
        best(&|_| true)
            .filter(|place| self.is_usable(*place) && fits(*place))
            .or_else(|| best_usable(&fits))
            .or_else(|| best_usable(&has_room))
            .or(spare)
            .or_else(|| best_usable(&|_| true))
    }

    /// Weighted rendezvous hashing of the key itself: −w ÷ ln u for a random u of key and member.
    fn suits(&self, place: usize) -> f64 {
        let identity = self.picker.identities.get(place).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "53 bits are a fine random number, and weights have 32 bits")]
        let (unit, share) = (
            ((mix(self.search.key ^ identity) >> 11) as f64 + 1.0) / (1_u64 << 53) as f64,
            self.member(place).map_or(1, Member::share) as f64,
        );
        share / -binary_logarithm(unit)
    }

    /// Always the same for a key and a member, so that keys come over to one that rises one by one and stay.
    #[expect(clippy::cast_possible_truncation, reason = "32 bits of a random number")]
    fn coin(&self, place: usize) -> u32 {
        let identity = self.picker.identities.get(place).copied().unwrap_or_default();
        mix(self.search.key ^ identity ^ RISE_SALT) as u32
    }
}

/// How many slots of a key's row are looked at. The fewer are left, the more it takes to meet one, until asking each of them is
/// less.
fn patience(live: usize, of: usize) -> u64 {
    if live.saturating_mul(SPARSE) < of {
        return 0;
    }
    (PATIENCE * (of / live.max(1)) as u64).min(LONGEST_ROW)
}

/// The logarithm of a number between 0 and 1, to within 0.09, by its bits alone: a tenth of the time, and the same on every
/// machine, which the system's logarithm need not be.
fn binary_logarithm(unit: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "that is the approximation")]
    let (bits, one) = (unit.to_bits() as f64, (1_u64 << 52) as f64);
    // Never 0: less than the smallest step below 1 that 53 bits know.
    (bits / one - 1023.0).min(-1e-15)
}

fn places(live: &[u16]) -> impl Iterator<Item = usize> {
    live.iter().map(|place| usize::from(*place))
}

/// Asked for only where somebody rises.
fn random(group: &LiveGroup) -> u32 {
    if group.rising.is_some() { fastrand::u32(..) } else { 0 }
}

/// Compares what two would have in flight with one more, for their weights; a/w < b/v is a·v < b·w. Two idle ones are equal
/// whatever their weights, so that in quiet times their weights say who is drawn, and not that the heavy one always wins.
fn compare_busy<P>(a: &Member<P>, b: &Member<P>) -> Ordering {
    let (of_a, of_b) = (u64::from(a.target.in_flight()), u64::from(b.target.in_flight()));
    if of_a == 0 && of_b == 0 {
        return Ordering::Equal;
    }
    ((of_a + 1) * b.share()).cmp(&((of_b + 1) * a.share()))
}
