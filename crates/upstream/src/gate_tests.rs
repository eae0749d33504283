//! The door against a model of it that does everything the slow way, through random comings, goings and changes of mind.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::task::noop_waker;
use proptest::prelude::*;

use super::*;

const CAPACITY: u32 = 3;
const QUEUE: usize = 4;

fn entry(priority: u8) -> Entry {
    Entry { priority, capacity: CAPACITY, queue: QUEUE }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

type Turning = Pin<Box<dyn Future<Output = Result<Slot, Fault>> + Send>>;

/// A request somewhere on its way.
enum Request {
    In {
        _slot: Slot,
    },
    /// Its future, polled as a runtime would or not at all.
    Waits(Turning),
}

/// What the door should be: lists, searched.
#[derive(Default)]
struct Model {
    inside: Vec<u64>,
    /// Who waits, with the priority.
    waiting: Vec<(u64, u8)>,
    shed: Vec<u64>,
    capacity: u32,
}

impl Model {
    fn admit(&mut self) {
        while self.inside.len() < self.capacity as usize && !self.waiting.is_empty() {
            let highest = self.waiting.iter().map(|(_, priority)| *priority).max().unwrap();
            let first = self.waiting.iter().position(|(_, priority)| *priority == highest).unwrap();
            self.inside.push(self.waiting.remove(first).0);
        }
    }

    /// Whether there is a place for it, in flight or in the queue.
    fn enter(&mut self, id: u64, priority: u8, capacity: u32) -> bool {
        self.capacity = capacity;
        self.admit();
        if self.inside.len() < capacity as usize {
            self.inside.push(id);
            return true;
        }
        if self.waiting.len() >= QUEUE {
            let lowest = self.waiting.iter().map(|(_, priority)| *priority).min().unwrap();
            if lowest >= priority {
                return false;
            }
            let last = self.waiting.iter().rposition(|(_, priority)| *priority == lowest).unwrap();
            self.shed.push(self.waiting.remove(last).0);
        }
        self.waiting.push((id, priority));
        true
    }

    fn leave(&mut self, id: u64) {
        self.inside.retain(|known| *known != id);
        self.waiting.retain(|(known, _)| *known != id);
        self.shed.retain(|known| *known != id);
        self.admit();
    }
}

#[derive(Debug, Clone)]
enum Step {
    Enter {
        priority: u8,
        capacity: u32,
    },
    /// Whoever is so far down the list ends or goes away, wherever it is.
    Leave(prop::sample::Index),
    /// Somebody looks whether its turn has come.
    Look(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u8..4, 1..=CAPACITY).prop_map(|(priority, capacity)| Step::Enter { priority, capacity }),
        2 => any::<prop::sample::Index>().prop_map(Step::Leave),
        2 => any::<prop::sample::Index>().prop_map(Step::Look),
    ]
}

proptest! {
    #[test]
    fn the_door_does_what_its_model_does_and_is_empty_in_the_end(steps in prop::collection::vec(step(), 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let gate = Arc::new(Gate::default());
        let (mut model, mut requests, mut ids) = (Model::default(), Vec::<(u64, Request)>::new(), 0..);
        for step in steps {
            match step {
                Step::Enter { priority, capacity } => {
                    let id = ids.next().unwrap();
                    let found = gate.enter(Entry { priority, capacity, queue: QUEUE });
                    prop_assert_eq!(found.is_ok(), model.enter(id, priority, capacity));
                    match found {
                        Ok(Found::Slot(slot)) => requests.push((id, Request::In { _slot: slot })),
                        Ok(Found::Queue(waiting)) => requests.push((id, Request::Waits(Box::pin(waiting.turn(soon()))))),
                        Err(fault) => prop_assert_eq!(fault, Fault::QueueFull),
                    }
                }
                Step::Leave(which) if !requests.is_empty() => {
                    let (id, request) = requests.swap_remove(which.index(requests.len()));
                    drop(request);
                    model.leave(id);
                }
                Step::Look(which) if !requests.is_empty() => {
                    let place = which.index(requests.len());
                    let (id, request) = &mut requests[place];
                    if let Request::Waits(turn) = request {
                        match turn.as_mut().poll(&mut Context::from_waker(&noop_waker())) {
                            Poll::Pending => prop_assert!(model.waiting.iter().any(|(known, _)| known == id)),
                            Poll::Ready(Ok(slot)) => {
                                prop_assert!(model.inside.contains(id));
                                *request = Request::In { _slot: slot };
                            }
                            Poll::Ready(Err(fault)) => {
                                prop_assert_eq!(fault, Fault::Shed);
                                prop_assert!(model.shed.contains(id));
                                let id = *id;
                                requests.swap_remove(place);
                                model.leave(id);
                            }
                        }
                    }
                }
                Step::Leave(_) | Step::Look(_) => {}
            }
            let now = Occupancy { in_flight: u32::try_from(model.inside.len()).unwrap(), waiting: model.waiting.len() };
            prop_assert_eq!(gate.crowd(), now);
        }
        drop(requests);
        prop_assert_eq!(gate.crowd(), Occupancy { in_flight: 0, waiting: 0 });
    }
}

fn slot(gate: &Arc<Gate>) -> Slot {
    match gate.enter(entry(0)) {
        Ok(Found::Slot(slot)) => slot,
        other => panic!("{other:?}"),
    }
}

fn waiting(gate: &Arc<Gate>, priority: u8) -> Waiting {
    match gate.enter(entry(priority)) {
        Ok(Found::Queue(waiting)) => waiting,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_does_not_come_in_time_is_given_up() {
    let gate = Arc::new(Gate::default());
    let _full: Vec<_> = (0..CAPACITY).map(|_| slot(&gate)).collect();
    let until = tokio::time::Instant::now() + Duration::from_millis(300);
    let begun = tokio::time::Instant::now();
    assert_eq!(waiting(&gate, 0).turn(until.into_std()).await.unwrap_err(), Fault::QueueTimeout);
    assert_eq!(begun.elapsed().as_millis(), 300);
    assert_eq!(gate.crowd(), Occupancy { in_flight: CAPACITY, waiting: 0 });
}

#[tokio::test]
async fn a_turn_that_nobody_takes_any_more_goes_to_the_next() {
    let gate = Arc::new(Gate::default());
    let mut full: Vec<_> = (0..CAPACITY).map(|_| slot(&gate)).collect();
    let (first, second) = (waiting(&gate, 0), waiting(&gate, 0));
    full.pop();
    // It has its turn and has not looked.
    drop(first);
    assert!(second.turn(soon()).now_or_never().unwrap().is_ok());
}

#[tokio::test]
async fn a_place_comes_back_from_a_request_that_panics() {
    let gate = Arc::new(Gate::default());
    let held = slot(&gate);
    let panicking = tokio::spawn(async move {
        let _held = held;
        panic!("as a plugin might");
    });
    assert!(panicking.await.is_err());
    assert_eq!(gate.crowd().in_flight, 0);
}
