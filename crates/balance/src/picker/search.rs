//! One request in search of a member: the choices of the algorithm one after the other, each member at most once, until
//! nobody is left.

use std::net::SocketAddr;
use std::time::Instant;

use smallvec::SmallVec;

use crate::Order;
use crate::time::nanos;

use super::Picker;
use super::ask::Ask;

/// So many choices are the algorithm's. Whoever is left after them comes in the order of the members, so that a search
/// among a thousand members that are full costs one pass over them and not a thousand picks.
const BY_ALGORITHM: usize = 8;

/// A request in search of a member, with all that a choice depends on. The one way to pick.
///
/// The first member that it gives is the algorithm's choice. Whoever cannot use that one (it has no room, for instance)
/// asks for the next, and gets each member that can be picked once; then the search ends. It allocates nothing.
#[derive(Debug, Clone)]
pub struct Search<'a> {
    pub(super) nanos: u64,
    pub(super) key: u64,
    pub(super) tried: &'a [SocketAddr],
    /// The order of zones of this client; `None`: the gateway's own.
    pub(super) order: Option<&'a Order>,
    /// Where the client was before.
    first: Option<(usize, SocketAddr)>,
    /// The places that were given already, but for those that come in the order of the members.
    pub(super) given: SmallVec<[u16; BY_ALGORITHM + 1]>,
    /// How many choices the algorithm has made.
    chosen: usize,
    /// The first place that was not looked at in the order of the members.
    rest: usize,
}

impl<'a> Search<'a> {
    /// A search at this moment. `key` is what hashing hashes.
    #[must_use]
    pub fn new(now: Instant, key: u64) -> Self {
        let (tried, given) = (&[][..], SmallVec::new());
        Self { nanos: nanos(now), key, tried, order: None, first: None, given, chosen: 0, rest: 0 }
    }

    /// Never gives a member at one of these addresses.
    #[must_use]
    pub fn without(mut self, tried: &'a [SocketAddr]) -> Self {
        self.tried = tried;
        self
    }

    /// Asks the zones in the order of this client, if it has one.
    #[must_use]
    pub fn near(mut self, order: Option<&'a Order>) -> Self {
        self.order = order;
        self
    }

    /// Gives the member at this place first, if it still has this address and can be picked: for whoever has been there
    /// before.
    #[must_use]
    pub fn first_at(mut self, place: usize, address: SocketAddr) -> Self {
        self.first = Some((place, address));
        self
    }

    /// The place of the next member that can be picked; `None` when there is no other, then and from then on. A search
    /// is for one picker: places of another one are other members.
    pub fn next_in<P>(&mut self, picker: &Picker<P>) -> Option<usize> {
        let view = picker.view(self.nanos);
        let first = self.first.take();
        let ask = Ask { picker, view: &view, search: self };
        let is_there = |(place, address): &(usize, SocketAddr)| {
            picker.members.get(*place).is_some_and(|member| member.target.address == *address) && ask.is_usable(*place)
        };
        if let Some((place, _)) = first.filter(is_there) {
            return Some(self.give(place));
        }
        if self.chosen < BY_ALGORITHM {
            // It finds somebody if there is anybody.
            let place = ask.place()?;
            self.chosen += 1;
            return Some(self.give(place));
        }
        let place = (self.rest..picker.members.len()).find(|place| ask.is_usable(*place));
        self.rest = place.map_or(picker.members.len(), |place| place + 1);
        place
    }

    fn give(&mut self, place: usize) -> usize {
        // A picker has no more members than that.
        self.given.push(u16::try_from(place).unwrap_or(u16::MAX));
        place
    }
}
