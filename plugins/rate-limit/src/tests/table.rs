//! The table: bounds, floods, threads, allocations, memory.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use portreeve_plugin::{Allowance, Spread};

use super::*;
use crate::meter::{Limit as Compiled, compile_all};
use crate::table::Table;

struct World {
    clock: Clock,
    table: Table,
    limits: Box<[Compiled]>,
}

fn limits(rate: &str, spread: Spread) -> Box<[Compiled]> {
    compile_all([&Allowance { rates: vec![rate.parse().unwrap()], spread, quotas: Vec::new() }]).unwrap()
}

fn world(rate: &str) -> World {
    let clock = Clock::frozen(SystemTime::UNIX_EPOCH);
    World { table: Table::new(&clock), clock, limits: limits(rate, Spread::Window) }
}

impl World {
    /// Whether the key may pass; `None` if the table is full.
    fn admit(&self, key: &str, max_keys: usize) -> Option<bool> {
        let now = self.table.moment(&self.limits, &self.clock);
        let key = self.table.seeds.digest_of(key);
        Some(self.table.decide(&self.limits, key, 1, now, max_keys)?.verdict.is_ok())
    }

    fn passes(&self, key: &str, max_keys: usize) -> bool {
        self.admit(key, max_keys) == Some(true)
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
    assert_eq!(world.admit("bob", 500), None);
    // Nor in the last moment in which it counts.
    world.clock.advance(Duration::from_mins(1) - Duration::from_nanos(1));
    assert_eq!((world.admit("bob", 500), world.admit("ada", 500)), (None, Some(false)));
    // A full table is searched once a second.
    world.clock.advance(Duration::from_secs(1));
    assert!(world.passes("ada", 500) && world.passes("bob", 500));
}

#[test]
fn a_full_table_is_searched_once_a_second_and_so_is_each_shard() {
    const HALF: u64 = 500_000_000;
    // Each time a key of a shard comes, whether it may pass.
    let all = |arrivals: &[(u64, u128, u128)]| {
        let world = world("1/s");
        let admit = |(mono, shard, number): &(u64, u128, u128)| {
            let now = crate::meter::Moment { mono: *mono, wall: 0 };
            world.table.decide(&world.limits, shard << 120 | number, 1, now, 2).map(|decision| decision.verdict.is_ok())
        };
        arrivals.iter().map(admit).collect::<Vec<_>>()
    };
    // Nobody is idle when it is searched first, and by the time somebody is, it has been searched for this second.
    let admitted = all(&[
        (0, 1, 1),
        (HALF, 2, 1),
        (2 * HALF - 1, 3, 1),
        (2 * HALF, 3, 1),
        (4 * HALF - 2, 3, 1),
        (4 * HALF - 1, 3, 1),
    ]);
    assert_eq!(admitted, [Some(true), Some(true), None, None, None, Some(true)]);
    // Where one was found it is not looked again so soon.
    let admitted = all(&[(0, 1, 1), (HALF, 1, 2), (2 * HALF, 9, 1), (3 * HALF, 9, 2), (5 * HALF, 9, 2)]);
    assert_eq!(admitted, [Some(true), Some(true), Some(true), None, Some(true)]);
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
    assert!(world.table.len() < 2 * 20_000 + 256 * 128, "{}", world.table.len());
}

#[test]
fn a_lowered_bound_holds_for_new_keys_and_keeps_the_old() {
    let world = world("2/min");
    assert!(world.passes("ada", 2) && world.passes("bob", 2));
    assert!(world.passes("ada", 1) && world.passes("bob", 1));
    assert_eq!(world.admit("eve", 1), None);
}

#[test]
fn many_threads_together_get_exactly_the_limit() {
    for spread in [Spread::Window, Spread::Burst(NonZeroU32::new(100).unwrap())] {
        let world = World { limits: limits("100/min", spread), ..world("100/min") };
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
    assert!(used.bytes_current < 128 * 16 + 512, "{}", used.bytes_current);
}

/// What the documents say of memory, counted: a key that was used once or twice, with one limit and with two, one that has
/// used a limit of 100 up, and the most that one key and limit can take.
#[test]
fn a_key_takes_the_memory_that_is_stated() {
    let of = |rates: &[&str], keys: usize, requests: usize, apart: u64| {
        let allowance =
            Allowance { rates: rates.iter().map(|rate| rate.parse().unwrap()).collect(), ..Allowance::default() };
        let world = World { limits: compile_all([&allowance]).unwrap(), ..world("1/s") };
        let used = allocation_counter::measure(|| {
            for key in 0..keys {
                let key = key.to_string();
                for _ in 0..requests {
                    world.clock.advance(Duration::from_millis(apart));
                    world.passes(&key, 1_000_000);
                }
            }
        });
        used.bytes_current / i64::try_from(keys).unwrap()
    };
    // Tables grow to twice their size: the worst is just after that, when they are least full.
    let worst = 256 * 113;
    let twice = [of(&["100/day"], worst, 2, 1), of(&["100/day", "90/h"], worst, 2, 1)];
    let (hundred, most) = (of(&["100/day"], 2_000, 100, 1), of(&["100000/h"], 10, 40_000, 1_000));
    println!("bytes of a key: used twice {twice:?}, a hundred times {hundred}, at most {most}");
    // The seeds spread keys over the shards, so that not all of them are at their worst.
    assert!(twice.iter().all(|bytes| *bytes < 450) && twice[0].abs_diff(twice[1]) < 60, "{twice:?}");
    assert!(hundred < 450 + 128 * 16, "{hundred}");
    // The shards of a table with ten keys weigh on each of them.
    assert!(most < 1025 * 16 + 7_000, "{most}");
}
