//! A pick allocates nothing. In a test of its own, because it brings its own allocator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve_balance::hash::mix;
use portreeve_balance::{
    Algorithm, Bar, Circuit, CircuitPolicy, Group, InFlight, Ledger, Member, Order, Outcome, Outlier, Picker, Policy,
    Search, Target,
};

fn picker(algorithm: Algorithm, count: u16) -> Picker<()> {
    let ledger = Ledger::new();
    let member = |n: u16| {
        let [high, low] = n.to_be_bytes();
        let address = SocketAddr::from(([10, 0, high, low], 80));
        let (target, seat) = (Arc::new(Target::new(address)), ledger.seat(address));
        let group = Group { priority: n % 2, zone: u8::from(n.is_multiple_of(3)) };
        Arc::new(Member { target, seat, weight: u32::from(n % 4), group, prepared: () })
    };
    let outlier = Outlier {
        consecutive_failures: 5,
        failure_rate: 0.5,
        min_requests: 10,
        window: Duration::from_secs(10),
        eject_for: Duration::from_secs(30),
        max_eject_for: Duration::from_mins(5),
        max_ejected: 0.5,
    };
    let policy = Policy { slow_start: Some(Duration::from_mins(1)), outlier: Some(outlier), ..Policy::from(algorithm) };
    Picker::new(&ledger, (0..count).map(member).collect(), policy)
}

#[test]
fn a_pick_and_its_report_allocate_nothing_whoever_is_out() {
    for algorithm in [
        Algorithm::RoundRobin,
        Algorithm::LeastConnections,
        Algorithm::LeastTime,
        Algorithm::RandomTwo,
        Algorithm::Hash,
    ] {
        for (count, out) in [(2, 0), (2, 1), (16, 3), (1_000, 0), (1_000, 950)] {
            let picker = picker(algorithm, count);
            let now = Instant::now();
            for member in picker.members().iter().take(out) {
                member.target.bar(Bar::Unhealthy, true);
            }
            // The first pick after a change looks at everybody.
            let first = Search::new(now, 0).next_in(&picker).unwrap();
            let _held = InFlight::new(&picker.members()[first], now);
            let tried = [picker.members().last().unwrap().target.address];
            let allocations = allocation_counter::measure(|| {
                for key in 0..500 {
                    let tried = if key % 3 == 0 { &tried[..] } else { &[] };
                    let order = (key % 2 == 0).then(|| Order::new([1, 0]));
                    let mut search = Search::new(now, mix(key)).without(tried).near(order.as_ref());
                    // Most use the first one, some go on past one that is full, and one looks at everybody.
                    let past = [0, 0, 0, 1, 7, 20, 2_000][usize::try_from(key % 7).unwrap()];
                    let Some(mut place) = search.next_in(&picker) else { continue };
                    for _ in 0..past {
                        place = search.next_in(&picker).unwrap_or(place);
                    }
                    let attempt = InFlight::new(&picker.members()[place], now);
                    picker.report(&attempt, Outcome::Answered, now + Duration::from_millis(key));
                }
            });
            assert_eq!(allocations.count_total, 0, "{algorithm:?}, {out} of {count} out");
        }
    }
}

#[test]
fn a_circuit_breaker_allocates_nothing_whether_it_is_open_or_not() {
    let policy = CircuitPolicy {
        failures: 0.5,
        minimum: 20,
        window: Duration::from_secs(10),
        open_for: Duration::from_secs(30),
        probes: 3,
    };
    let (circuit, now) = (Circuit::new(), Instant::now());
    let (mut passed, mut refused) = (0, 0);
    let allocations = allocation_counter::measure(|| {
        // Closed, open, half open and closed again, many times.
        for attempt in 0..40_000 {
            let now = now + Duration::from_millis(50) * attempt;
            match circuit.pass(&policy, now) {
                Ok(pass) => {
                    passed += 1;
                    circuit.report(&policy, &pass, attempt % 1_000 < 600, now);
                }
                Err(_) => refused += 1,
            }
        }
    });
    assert!(passed > 100 && refused > 100, "{passed} {refused}");
    assert_eq!(allocations.count_total, 0);
}
