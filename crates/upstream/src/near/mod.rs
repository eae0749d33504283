//! Nearness: where a client is, and in what order the zones of a pool are asked for it.
//!
//! Where zones are is the `globe`; where clients are, a `database` tells, or a header of a trusted proxy.

mod database;
mod globe;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use portreeve_balance::Order;
use portreeve_config::{Coordinates, Country, Failover, Named, Zone};

use database::Database;
pub(crate) use database::Databases;
pub(super) use globe::Globe;

/// Where a client is, as far as is known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Whereabouts {
    pub(super) country: Option<Country>,
    pub(super) at: Option<Coordinates>,
}

/// How one pool knows which of its zones are near to a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Near {
    globe: Globe,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Database(Arc<Database>),
    Header(HeaderName),
}

impl PartialEq for Source {
    /// A database that was read anew is another one.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Database(ours), Self::Database(theirs)) => Arc::ptr_eq(ours, theirs),
            (Self::Header(ours), Self::Header(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

impl Near {
    /// What the file says of nearness; `None` if nothing. Reads the database, unless it is in memory already.
    ///
    /// # Errors
    /// What is wrong with the database, ready to stand behind its key.
    pub fn load(
        failover: &Failover,
        zones: &Named<Zone>,
        folder: &Path,
        databases: &Databases,
    ) -> Result<Option<Self>, String> {
        let (Some(near), Some(own)) = (&failover.near, &failover.zone) else { return Ok(None) };
        let header = near.header.as_ref().and_then(|name| name.as_str().parse().ok());
        let source = match (&near.database, header) {
            (Some(file), _) => Source::Database(databases.load(&folder.join(file))?),
            (None, Some(header)) => Source::Header(header),
            (None, None) => return Ok(None),
        };
        Ok(Some(Self { globe: Globe::new(zones, own), source }))
    }

    /// The number of a zone in the gateway's own order. One that is nowhere comes last.
    pub(super) fn zone(&self, name: Option<&str>) -> u8 {
        self.globe.zone(name)
    }

    /// In what order the zones are asked for this client; `None` where it is not known, and the gateway's own order holds.
    /// `headers` are those of a request, without what strangers said. Allocates nothing.
    pub(super) fn order(&self, client: IpAddr, headers: Option<&HeaderMap>) -> Option<Order> {
        let whereabouts = match &self.source {
            Source::Database(database) => database.find(client)?,
            Source::Header(name) => {
                let mut told = headers?.get_all(name).iter();
                // Two that differ would be believed by chance.
                told.next().filter(|_| told.next().is_none()).and_then(|told| read(told.as_bytes()))?
            }
        };
        self.globe.order(whereabouts)
    }

    /// The header that nobody but a trusted proxy may set.
    pub fn header(&self) -> Option<&HeaderName> {
        match &self.source {
            Source::Header(name) => Some(name),
            Source::Database(_) => None,
        }
    }
}

/// What a proxy says of a client: a country, or latitude and longitude.
fn read(told: &[u8]) -> Option<Whereabouts> {
    let told = told.trim_ascii();
    if let Some(country) = Country::new(told) {
        return Some(Whereabouts { country: Some(country), at: None });
    }
    let (latitude, longitude) = std::str::from_utf8(told).ok()?.split_once(',')?;
    let at = Coordinates::new(latitude.trim().parse().ok()?, longitude.trim().parse().ok()?)?;
    Some(Whereabouts { country: None, at: Some(at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_tells_a_country_or_coordinates_and_anything_else_is_nothing() {
        let country = |text: &str| Some(Whereabouts { country: Country::new(text.as_bytes()), at: None });
        let at = |latitude, longitude| Some(Whereabouts { country: None, at: Coordinates::new(latitude, longitude) });
        assert_eq!(read(b"DE"), country("DE"));
        assert_eq!(read(b" de "), country("DE"));
        assert_eq!(read(b"50.1,8.7"), at(50.1, 8.7));
        assert_eq!(read(b"-33.9, 151.2"), at(-33.9, 151.2));
        for nonsense in ["", "D", "DEU", "D3", "50.1", "91,0", "0,181", "NaN,0", "inf,1", "50.1;8.7", "\u{fc}\u{fc}"] {
            assert_eq!(read(nonsense.as_bytes()), None, "{nonsense:?}");
        }
    }
}
