//! The table: bounds, floods, threads, allocations.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::table::Table;

struct World {
    clock: Clock,
    table: Table,
    limit: Compiled,
}

fn world(rate: &str) -> World {
    let clock = Clock::frozen(SystemTime::UNIX_EPOCH);
    World { table: Table::new(&clock), clock, limit: Compiled::window(rate.parse().unwrap()) }
}

impl World {
    fn admit(&self, key: &str, max_keys: usize) -> Outcome {
        self.table.admit(&self.limit, key, &self.clock, max_keys)
    }

    fn passes(&self, key: &str, max_keys: usize) -> bool {
        matches!(self.admit(key, max_keys), Outcome::Admitted { .. })
    }
}

#[test]
fn a_flood_of_keys_never_resets_one_that_is_at_its_limit() {
    let world = world("1/min");
    assert!(world.passes("ada", 500));
    for n in 0..5000 {
        world.admit(&format!("flood-{n}"), 500);
        assert!(!world.passes("ada", 500));
        assert!(world.table.len() <= 500);
    }
    assert_eq!(world.table.len(), 500);
    assert_eq!(world.admit("bob", 500), Outcome::Full);
    world.clock.advance(Duration::from_mins(1));
    assert!(world.passes("ada", 500) && world.passes("bob", 500));
}

#[test]
fn idle_keys_make_room_for_new_ones_also_when_the_table_is_not_full() {
    let world = world("1/s");
    for round in 0..20 {
        for n in 0..20_000 {
            assert!(world.passes(&format!("{round}/{n}"), 1_000_000));
        }
        world.clock.advance(Duration::from_secs(1));
    }
    // Keys pay for the removal of as many, so that twice as many as live are held at most, and the few of each shard.
    assert!(world.table.len() < 2 * 20_000 + 64 * 128, "{}", world.table.len());
}

#[test]
fn a_lowered_bound_holds_for_new_keys_and_keeps_the_old() {
    let world = world("2/min");
    assert!(world.passes("ada", 2) && world.passes("bob", 2));
    assert!(world.passes("ada", 1) && world.passes("bob", 1));
    assert_eq!(world.admit("eve", 1), Outcome::Full);
}

#[test]
fn many_threads_together_get_exactly_the_limit() {
    for burst in [None, NonZeroU32::new(100)] {
        let mut world = world("100/min");
        if let Some(burst) = burst {
            world.limit = Compiled::bucket("100/min".parse().unwrap(), burst);
        }
        let admitted: Vec<AtomicU32> = (0..3).map(|_| AtomicU32::new(0)).collect();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for n in 0..600 {
                        if world.passes(["a", "b", "c"][n % 3], 10) {
                            admitted[n % 3].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(admitted.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>(), [100, 100, 100]);
    }
}

#[test]
fn threads_that_bring_new_keys_never_pass_the_bound() {
    let world = world("1/min");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let world = &world;
            scope.spawn(move || {
                for n in 0..2000 {
                    world.admit(&format!("{thread}/{n}"), 1000);
                }
            });
        }
    });
    assert_eq!(world.table.len(), 1000);
}

#[test]
fn a_decision_about_a_known_key_allocates_nothing() {
    let world = world("4/min");
    assert!((0..4).all(|_| world.passes("ada", 10)));
    let refused = allocation_counter::measure(|| assert!(!world.passes("ada", 10)));
    world.clock.advance(Duration::from_mins(1));
    let admitted = allocation_counter::measure(|| assert!(world.passes("ada", 10)));
    assert_eq!((refused.count_total, admitted.count_total), (0, 0));
}

#[test]
fn a_log_holds_no_more_than_its_window_can_fill() {
    let world = world("100/min");
    let used = allocation_counter::measure(|| assert!((0..200).filter(|_| world.passes("ada", 10)).count() == 100));
    assert!(used.bytes_current < 100 * 16 + 512, "{}", used.bytes_current);
}
