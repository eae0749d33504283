//! Who is available, and what each algorithm prepares of it: made anew when something changed, shared by all picks until then.

use crate::changes::Changes;
use crate::policy::Turn;
use crate::shares::{Capacity, Share, shares};
use crate::table::{Alias, Bits, interleave};
use crate::time::length;
use crate::{Algorithm, Group, Member, Order};

use super::{Picker, Plan};

/// While members rise, their shares are looked at so often in the time they take.
const STEPS: u64 = 64;

/// What holds of a pool until something changes.
#[derive(Debug, Default)]
pub(super) struct View {
    /// The count of changes it was made at; `None` for the one that nobody has made yet.
    changes: Option<u64>,
    /// When it ends by time alone: somebody comes back, or has risen further.
    until: u64,
    /// Those that somebody can be picked from, in their order of preference.
    pub(super) groups: Box<[LiveGroup]>,
    /// Who can be picked.
    pub(super) live: Bits,
    /// How many can be picked of the groups that have a part of the requests.
    pub(super) serving: usize,
    /// The same where each client has an order of its own: those of every zone, of the priorities that have a part.
    pub(super) serving_somebody: usize,
}

/// The members of a group that can be picked.
#[derive(Debug)]
pub(super) struct LiveGroup {
    pub(super) group: Group,
    /// Its place among the picker's groups.
    pub(super) plan: usize,
    pub(super) live: Box<[u16]>,
    /// The parts of the requests that go to it and to all groups before it, of 2^32.
    pub(super) up_to: u64,
    /// The part of the requests that it could take by itself, of 2^32: for clients with an order of their own.
    pub(super) strength: u64,
    /// What part of the pool's requests falls on one unit of weight.
    pub(super) density: f64,
    /// The same if all requests came to it: what there is to go by where each client has an order of its own.
    pub(super) whole_density: f64,
    /// Whether its members are used whatever is against them.
    pub(super) panics: bool,
    /// The furthest risen, 0 to 1, if not all have: shares are taken relative to it.
    pub(super) rising: Option<f32>,
    /// Round robin: the round.
    pub(super) round: Box<[u16]>,
    /// Two choices: draws by weight.
    pub(super) draw: Alias,
}

impl View {
    /// Whether it still says what is.
    pub(super) fn holds(&self, changes: &Changes, nanos: u64) -> bool {
        self.changes == Some(changes.count()) && nanos < self.until
    }

    /// Whether it says anything at all.
    pub(super) fn is_made(&self) -> bool {
        self.changes.is_some()
    }

    pub(super) fn new<P>(picker: &Picker<P>, nanos: u64) -> Self {
        // Before looking: what changes meanwhile makes another view.
        let changes = picker.ledger.changes.count();
        let mut until = u64::MAX;
        let mut live = Bits::none(picker.members.len());
        for (place, member) in picker.members.iter().enumerate() {
            let ejected = picker.policy.outlier.is_some() && member.seat.passive.is_ejected(nanos);
            if ejected {
                until = until.min(member.seat.passive.until());
            }
            let is_available = member.target.is_available() && !ejected;
            member.seat.mark(is_available, nanos);
            if is_available {
                live.add(place);
            }
        }
        let capacities: Vec<_> = picker.groups.iter().map(|plan| capacity(picker, plan, &live)).collect();
        let shares = shares(&capacities, picker.policy.failover);
        let (mut up_to, mut serving, mut last_priority) = (0.0, 0, 0);
        let groups = picker.groups.iter().enumerate().zip(shares).filter_map(|((index, plan), share)| {
            up_to += share.part;
            let usable = |place: &&u16| {
                let place = usize::from(**place);
                live.has(place) || share.panics
            };
            let places: Box<[u16]> = plan.places.iter().filter(usable).copied().collect();
            if share.part > 0.0 {
                serving += places.len();
                last_priority = last_priority.max(plan.group.priority);
            }
            (!places.is_empty()).then(|| LiveGroup::new(picker, plan, index, places, share, up_to, nanos))
        });
        let groups: Box<[LiveGroup]> = groups.collect();
        for group in &groups {
            group.live.iter().for_each(|place| live.add(usize::from(*place)));
            if let (Some(_), Some(over)) = (group.rising, picker.policy.slow_start) {
                until = until.min(nanos.saturating_add((length(over) / STEPS).max(1)));
            }
        }
        let of_priority = groups.iter().filter(|group| group.group.priority <= last_priority);
        let serving_somebody = of_priority.map(|group| group.live.len()).sum();
        Self { changes: Some(changes), until, groups, live, serving, serving_somebody }
    }

    /// The group for a number that is drawn from all 32-bit numbers.
    pub(super) fn group(&self, ticket: u32) -> usize {
        self.groups.iter().position(|group| u64::from(ticket) < group.up_to).unwrap_or(0)
    }

    /// The groups in the order of a client. Looks for the next one when it is asked for, since the first is mostly enough:
    /// nothing is sorted and nothing is allocated.
    pub(super) fn in_order(&self, order: &Order) -> impl Iterator<Item = &LiveGroup> {
        let mut last: Option<Turn> = None;
        std::iter::from_fn(move || {
            let turns = self.groups.iter().map(|group| (order.turn(group.group), group));
            let (turn, next) =
                turns.filter(|(turn, _)| last.is_none_or(|last| *turn > last)).min_by_key(|(turn, _)| *turn)?;
            last = Some(turn);
            Some(next)
        })
    }
}

impl LiveGroup {
    fn new<P>(
        picker: &Picker<P>,
        of: &Plan,
        plan: usize,
        live: Box<[u16]>,
        share: Share,
        up_to: f64,
        nanos: u64,
    ) -> Self {
        let Share { part, strength, panics } = share;
        let member = |place: &u16| picker.members.get(usize::from(*place));
        let weighted: Vec<(u16, u64)> =
            live.iter().filter_map(|place| Some((*place, member(place)?.share()))).collect();
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
        let weight = weighted.iter().map(|(_, weight)| *weight).sum::<u64>().max(1) as f64;
        // Without a part of its own it is asked when others fail, and then takes what comes.
        let part = if part > 0.0 { part } else { 1.0 };
        let rising = picker.policy.slow_start.and_then(|over| {
            let rises = || live.iter().filter_map(member).map(|member| member.seat.rise(over, nanos));
            let furthest = rises().fold(0.0, f32::max);
            rises().any(|rise| rise < furthest).then_some(furthest)
        });
        let algorithm = picker.policy.algorithm;
        let round = if algorithm == Algorithm::RoundRobin { interleave(&weighted) } else { Box::default() };
        let draw = match algorithm {
            Algorithm::RoundRobin | Algorithm::Hash => Alias::default(),
            _ => Alias::new(&weighted),
        };
        let (density, whole_density) = (part / weight, 1.0 / weight);
        let (up_to, strength, group) = (of_all(up_to), of_all(strength), of.group);
        Self { group, plan, live, up_to, strength, density, whole_density, panics, rising, round, draw }
    }
}

/// A part as one of 2^32.
fn of_all(part: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of 2^32")]
    let of_all = (part * 4_294_967_296.0).round() as u64;
    of_all
}

fn capacity<P>(picker: &Picker<P>, plan: &Plan, live: &Bits) -> Capacity {
    let mut capacity = Capacity::default();
    for place in &plan.places {
        let place = usize::from(*place);
        let Some(member) = picker.members.get(place) else { continue };
        add(&mut capacity, member, live.has(place));
    }
    capacity
}

/// What has only come and was never checked is not missing.
fn add<P>(capacity: &mut Capacity, member: &Member<P>, is_live: bool) {
    capacity.members += 1;
    if !member.target.is_barred(crate::Bar::Unproven) {
        capacity.weight += member.share();
    }
    if is_live {
        capacity.up += 1;
        capacity.available += member.share();
    }
}
