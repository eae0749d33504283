//! Clients with an order of their own: the nearest zone that is well serves, and what it cannot take goes to the next.

use proptest::prelude::*;

use super::*;

const fn zone(zone: u8) -> Group {
    Group { priority: 0, zone }
}

fn near(picker: &Picker<()>, now: Instant, picks: usize, order: &Order) -> Vec<usize> {
    let mut counts = vec![0; picker.members().len()];
    for n in 0..picks {
        counts[picker.place_near(now, mix(n as u64), &[], Some(order)).unwrap()] += 1;
    }
    counts
}

#[test]
fn each_client_is_served_by_its_own_nearest_zone_at_the_same_time() {
    let now = Instant::now();
    for algorithm in ALL {
        let picker = grouped(&[(1, zone(0)), (1, zone(1)), (1, zone(2))], algorithm);
        assert_eq!(near(&picker, now, 100, &Order::new([2, 1, 0])), [0, 0, 100], "{algorithm:?}");
        assert_eq!(near(&picker, now, 100, &Order::new([1, 0, 2])), [0, 100, 0], "{algorithm:?}");
        assert_eq!(counts(&picker, now, 100), [100, 0, 0], "the gateway's own: {algorithm:?}");
        bar(&picker, 2, true);
        assert_eq!(near(&picker, now, 100, &Order::new([2, 1, 0])), [0, 100, 0], "{algorithm:?}");
    }
}

#[test]
fn what_a_weak_zone_cannot_take_goes_to_the_next_nearest() {
    let now = Instant::now();
    for algorithm in ALL {
        let picker = grouped(&[(1, zone(0)), (1, zone(1)), (1, zone(2)), (1, zone(2))], algorithm);
        bar(&picker, 3, true);
        // Half of the nearest is there; at 70% it would take all: five sevenths.
        let got = shares(&near(&picker, now, 8_000, &Order::new([2, 1, 0])));
        let wanted = [0.0, 2.0 / 7.0, 5.0 / 7.0, 0.0];
        assert!(got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 0.034), "{algorithm:?}: {got:?}");
    }
}

#[test]
fn priorities_go_before_nearness() {
    let now = Instant::now();
    let standby = Group { priority: 1, zone: 2 };
    let picker = grouped(&[(1, zone(0)), (1, standby)], Algorithm::RoundRobin);
    let order = Order::new([2, 0]);
    assert_eq!(near(&picker, now, 100, &order), [100, 0]);
    bar(&picker, 0, true);
    assert_eq!(near(&picker, now, 100, &order), [0, 100]);
}

#[test]
fn a_zone_that_the_order_does_not_name_comes_last() {
    let now = Instant::now();
    let picker = grouped(&[(1, zone(u8::MAX)), (1, zone(5)), (1, zone(9))], Algorithm::RandomTwo);
    let order = Order::new([9]);
    assert_eq!(near(&picker, now, 100, &order), [0, 0, 100]);
    bar(&picker, 2, true);
    assert_eq!(near(&picker, now, 100, &order), [0, 100, 0]);
    bar(&picker, 1, true);
    assert_eq!(near(&picker, now, 100, &order), [100, 0, 0]);
}

#[test]
fn hashed_keys_of_clients_of_a_distant_zone_have_room_there() {
    let now = Instant::now();
    let picker = grouped(&[(1, zone(0)), (1, zone(1))], Algorithm::Hash);
    let order = Order::new([1, 0]);
    let held: Vec<_> =
        (0..100).map(|_| InFlight::new(picker.pick_near(now, mix(7), &[], Some(&order)).unwrap(), now)).collect();
    assert!(held.iter().all(|held| held.target().address == address(1)));
}

const ZONES: u8 = 4;

proptest! {
    /// With `spill_below: 0%` the first zone of the client's order in which anybody of the lowest priority is well serves.
    #[test]
    fn the_nearest_zone_with_somebody_well_is_picked(
        members in prop::collection::vec((1_u32..4, 0_u16..2, 0..ZONES, any::<bool>(), any::<bool>()), 1..12),
        order in Just((0..ZONES).collect::<Vec<u8>>()).prop_shuffle(),
        algorithm in 0..ALL.len(),
        key in any::<u64>(),
    ) {
        let failover = Failover { spill_below: 0.0, ..Failover::default() };
        let of_zones: Vec<_> =
            members.iter().map(|(weight, priority, zone, ..)| (*weight, Group { priority: *priority, zone: *zone })).collect();
        let picker = grouped(&of_zones, Policy { failover, ..ALL[algorithm].into() });
        for (place, (.., down, _)) in members.iter().enumerate() {
            bar(&picker, place, *down);
        }
        let tried: Vec<_> = members.iter().enumerate().filter(|(_, (.., tried))| *tried).map(|(place, _)| address(place)).collect();
        let distance = |place: usize| {
            let (_, priority, zone, ..) = members[place];
            (priority, order.iter().position(|near| *near == zone).unwrap())
        };
        let well = |tried: &[SocketAddr]| {
            let left = (0..members.len()).filter(|place| !members[*place].3 && !tried.contains(&address(*place)));
            left.map(distance).min()
        };
        let wanted = Order::new(order.iter().copied());
        for tried in [&[][..], &tried] {
            let got = picker.place_near(Instant::now(), key, tried, Some(&wanted));
            prop_assert_eq!(got.map(distance), well(tried));
        }
    }
}
