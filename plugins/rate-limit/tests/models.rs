//! The table under every order in which two threads can meet: the very code, with doubles of what threads share in the place
//! of `sync`.
#![allow(dead_code, unreachable_pub, reason = "of the plugin's modules these models need a part")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use loom::sync::Arc;
use portreeve_plugin::{Allowance, Clock};

#[path = "../src/account.rs"]
mod account;
#[path = "../src/meter/mod.rs"]
mod meter;
#[path = "../src/table.rs"]
mod table;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    /// loom's mutex with the face of `parking_lot`'s.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    pub(crate) const SHARDS: usize = 2;
}

use meter::{Limit, Moment, compile_all};
use table::Table;

const MINUTE: u64 = 60_000_000_000;

/// A key of either shard: the highest byte chooses.
const ADA: u128 = 0;
const EVE: u128 = 1 << 120;

/// A table under two limits, which two threads share.
struct World {
    table: Table,
    limits: Box<[Limit]>,
    max_keys: usize,
}

impl World {
    fn new(max_keys: usize) -> Arc<Self> {
        let rates = vec!["1/min".parse().unwrap(), "5/h".parse().unwrap()];
        let limits = compile_all([&Allowance { rates, ..Allowance::default() }]).unwrap();
        Arc::new(Self { table: Table::new(&Clock::frozen(std::time::SystemTime::UNIX_EPOCH)), limits, max_keys })
    }

    /// Whether the key may pass; `None` if there is no room for it.
    fn decide(&self, key: u128, mono: u64) -> Option<bool> {
        let decision = self.table.decide(&self.limits, key, 1, Moment { mono, wall: 0 }, self.max_keys);
        decision.map(|decision| decision.verdict.is_ok())
    }
}

/// Runs both at the same time, in every order.
fn together<T: 'static>(
    world: &Arc<World>,
    one: impl FnOnce(&World) -> T + 'static,
    other: impl FnOnce(&World) -> T + 'static,
) -> [T; 2] {
    let shared = world.clone();
    let thread = loom::thread::spawn(move || one(&shared));
    let second = other(world);
    [thread.join().unwrap(), second]
}

#[test]
fn two_requests_of_one_key_get_one_place() {
    loom::model(|| {
        let world = World::new(10);
        let mut outcomes = together(&world, |world| world.decide(ADA, 0), |world| world.decide(ADA, 0));
        outcomes.sort_unstable();
        assert_eq!((outcomes, world.table.len()), ([Some(false), Some(true)], 1));
    });
}

#[test]
fn two_new_keys_never_pass_the_bound_of_one() {
    loom::model(|| {
        let world = World::new(1);
        let mut outcomes = together(&world, |world| world.decide(ADA, 0), |world| world.decide(EVE, 0));
        outcomes.sort_unstable();
        assert_eq!((outcomes, world.table.len()), ([None, Some(true)], 1));
    });
}

#[test]
fn the_place_of_an_idle_key_goes_to_one_of_two_new_ones() {
    loom::model(|| {
        let world = World::new(1);
        assert_eq!(world.decide(ADA, 0), Some(true));
        let later = 60 * MINUTE;
        let mut outcomes =
            together(&world, move |world| world.decide(EVE, later), move |world| world.decide(EVE | 1, later));
        outcomes.sort_unstable();
        assert_eq!((outcomes, world.table.len()), ([None, Some(true)], 1));
    });
}

#[test]
fn a_key_that_is_given_back_while_it_is_asked_for_is_counted_once_or_not_at_all() {
    loom::model(|| {
        let world = World::new(10);
        assert_eq!(world.decide(ADA, 0), Some(true));
        let [passed, _] = together(
            &world,
            |world| world.decide(ADA, 0),
            |world| {
                world.table.forget(ADA);
                None
            },
        );
        // Asked first it was over its limit, and then it was given back.
        let again = world.decide(ADA, 0);
        assert_ne!(passed, again);
        assert_eq!(world.table.len(), 1);
        world.table.forget(ADA);
        assert_eq!(world.table.len(), 0);
    });
}

#[test]
fn what_is_charged_while_another_asks_is_charged() {
    loom::model(|| {
        let world = World::new(10);
        let charge = |world: &World| {
            let now = Moment { mono: 0, wall: 0 };
            world.table.take(&world.limits, ADA, 3, now, world.max_keys).map(|standings| standings.is_empty())
        };
        together(&world, charge, |world| world.decide(ADA, 0));
        let left = world.table.peek(&world.limits, ADA, Moment { mono: 0, wall: 0 })[1].remaining;
        // Charged first, it left no room for the other.
        assert!(left == 1 || left == 2, "{left}");
        assert_eq!(world.decide(ADA, MINUTE), Some(true));
    });
}
