//! A search that goes on: everybody who can be picked comes once, in the algorithm's order at first, and then it ends.

use proptest::prelude::*;

use super::*;

fn given(picker: &Picker<()>, mut search: Search<'_>) -> Vec<usize> {
    // One more than there can be, to see it end.
    let all = (0..=picker.members().len()).map_while(|_| search.next_in(picker)).collect();
    assert_eq!(search.next_in(picker), None, "a search that has ended stays so");
    all
}

#[test]
fn where_the_client_was_before_comes_first_if_it_can_be_picked() {
    let now = Instant::now();
    for algorithm in ALL {
        let picker = pool(&[1; 20], algorithm);
        let at = |place, address| given(&picker, Search::new(now, 3).first_at(place, address));
        assert_eq!((at(7, address(7))[0], at(7, address(7)).len()), (7, 20));
        // Its place is another's by now: whoever is there is no more its than any other.
        let hits = (0..50).filter(|_| at(7, address(8))[0] == 7).count();
        assert!(hits < 50 || algorithm == Algorithm::Hash, "{algorithm:?}");
        bar(&picker, 7, true);
        assert!(!at(7, address(7)).contains(&7) && !at(99, address(99)).contains(&7));
        bar(&picker, 7, false);
    }
}

#[test]
fn a_round_goes_on_where_a_search_left_it() {
    let now = Instant::now();
    let picker = pool(&[1; 3], Algorithm::RoundRobin);
    let first = given(&picker, Search::new(now, 0));
    let turns: Vec<_> = (0..3).map(|turn| (first[0] + turn) % 3).collect();
    assert_eq!(first, turns, "whoever is next in the round is next in the search");
}

#[test]
fn the_next_group_comes_when_the_first_has_nobody_with_room() {
    let now = Instant::now();
    for algorithm in ALL {
        let picker = grouped(&[(1, priority(1)), (1, priority(0)), (1, priority(0)), (1, priority(2))], algorithm);
        let all = given(&picker, Search::new(now, 9));
        let mut groups = all.clone();
        groups[..2].sort_unstable();
        assert_eq!(groups, [1, 2, 0, 3], "{algorithm:?}: {all:?}");
    }
}

proptest! {
    /// Against the plainest words for it: whoever is available, not ejected and not tried.
    #[test]
    fn a_search_gives_everybody_who_can_be_picked_once_and_nobody_else(
        members in prop::collection::vec((1_u32..5, 0_u16..3, any::<bool>(), any::<bool>(), any::<bool>()), 0..40),
        which in 0..ALL.len(),
        key in any::<u64>(),
        slow in any::<bool>(),
        near in any::<bool>(),
        stay in prop::option::of(0_usize..45),
    ) {
        let now = Instant::now();
        let groups: Vec<_> = members.iter().map(|(weight, group, ..)| (*weight, priority(*group))).collect();
        let policy = Policy {
            slow_start: slow.then_some(Duration::from_secs(20)),
            outlier: Some(Outlier { consecutive_failures: 1, ..outlier() }),
            ..ALL[which].into()
        };
        let picker = grouped(&groups, policy);
        let mut tried = Vec::new();
        for (place, (_, _, down, fails, was_tried)) in members.iter().enumerate() {
            bar(&picker, place, *down);
            if *fails {
                picker.report(&hold(&picker, place, now), Outcome::Failed, now);
            }
            if *was_tried {
                tried.push(address(place));
            }
        }
        let order = Order::new([2, 0, 1]);
        let mut search = Search::new(now, key).without(&tried).near(near.then_some(&order));
        if let Some(stay) = stay {
            search = search.first_at(stay, address(stay));
        }
        let mut got = given(&picker, search);
        let can = |place: &usize| {
            let member = &picker.members()[*place];
            member.target.is_available() && !member.seat.is_ejected(now) && !tried.contains(&member.target.address)
        };
        let wanted: Vec<_> = (0..members.len()).filter(can).collect();
        if let Some(stay) = stay.filter(|stay| wanted.contains(stay)) {
            prop_assert_eq!(got[0], stay);
        }
        got.sort_unstable();
        prop_assert_eq!(got, wanted);
    }
}
