//! Who of an upstream's requests may go on and who waits: a bound on what is in flight, and a queue before it in which higher
//! priorities go first. A place is given back by `Drop`, however the request ends.
//!
//! What the bound is, whoever comes says: it follows the targets there are, and where it is adaptive how fast they answer.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::fault::Fault;

/// The door of one upstream, for as many generations as have it.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    in_flight: u32,
    /// As many may be in flight, as whoever came last has it.
    capacity: u32,
    waiting: BTreeMap<Ticket, oneshot::Sender<Turn>>,
    tickets: u64,
}

/// In the order in which turns come: high priorities before low ones, then first come, first served.
type Ticket = (Reverse<u8>, u64);

/// What a waiting request is told.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// A place is counted for it.
    Go,
    /// Somebody of a higher priority has its place in the queue.
    Shed,
}

/// On what terms a request comes to the door.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Higher ones go first.
    pub(super) priority: u8,
    /// As many may be in flight.
    pub(super) capacity: u32,
    /// As many may wait.
    pub(super) queue: usize,
}

/// How many are in, and how many before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Occupancy {
    pub(super) in_flight: u32,
    pub(super) waiting: usize,
}

/// A place among those in flight, until it is dropped.
#[derive(Debug)]
pub struct Slot(Arc<Gate>);

/// What a request finds at the door.
#[derive(Debug)]
pub(super) enum Found {
    Slot(Slot),
    Queue(Waiting),
}

/// A place in the queue, until it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    gate: Arc<Gate>,
    ticket: Ticket,
    turn: oneshot::Receiver<Turn>,
}

impl Gate {
    /// Takes a place in flight, or else one in the queue. Waits for nothing.
    ///
    /// # Errors
    /// [`Fault::QueueFull`] when there is neither.
    pub(super) fn enter(self: &Arc<Self>, entry: Entry) -> Result<Found, Fault> {
        let mut state = self.0.lock();
        state.capacity = entry.capacity;
        state.admit();
        // Whoever waits has been let in as far as there was room: with room left nobody waits.
        if state.in_flight < state.capacity {
            state.in_flight += 1;
            return Ok(Found::Slot(Slot(self.clone())));
        }
        if state.waiting.len() >= entry.queue && !state.shed_below(entry.priority) {
            return Err(Fault::QueueFull);
        }
        state.tickets += 1;
        let ticket = (Reverse(entry.priority), state.tickets);
        let (sender, turn) = oneshot::channel();
        state.waiting.insert(ticket, sender);
        Ok(Found::Queue(Waiting { gate: self.clone(), ticket, turn }))
    }

    pub(super) fn crowd(&self) -> Occupancy {
        let state = self.0.lock();
        Occupancy { in_flight: state.in_flight, waiting: state.waiting.len() }
    }

    fn leave(&self) {
        let mut state = self.0.lock();
        state.in_flight -= 1;
        state.admit();
    }
}

impl State {
    /// Lets in whoever waits, as far as there is room.
    fn admit(&mut self) {
        while self.in_flight < self.capacity
            && let Some((_, turn)) = self.waiting.pop_first()
        {
            // Nobody drops the other end without having left the queue first.
            if turn.send(Turn::Go).is_ok() {
                self.in_flight += 1;
            }
        }
    }

    /// Turns away the last of the lowest priority below this one. Whether there was one.
    fn shed_below(&mut self, priority: u8) -> bool {
        let Some(last) = self.waiting.last_entry().filter(|last| last.key().0.0 < priority) else { return false };
        last.remove().send(Turn::Shed).ok();
        true
    }
}

impl Waiting {
    /// Waits for the turn.
    ///
    /// Cancel safe: a request that goes away leaves the queue, and gives back the place it may have been given meanwhile.
    ///
    /// # Errors
    /// [`Fault::QueueTimeout`] when it does not come in time, [`Fault::Shed`] when somebody else has it.
    pub(super) async fn turn(mut self, until: Instant) -> Result<Slot, Fault> {
        match timeout_at(until.into(), &mut self.turn).await {
            Ok(Ok(Turn::Go)) => Ok(Slot(self.gate.clone())),
            Ok(Ok(Turn::Shed)) => Err(Fault::Shed),
            Ok(Err(_)) | Err(_) => Err(Fault::QueueTimeout),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let was_waiting = self.gate.0.lock().waiting.remove(&self.ticket).is_some();
        // Its turn came between the last look and now. Once it was received there is nothing more to receive.
        if !was_waiting && self.turn.try_recv() == Ok(Turn::Go) {
            self.gate.leave();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
