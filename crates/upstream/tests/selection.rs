//! A pick through the traits of pingora-load-balancing allocates nothing. In a test of its own, because it brings its
//! own allocator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora_load_balancing::selection::{BackendIter, BackendSelection};
use portreeve_balance::hash::mix;
use portreeve_balance::{Algorithm, Bar, Group, InFlight, Ledger, Member, Order, Outcome, Policy, Target};

use portreeve_upstream::selection::{Selection, Settings, Stay, Wants, backend, state};

fn address(n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 80))
}

fn selection_of(algorithm: Algorithm, count: u16, out: u16) -> Arc<Selection<()>> {
    let ledger = Ledger::new();
    let target = |n: u16| {
        let (target, seat) = (Arc::new(Target::new(address(n))), ledger.seat(address(n)));
        target.bar(Bar::Unhealthy, n < out);
        let group = Group { priority: n % 2, zone: u8::from(n.is_multiple_of(3)) };
        let weight = u32::from(n % 4);
        backend(address(n), weight, Arc::new(Member { target, seat, weight, group, prepared: () }))
    };
    let policy = Policy { slow_start: Some(Duration::from_mins(1)), ..algorithm.into() };
    let settings = Settings { policy, ledger: ledger.clone() };
    Arc::new(Selection::build_with_config(&(0..count).map(target).collect(), &settings))
}

#[test]
fn a_pick_and_those_that_go_on_past_it_allocate_nothing() {
    for algorithm in [
        Algorithm::RoundRobin,
        Algorithm::LeastConnections,
        Algorithm::LeastTime,
        Algorithm::RandomTwo,
        Algorithm::Hash,
    ] {
        for (count, out) in [(2, 0), (2, 1), (16, 3), (1_000, 0), (1_000, 950)] {
            let selection = selection_of(algorithm, count, out);
            let (now, tried) = (Instant::now(), [address(count - 1)]);
            // The first pick after a change looks at everybody.
            assert!(selection.iter(b"").next().is_some());
            let allocations = allocation_counter::measure(|| {
                for key in 0..500 {
                    let stay = (key % 5 == 0).then(|| Stay { place: 1, address: address(1) });
                    let order = (key % 2 == 0).then(|| Order::new([1, 0]));
                    let (wants, tried) =
                        (Wants { key: mix(key), stay, order }, if key % 3 == 0 { &tried[..] } else { &[] });
                    let mut candidates = selection.candidates(now, &wants, tried);
                    // Most use the first, some go on past one that is full, and one past all of them.
                    let past = [0, 0, 0, 1, 7, 20, 2_000][usize::try_from(key % 7).unwrap()];
                    let mut left = past;
                    while let Some(target) = candidates.next() {
                        if left == 0 {
                            let attempt = InFlight::new(state::<Member<()>>(target).unwrap(), now);
                            selection.report(&attempt, Outcome::Answered, now + Duration::from_millis(key));
                            break;
                        }
                        left -= 1;
                    }
                }
            });
            assert_eq!(allocations.count_total, 0, "{algorithm:?}, {out} of {count} out");
        }
    }
}
