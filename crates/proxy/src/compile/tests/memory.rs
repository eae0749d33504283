//! What a route weighs: live bytes of the compiled generation, its metrics, and the configuration that is kept for the
//! admin port and for diagnostics.

use super::*;

/// The design allows so much (`docs/performance.md`).
const MOST_PER_ROUTE: i64 = 5 * 1024;

/// Live bytes of so many routes: of the configuration, and of what is compiled from it.
fn weigh(count: usize) -> [i64; 2] {
    let (text, registry) = (many_routes(count), registry());
    let (_idle, shared) = shared();
    let (mut loaded, mut snapshot) = (None, None);
    let read = allocation_counter::measure(|| loaded = Some(load(&text)));
    let made = allocation_counter::measure(|| {
        let loaded = loaded.as_ref().unwrap();
        snapshot = Some(compile(loaded, &registry, &shared, None, &[0], Purpose::Check).unwrap());
    });
    [read.bytes_current, made.bytes_current]
}

#[test]
fn a_route_weighs_no_more_than_it_may_however_many_there_are() {
    // What every file costs, such as the pool and its roots of trust, is no route's.
    let [without, thousand, ten_thousand] = [10, 1_000, 10_000].map(weigh);
    for (more, less, routes) in [(thousand, without, 990), (ten_thousand, thousand, 9_000)] {
        let [read, made] = [0, 1].map(|part| (more[part] - less[part]) / routes);
        assert!(read + made <= MOST_PER_ROUTE, "{routes} routes more: {read} + {made} bytes for each");
    }
}
