//! The table against counts that forget nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::count::Outcome;

fn event(cost: u64) -> Event {
    let outcome = [Outcome::Served, Outcome::Error, Outcome::Refused][usize::try_from(cost % 3).unwrap()];
    Event { outcome, bytes_in: cost, bytes_out: 2 * cost, cost, duration: Duration::from_millis(cost) }
}

fn record(table: &Table, consumer: u8, route: u8, cost: u64, exact: &mut HashMap<(u8, u8), Counts>) {
    let (consumer_name, route_name) = (Arc::from(format!("c{consumer}")), Arc::from(format!("r{route}")));
    table.record(&Asked { consumer: Some(&consumer_name), route: Some(&route_name), ..Asked::default() }, &event(cost));
    exact.entry((consumer, route)).or_default().record(&event(cost));
}

/// What must hold of any sheet of so many rows.
fn holds(sheet: &Sheet, exact: &HashMap<(u8, u8), Counts>, most: usize) -> Result<(), TestCaseError> {
    prop_assert!(sheet.rows.len() <= most, "{} rows", sheet.rows.len());
    let mut routes: HashMap<Arc<str>, Counts> = HashMap::new();
    for (key, line) in &sheet.rows {
        routes.entry(key.route.clone().unwrap()).or_default().add(&line.counts);
    }
    for (route, line) in &sheet.rest {
        routes.entry(route.clone().unwrap()).or_default().add(&line.counts);
    }
    let mut wanted: HashMap<Arc<str>, Counts> = HashMap::new();
    for ((consumer, route), counts) in exact {
        wanted.entry(format!("r{route}").into()).or_default().add(counts);
        let key = Key {
            consumer: Some(format!("c{consumer}").into()),
            route: Some(format!("r{route}").into()),
            ..Key::default()
        };
        match sheet.rows.get(&key) {
            Some(line) => {
                let told = line.counts.requests;
                prop_assert!(told <= counts.requests, "{key:?} has more than there was");
                prop_assert!(counts.requests <= told + line.missed, "{key:?} misses more than it says");
                prop_assert!(line.counts.cost <= counts.cost);
                if line.missed == 0 {
                    prop_assert_eq!(&line.counts, counts);
                }
            }
            None => prop_assert!(counts.requests <= sheet.floor, "{key:?} has no row and had {}", counts.requests),
        }
    }
    prop_assert_eq!(routes, wanted, "all of a route is in its rows and its rest");
    Ok(())
}

proptest! {
    #[test]
    fn totals_are_exact_and_no_row_is_short_of_more_than_it_says(
        requests in prop::collection::vec((0_u8..40, 0_u8..3, 0_u64..50), 1..600),
        most in 1_usize..30,
        shards in prop::sample::select(vec![1_usize, 4]),
    ) {
        let (table, mut exact) = (Table::with_shards(shards, most), HashMap::new());
        for (consumer, route, cost) in &requests {
            record(&table, *consumer, *route, *cost, &mut exact);
        }
        let sheet = table.look();
        holds(&sheet, &exact, most.max(shards))?;
        if shards == 1 && most >= 3 {
            prop_assert!(sheet.floor <= u64::try_from(requests.len() / most).unwrap(), "Space-Saving's own bound");
        }
        prop_assert_eq!(table.drain(), sheet);
        prop_assert!(table.look().is_empty());
    }

    #[test]
    fn what_is_folded_again_and_again_keeps_its_promises(
        parts in prop::collection::vec(prop::collection::vec((0_u8..40, 0_u8..3, 0_u64..50), 0..120), 1..8),
        most in 3_usize..30,
    ) {
        let (mut whole, mut exact) = (Sheet::default(), HashMap::new());
        let table = Table::with_shards(1, most);
        for part in &parts {
            for (consumer, route, cost) in part {
                record(&table, *consumer, *route, *cost, &mut exact);
            }
            whole.add(&table.drain(), most);
        }
        holds(&whole, &exact, most)?;
        let text = serde_json::to_string(&whole).unwrap();
        prop_assert_eq!(serde_json::from_str::<Sheet>(&text).unwrap(), whole, "written and read back");
    }
}

#[test]
fn the_heaviest_keys_stay_whatever_flood_comes() {
    let (table, mut exact) = (Table::with_shards(1, 10), HashMap::new());
    for round in 0..200_u8 {
        record(&table, 250, 0, 1, &mut exact);
        record(&table, round, 1, 1, &mut exact);
    }
    let sheet = table.look();
    let heavy = sheet.rows.iter().find(|(key, _)| key.consumer.as_deref() == Some("c250")).unwrap();
    assert_eq!((heavy.1.counts.requests, heavy.1.missed), (200, 0));
}

#[test]
fn a_known_key_allocates_nothing() {
    let table = Table::new(100);
    let (consumer, tier, route) = (Arc::from("ada"), Arc::from("free"), Arc::from("orders"));
    let asked = Asked { consumer: Some(&consumer), tier: Some(&tier), route: Some(&route), version: None };
    table.record(&asked, &event(1));
    let counted = allocation_counter::measure(|| {
        for cost in 0..1000 {
            table.record(&asked, &event(cost));
        }
    });
    assert_eq!(counted.count_total, 0);
    assert_eq!(table.look().rows[0].counts.requests, 1001);
}

#[test]
fn a_name_of_any_length_takes_no_memory_of_its_own() {
    let table = Table::new(100);
    let (consumer, route) = (Arc::from("x".repeat(257)), Arc::from("orders"));
    table.record(&Asked { consumer: Some(&consumer), route: Some(&route), ..Asked::default() }, &event(1));
    let sheet = table.look();
    assert!(sheet.rows.is_empty());
    assert_eq!(sheet.rest[&Some(route)].counts.requests, 1);
}

/// Whatever comes while it is looked at: every request is in a row or in the rest, and in one of them only.
#[test]
fn a_look_counts_each_request_once_while_others_come_and_rows_go() {
    let table = Table::with_shards(1, 3 * SLICE);
    let (route, is_over, recorded) = (Arc::from("r"), AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // It fills up, rows go with each that comes, then the same come again and again.
            for n in (0..400 * SLICE).chain((0..200 * SLICE).map(|n| n % SLICE)) {
                let consumer = Arc::from(n.to_string());
                table.record(&Asked { consumer: Some(&consumer), route: Some(&route), ..Asked::default() }, &event(1));
                recorded.fetch_add(1, Ordering::SeqCst);
            }
            is_over.store(true, Ordering::SeqCst);
        });
        while !is_over.load(Ordering::SeqCst) {
            let before = recorded.load(Ordering::SeqCst);
            let sheet = table.look();
            let after = recorded.load(Ordering::SeqCst) + 1;
            let told: u64 = sheet.rows.values().chain(sheet.rest.values()).map(|line| line.counts.requests).sum();
            assert!((before..=after).contains(&told), "{before} {told} {after}");
        }
    });
}

#[test]
fn what_a_row_that_goes_has_counted_is_in_the_rest_with_its_latencies_and_the_next_begins_anew() {
    let (table, mut exact) = (Table::with_shards(1, 1), HashMap::new());
    for _ in 0..3 {
        record(&table, 1, 0, 10, &mut exact);
    }
    record(&table, 2, 0, 1000, &mut exact);
    let sheet = table.look();
    let (row, rest) = (&sheet.rows[0], &sheet.rest[0]);
    let near = |line: &Line, quantile, seconds: f64| {
        let told = line.latency.quantile(quantile).unwrap();
        assert!((told - seconds).abs() <= 0.03 * seconds, "{told} instead of {seconds}");
    };
    assert_eq!((row.counts.requests, row.missed, rest.counts.requests), (1, 3, 3));
    near(row, 0.01, 1.0);
    near(rest, 0.01, 0.01);
    near(rest, 1.0, 0.01);
}

#[test]
fn as_many_routes_have_a_rest_of_their_own_as_there_is_room_for() {
    let (table, mut exact) = (Table::with_shards(1, 1), HashMap::new());
    for route in 0..100 {
        record(&table, 0, route, 1, &mut exact);
    }
    let sheet = table.look();
    assert_eq!(sheet.rest.len(), FEW_ROUTES + 1);
    assert_eq!(sheet.rest[&None].counts.requests, 99 - u64::try_from(FEW_ROUTES).unwrap());
}
