//! Where zones are, and their order as seen from a place.

use portreeve_balance::{MOST_ZONES, Order};
use portreeve_config::{Coordinates, Country, Named, Zone};
use smallvec::SmallVec;

use super::Whereabouts;

/// A zone that serves a client's country is nearer than any distance.
const HERE: f64 = -1.0;
/// Nothing is known of the way there.
const FAR: f64 = f64::INFINITY;

/// The zones of the file in the gateway's own order: its own first, then the others by their distance from it, then those of which
/// no distance is known, in the order of the file. A zone's number is its place here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Globe(Box<[Station]>);

#[derive(Debug, Clone, PartialEq)]
struct Station {
    name: Box<str>,
    at: Option<Vector>,
    countries: Box<[Country]>,
}

/// A point of the unit sphere. The straight way between two of them grows with the great circle, and costs three products where
/// that costs an arc tangent.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Vector([f64; 3]);

impl Vector {
    fn new(at: Coordinates) -> Self {
        let (latitude, longitude) = (at.latitude.to_radians(), at.longitude.to_radians());
        let ((y, x), (z, level)) = (longitude.sin_cos(), latitude.sin_cos());
        Self([x * level, y * level, z])
    }

    /// The square of the straight way: 0 to 4.
    fn way(self, other: Self) -> f64 {
        self.0.iter().zip(other.0).map(|(a, b)| (a - b) * (a - b)).sum()
    }
}

impl Globe {
    /// `own` is the zone of the gateway. Of more than 64 zones the first are taken; the loader refuses more.
    pub(crate) fn new(zones: &Named<Zone>, own: &str) -> Self {
        let station = |(name, zone): (&portreeve_config::Name, &Zone)| Station {
            name: name.as_str().into(),
            at: zone.at.map(Vector::new),
            countries: zone.countries.as_slice().into(),
        };
        let mut stations: Vec<Station> = zones.into_iter().map(station).take(MOST_ZONES).collect();
        let here = stations.iter().find(|station| *station.name == *own).and_then(|own| own.at);
        let way = |station: &Station| match station.at.zip(here) {
            _ if *station.name == *own => HERE,
            Some((there, here)) => there.way(here),
            None => FAR,
        };
        stations.sort_by(|a, b| way(a).total_cmp(&way(b)));
        Self(stations.into())
    }

    /// The number of a zone; that of nobody's for one that is nowhere.
    pub(crate) fn zone(&self, name: Option<&str>) -> u8 {
        let place = name.and_then(|name| self.0.iter().position(|station| *station.name == *name));
        place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
    }

    /// The zones by their distance from there. Where only the country is known, those that serve it come first, and the others by
    /// their distance from the first of them. `None` where nothing can be said.
    pub(super) fn order(&self, client: Whereabouts) -> Option<Order> {
        let serves = |station: &Station| client.country.is_some_and(|country| station.countries.contains(&country));
        let first_served = || self.0.iter().find(|station| serves(station) && station.at.is_some())?.at;
        let here = client.at.map(Vector::new).or_else(first_served);
        let way = |station: &Station| {
            // A distance that is known goes before a country that is said.
            let by_country = serves(station) && (client.at.is_none() || station.at.is_none());
            match station.at.zip(here) {
                _ if by_country => HERE,
                Some((there, here)) => there.way(here),
                None => FAR,
            }
        };
        let mut ways: SmallVec<[(f64, u8); MOST_ZONES]> = self.0.iter().map(way).zip(0..).collect();
        if ways.iter().all(|(way, _)| way.is_infinite()) {
            return None;
        }
        ways.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        Some(Order::new(ways.iter().map(|(_, zone)| *zone)))
    }
}

#[cfg(test)]
#[path = "globe_tests.rs"]
mod tests;
