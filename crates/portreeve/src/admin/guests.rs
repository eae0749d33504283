//! Who is connected to the admin port, and who gives way when there are too many: somebody who has shown that it may ask always
//! finds a place, however many connections others hold.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use tokio::task::AbortHandle;

/// What is known of one connection.
#[derive(Debug)]
struct Guest {
    number: u64,
    from: IpAddr,
    task: AbortHandle,
    /// It has asked for something that not everybody may ask for.
    is_known: bool,
    /// Requests in hand: one or none.
    is_busy: bool,
    /// When it came, or its last request ended.
    since: Instant,
}

/// The connections that are open.
#[derive(Debug, Default)]
pub(super) struct Guests {
    open: Vec<Guest>,
    next: u64,
}

impl Guests {
    /// The number of the next one.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Makes room for another one, where there may be `most`. Whether there is room.
    pub(super) fn make_room(&mut self, most: usize) -> bool {
        self.open.retain(|guest| !guest.task.is_finished());
        if self.open.len() < most {
            return true;
        }
        let Some(at) = self.least_missed() else { return false };
        self.open.swap_remove(at).task.abort();
        true
    }

    /// The one to be closed: of strangers the one that has been here longest, of whoever has most of them; then, of those that
    /// are known and ask for nothing at the moment, the one that has not asked for longest.
    fn least_missed(&self) -> Option<usize> {
        let of = |from: IpAddr| self.open.iter().filter(|guest| !guest.is_known && guest.from == from).count();
        let strangers = self.open.iter().enumerate().filter(|(_, guest)| !guest.is_known);
        let stranger = strangers.max_by_key(|(_, guest)| (of(guest.from), std::cmp::Reverse(guest.since)));
        let idle =
            || self.open.iter().enumerate().filter(|(_, guest)| !guest.is_busy).min_by_key(|(_, guest)| guest.since);
        stranger.or_else(idle).map(|(at, _)| at)
    }

    pub(super) fn enter(&mut self, number: u64, from: SocketAddr, task: AbortHandle) {
        let from = from.ip().to_canonical();
        self.open.push(Guest { number, from, task, is_known: false, is_busy: false, since: Instant::now() });
    }

    /// It has begun to ask for something. `is_known`: for something that not everybody may ask for.
    pub(super) fn begins(&mut self, number: u64, is_known: bool) {
        if let Some(guest) = self.open.iter_mut().find(|guest| guest.number == number) {
            (guest.is_busy, guest.is_known) = (true, guest.is_known || is_known);
        }
    }

    /// It has its answer.
    pub(super) fn ends(&mut self, number: u64) {
        if let Some(guest) = self.open.iter_mut().find(|guest| guest.number == number) {
            (guest.is_busy, guest.since) = (false, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(guests: &mut Guests, from: u8) -> u64 {
        let (number, task) = (guests.number(), tokio::spawn(std::future::pending::<()>()).abort_handle());
        guests.enter(number, SocketAddr::from(([10, 0, 0, from], 1)), task);
        number
    }

    fn numbers(guests: &Guests) -> Vec<u64> {
        let mut numbers: Vec<_> = guests.open.iter().map(|guest| guest.number).collect();
        numbers.sort_unstable();
        numbers
    }

    #[tokio::test]
    async fn strangers_give_way_first_those_of_whoever_has_most() {
        let mut guests = Guests::default();
        let one = entered(&mut guests, 1);
        let many = [entered(&mut guests, 2), entered(&mut guests, 2), entered(&mut guests, 2)];
        guests.begins(many[0], true);
        guests.ends(many[0]);
        assert!(guests.make_room(4));
        assert_eq!(numbers(&guests), [one, many[0], many[2]], "the oldest stranger of the second address");
        assert!(guests.make_room(4), "there is room");
        assert!(guests.make_room(3));
        assert_eq!(numbers(&guests), [many[0], many[2]], "of equal addresses the oldest");
    }

    #[tokio::test]
    async fn those_that_are_known_give_way_only_while_they_ask_for_nothing() {
        let mut guests = Guests::default();
        let (busy, idle) = (entered(&mut guests, 1), entered(&mut guests, 1));
        guests.begins(busy, true);
        guests.begins(idle, true);
        assert!(!guests.make_room(2), "both ask for something");
        guests.ends(idle);
        assert!(guests.make_room(2));
        assert_eq!(numbers(&guests), [busy]);
    }
}
