//! The table under every order in which threads can meet: `cargo test -p portreeve-plugin-rate-limit --features loom --lib`.
//! Everything else of this crate is tested without the feature: outside a model its locks do not work.

use loom::sync::Arc;
use portreeve_plugin::{Allowance, Clock};

use crate::meter::compile_all;
use crate::table::Table;

fn two_threads(keys: [u128; 2], max_keys: usize) -> (Vec<Option<bool>>, usize) {
    let clock = Clock::frozen(std::time::SystemTime::UNIX_EPOCH);
    let allowance = Allowance { rates: vec!["1/min".parse().unwrap()], ..Allowance::default() };
    let limits: std::sync::Arc<[_]> = Vec::from(compile_all([&allowance]).unwrap()).into();
    let table = Arc::new(Table::new(&clock));
    let now = table.moment(&limits, &clock);
    let threads = keys.map(|key| {
        let (table, limits) = (table.clone(), limits.clone());
        loom::thread::spawn(move || {
            table.decide(&limits, key, 1, now, max_keys).map(|decision| decision.verdict.is_ok())
        })
    });
    let outcomes = threads.map(|thread| thread.join().unwrap()).into();
    (outcomes, table.len())
}

#[test]
fn two_requests_of_one_key_get_one_place() {
    loom::model(|| {
        let (outcomes, held) = two_threads([7, 7], 10);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Some(true)).count(), 1);
        assert_eq!(held, 1);
    });
}

#[test]
fn two_new_keys_never_pass_the_bound_of_one() {
    loom::model(|| {
        // In different shards: the highest byte chooses.
        let (outcomes, held) = two_threads([0, 1 << 120], 1);
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_some()).count(), 1);
        assert_eq!(held, 1);
    });
}
