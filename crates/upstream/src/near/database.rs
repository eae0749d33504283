//! Where an address is: `.mmdb` databases, read once and held in memory.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use maxminddb::Reader;
use parking_lot::Mutex;
use portreeve_config::{Coordinates, Country, units};
use serde::Deserialize;

use super::Whereabouts;

/// Larger files are refused. The largest that are sold are half of it.
const MOST_BYTES: u64 = 1 << 30;
/// So many entries are looked at for one that tells a place, to find out what a file is about.
const SAMPLED: usize = 1_000;

/// One database. In memory, not mapped: a file that is cut short while it is mapped would end the process.
pub(super) struct Database {
    path: PathBuf,
    stamp: Stamp,
    reader: Reader<Vec<u8>>,
}

/// Whether a file is still the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: SystemTime,
    inode: u64,
}

/// What of an entry is asked for. The rest is passed over without being read.
#[derive(Deserialize)]
struct Entry<'e> {
    #[serde(borrow, default)]
    country: Option<Land<'e>>,
    #[serde(default)]
    location: Option<Location>,
}

#[derive(Deserialize)]
struct Land<'l> {
    #[serde(default)]
    iso_code: Option<&'l str>,
}

#[derive(Deserialize)]
struct Location {
    #[serde(default)]
    latitude: Option<f64>,
    #[serde(default)]
    longitude: Option<f64>,
}

impl Entry<'_> {
    /// `None` if it tells nothing of a place.
    fn whereabouts(&self) -> Option<Whereabouts> {
        let country = self.country.as_ref().and_then(|country| Country::new(country.iso_code?.as_bytes()));
        let at = self.location.as_ref().and_then(|location| Coordinates::new(location.latitude?, location.longitude?));
        (country.is_some() || at.is_some()).then_some(Whereabouts { country, at })
    }
}

impl Database {
    fn read(path: &Path) -> Result<Self, String> {
        let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let opened = units::file::open(path).and_then(|file| Ok((Stamp::of(&file)?, file)));
        let (stamp, file) = opened.map_err(|error| match error.kind() {
            ErrorKind::NotFound => wrong(&"no such file"),
            _ => wrong(&error),
        })?;
        if stamp.size > MOST_BYTES {
            return Err(wrong(&format_args!("the file is larger than 1 GiB ({} bytes)", stamp.size)));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(stamp.size).unwrap_or_default());
        file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
        let reader = Reader::from_source(bytes)
            .map_err(|error| wrong(&format_args!("this is no whole database in the format of MaxMind: {error}")))?;
        let database = Self { path: path.to_owned(), stamp, reader };
        if !database.tells_places() {
            let kind = &database.reader.metadata().database_type;
            return Err(wrong(&format_args!("this database ({kind}) tells neither countries nor coordinates")));
        }
        Ok(database)
    }

    /// Where this address is, if it is told. An entry that cannot be read tells nothing.
    pub(super) fn find(&self, address: IpAddr) -> Option<Whereabouts> {
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        found.decode::<Entry<'_>>().ok()??.whereabouts()
    }

    fn tells_places(&self) -> bool {
        let Ok(entries) = self.reader.networks(maxminddb::WithinOptions::default()) else { return false };
        entries.take(SAMPLED).flatten().any(|entry| {
            let told = entry.decode::<Entry<'_>>().ok().flatten();
            told.is_some_and(|told| told.whereabouts().is_some())
        })
    }
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let found = file.metadata()?;
        Ok(Self { size: found.len(), modified: found.modified()?, inode: found.ino() })
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Database({}, {} bytes)", self.path.display(), self.stamp.size)
    }
}

/// The databases that are in memory, each once for all pools and generations that name it. Held weakly.
#[derive(Debug, Default)]
pub struct Databases(Mutex<Vec<Weak<Database>>>);

impl Databases {
    /// The database of this file: the one in memory if the file is as it was, else read anew. For threads that may wait.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn load(&self, path: &Path) -> Result<Arc<Database>, String> {
        // Held while it is read, so that two pools do not read it both.
        let mut known = self.0.lock();
        known.retain(|database| database.strong_count() > 0);
        let stamp = units::file::open(path).and_then(|file| Stamp::of(&file)).ok();
        let same = known.iter().filter_map(Weak::upgrade);
        let same = same.into_iter().find(|database| database.path == path && Some(database.stamp) == stamp);
        if let Some(same) = same {
            return Ok(same);
        }
        let database = Arc::new(Database::read(path)?);
        known.push(Arc::downgrade(&database));
        Ok(database)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/places").join(name)
    }

    fn at(address: &str) -> Option<Whereabouts> {
        Database::read(&file("places.mmdb")).unwrap().find(address.parse().unwrap())
    }

    fn known(country: &str, at: Option<(f64, f64)>) -> Whereabouts {
        let at = at.map(|(latitude, longitude)| Coordinates::new(latitude, longitude).unwrap());
        Whereabouts { country: Country::new(country.as_bytes()), at }
    }

    #[test]
    fn an_address_is_found_in_a_file_of_another_writer() {
        assert_eq!(at("192.0.2.77"), Some(known("DE", Some((52.5, 13.4)))));
        assert_eq!(at("::ffff:198.51.100.1"), Some(known("US", Some((40.7, -74.0)))));
        assert_eq!(at("2001:db8:1::7"), Some(known("AU", Some((-33.9, 151.2)))));
        assert_eq!(at("203.0.113.1"), Some(known("JP", None)));
        for nowhere in ["203.0.113.200", "127.0.0.1", "10.0.0.1", "::1", "2001:db8:3::1"] {
            assert_eq!(at(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn a_lookup_allocates_nothing() {
        let database = Database::read(&file("places.mmdb")).unwrap();
        let addresses = ["192.0.2.77", "203.0.113.1", "203.0.113.200", "10.0.0.1", "2001:db8:1::7"];
        let addresses = addresses.map(|address| address.parse::<IpAddr>().unwrap());
        let counted = allocation_counter::measure(|| {
            for address in addresses {
                std::hint::black_box(database.find(address));
            }
        });
        assert_eq!(counted.count_total, 0);
    }

    #[test]
    fn what_is_no_database_of_places_is_refused_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |bytes: &[u8], reason: &str| {
            let path = folder.path().join("it.mmdb");
            fs::write(&path, bytes).unwrap();
            let told = Database::read(&path).unwrap_err();
            assert!(told.contains("it.mmdb: ") && told.contains(reason), "{told}");
        };
        let whole = fs::read(file("places.mmdb")).unwrap();
        refused(b"", "no whole database");
        refused(b"<html>Please sign in</html>", "no whole database");
        refused(&whole[..whole.len() / 2], "no whole database");
        refused(&fs::read(file("networks.mmdb")).unwrap(), "(GeoLite2-ASN) tells neither countries nor coordinates");
        let missing = Database::read(&folder.path().join("missing.mmdb")).unwrap_err();
        assert!(missing.ends_with("missing.mmdb: no such file"), "{missing}");
    }

    /// A file may be broken in any way: it is refused, or tells what it tells, and never ends the process.
    #[test]
    fn no_broken_byte_does_more_than_make_a_place_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it.mmdb");
        let whole = fs::read(file("places.mmdb")).unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let mut bytes = whole.clone();
            for _ in 0..random.usize(1..6) {
                let place = random.usize(..bytes.len());
                bytes[place] = random.u8(..);
            }
            fs::write(&path, &bytes).unwrap();
            if let Ok(database) = Database::read(&path) {
                for address in ["192.0.2.77", "203.0.113.1", "2001:db8:1::7", "255.255.255.255"] {
                    database.find(address.parse().unwrap());
                }
            }
        }
    }

    #[test]
    fn a_file_is_read_once_until_it_changes_and_forgotten_with_its_last_pool() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("places.mmdb");
        fs::copy(file("places.mmdb"), &path).unwrap();
        let databases = Databases::default();
        let first = databases.load(&path).unwrap();
        assert!(Arc::ptr_eq(&first, &databases.load(&path).unwrap()));
        fs::copy(file("moved.mmdb"), &path).unwrap();
        let second = databases.load(&path).unwrap();
        let address = "192.0.2.77".parse().unwrap();
        assert_eq!(first.find(address), Some(known("DE", Some((52.5, 13.4)))));
        assert_eq!(second.find(address), Some(known("US", Some((40.7, -74.0)))));
        drop((first, second));
        let third = databases.load(&path).unwrap();
        assert_eq!((databases.0.lock().len(), Arc::strong_count(&third)), (1, 1));
    }
}
