//! The order of zones against the haversine formula and against what people know of the world.

use proptest::prelude::*;

use super::*;

/// Name, coordinates, countries.
type Written<'w> = (&'w str, Option<(f64, f64)>, &'w [&'w str]);

const WORLD: [Written<'static>; 4] = [
    ("frankfurt", Some((50.1, 8.7)), &["DE", "AT"]),
    ("virginia", Some((39.0, -77.5)), &["US", "CA"]),
    ("sydney", Some((-33.9, 151.2)), &["AU", "NZ"]),
    ("norway", None, &["NO"]),
];

fn zones(written: &[Written<'_>]) -> Named<Zone> {
    let zone = |(name, at, countries): &Written<'_>| {
        let at = at.map(|(latitude, longitude)| [latitude, longitude]);
        (name.to_string(), serde_json::json!({ "at": at, "countries": countries }))
    };
    let map: serde_json::Map<_, _> = written.iter().map(zone).collect();
    serde_json::from_value(map.into()).unwrap()
}

fn at(latitude: f64, longitude: f64) -> Whereabouts {
    Whereabouts { country: None, at: Coordinates::new(latitude, longitude) }
}

fn of(country: &str) -> Whereabouts {
    Whereabouts { country: Country::new(country.as_bytes()), at: None }
}

/// The order as names.
fn names(globe: &Globe, client: Whereabouts) -> Option<Vec<&str>> {
    let order = globe.order(client)?;
    let mut zones: Vec<u8> = (0..u8::try_from(globe.0.len()).unwrap()).collect();
    zones.sort_by_key(|zone| order.rank(*zone));
    Some(zones.iter().map(|zone| &*globe.0[usize::from(*zone)].name).collect())
}

#[test]
fn the_nearest_zone_on_the_globe_comes_first() {
    let globe = Globe::new(&zones(&WORLD), "frankfurt");
    assert_eq!(names(&globe, at(48.9, 2.4)).unwrap(), ["frankfurt", "virginia", "sydney", "norway"]);
    assert_eq!(names(&globe, at(19.4, -99.1)).unwrap(), ["virginia", "frankfurt", "sydney", "norway"]);
    // Fiji, and Samoa on the other side of the date line.
    assert_eq!(names(&globe, at(-18.1, 178.4)).unwrap(), ["sydney", "virginia", "frankfurt", "norway"]);
    assert_eq!(names(&globe, at(-13.8, -171.8)).unwrap()[0], "sydney");
}

#[test]
fn a_country_goes_to_the_zone_that_serves_it_and_from_there_to_the_nearest() {
    let globe = Globe::new(&zones(&WORLD), "sydney");
    assert_eq!(names(&globe, of("CA")).unwrap(), ["virginia", "frankfurt", "sydney", "norway"]);
    assert_eq!(names(&globe, of("NZ")).unwrap(), ["sydney", "virginia", "frankfurt", "norway"]);
    // Nothing is known of where Norway is: the rest is in the gateway's own order.
    assert_eq!(names(&globe, of("NO")).unwrap(), ["norway", "sydney", "virginia", "frankfurt"]);
    assert_eq!(names(&globe, of("FR")), None);
    assert_eq!(names(&globe, Whereabouts::default()), None);
}

#[test]
fn a_distance_goes_before_a_country() {
    let globe = Globe::new(&zones(&WORLD), "frankfurt");
    // Hawaii and New York are both in the United States; a zone that is nowhere else serves Norway alone.
    let in_norway = Whereabouts { country: Country::new(b"NO"), ..at(59.9, 10.7) };
    assert_eq!(names(&globe, in_norway).unwrap()[..2], ["norway", "frankfurt"]);
    let a_german_in_boston = Whereabouts { country: Country::new(b"DE"), ..at(42.4, -71.1) };
    assert_eq!(names(&globe, a_german_in_boston).unwrap()[0], "virginia");
}

#[test]
fn the_gateway_s_own_order_begins_at_home() {
    let named = |own: &str| {
        let globe = Globe::new(&zones(&WORLD), own);
        globe.0.iter().map(|station| station.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(named("virginia"), ["virginia", "frankfurt", "sydney", "norway"]);
    assert_eq!(named("sydney"), ["sydney", "virginia", "frankfurt", "norway"]);
    assert_eq!(named("norway"), ["norway", "frankfurt", "virginia", "sydney"]);
    let globe = Globe::new(&zones(&WORLD), "sydney");
    assert_eq!((globe.zone(Some("sydney")), globe.zone(Some("elsewhere")), globe.zone(None)), (0, u8::MAX, u8::MAX));
}

#[test]
fn an_order_allocates_nothing() {
    let globe = Globe::new(&zones(&WORLD), "frankfurt");
    let counted = allocation_counter::measure(|| {
        for longitude in -180..180 {
            globe.order(at(10.0, longitude.into()));
        }
    });
    assert_eq!(counted.count_total, 0);
}

/// Kilometres by the haversine formula.
fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (a, b) = ((a.0.to_radians(), a.1.to_radians()), (b.0.to_radians(), b.1.to_radians()));
    let (up, along) = (((b.0 - a.0) / 2.0).sin(), ((b.1 - a.1) / 2.0).sin());
    let h = up * up + a.0.cos() * b.0.cos() * along * along;
    2.0 * 6_371.0 * h.sqrt().min(1.0).asin()
}

fn place() -> impl Strategy<Value = (f64, f64)> {
    (-90.0_f64..=90.0, -180.0_f64..=180.0)
}

proptest! {
    #[test]
    fn zones_are_in_the_order_of_their_great_circles(
        stations in prop::collection::vec(place(), 1..40),
        client in place(),
    ) {
        let texts: Vec<String> = (0..stations.len()).map(|n| format!("zone-{n}")).collect();
        let written: Vec<Written<'_>> = texts.iter().zip(&stations).map(|(name, at)| (name.as_str(), Some(*at), &[][..])).collect();
        let globe = Globe::new(&zones(&written), "zone-0");
        let order = names(&globe, at(client.0, client.1)).unwrap();
        prop_assert_eq!(order.len(), stations.len());
        let kilometres = order.iter().map(|name| {
            let station = texts.iter().position(|text| text == name).unwrap();
            distance(client, stations[station])
        });
        // A millimetre is what numbers of this size lose.
        prop_assert!(kilometres.is_sorted_by(|a, b| *a <= b + 1e-3), "{order:?}");
    }
}
