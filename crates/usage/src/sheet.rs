//! A period that is counted: rows by key, the rest by route, and how much a key may have had that has no row.

use std::sync::Arc;

use ahash::RandomState;
use indexmap::IndexMap;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::count::Counts;
use crate::key::Key;
use crate::sketch::Spread;
use crate::table::FEW_ROUTES;

/// What was used in a span of time. Two of them can be put together; the bounds of both add up (Agarwal et al.,
/// *Mergeable Summaries*, PODS 2012).
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sheet {
    pub(crate) rows: IndexMap<Key, Line, RandomState>,
    /// What the rows do not have, by route.
    pub(crate) rest: IndexMap<Option<Arc<str>>, Line, RandomState>,
    /// A key without a row has had at most so many requests.
    pub(crate) floor: u64,
}

/// One row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    #[serde(flatten)]
    pub(crate) counts: Counts,
    /// At most so many further requests of this key are in the rest.
    #[serde(default)]
    pub(crate) missed: u64,
    pub(crate) latency: Spread,
}

impl Line {
    pub(crate) fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.missed = self.missed.saturating_add(other.missed);
        self.latency.add(&other.latency);
    }

    fn weight(&self) -> u64 {
        self.counts.requests.saturating_add(self.missed)
    }
}

impl Sheet {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.rest.is_empty()
    }

    /// Adds another, and keeps at most `most` rows.
    pub(crate) fn add(&mut self, other: &Self, most: usize) {
        if self.floor > 0 || other.floor > 0 {
            for (key, line) in &mut self.rows {
                if !other.rows.contains_key(key) {
                    line.missed = line.missed.saturating_add(other.floor);
                }
            }
        }
        for (key, more) in &other.rows {
            if let Some(line) = self.rows.get_mut(key) {
                line.add(more);
            } else {
                let missed = more.missed.saturating_add(self.floor);
                self.rows.insert(key.clone(), Line { missed, ..more.clone() });
            }
        }
        for (route, more) in &other.rest {
            self.put_aside(route.clone(), more, most);
        }
        self.floor = self.floor.saturating_add(other.floor);
        self.cut(most);
    }

    /// Puts the rows of the least weight into the rest until there are `most`.
    fn cut(&mut self, most: usize) {
        let beyond = self.rows.len().saturating_sub(most);
        if beyond == 0 {
            return;
        }
        // Heaviest first; sorting keeps the order of equals, so that the oldest stay.
        self.rows.sort_by(|_, a, _, b| b.weight().cmp(&a.weight()));
        for (key, line) in self.rows.split_off(most) {
            self.floor = self.floor.max(line.weight());
            self.put_aside(key.route, &line, most);
        }
    }

    fn put_aside(&mut self, route: Option<Arc<str>>, line: &Line, most: usize) {
        let known = self.rest.len() < most.max(FEW_ROUTES) || self.rest.contains_key(&route);
        let rest = self.rest.entry(route.filter(|_| known)).or_default();
        rest.add(line);
        // What the rest misses is said by the rows.
        rest.missed = 0;
    }
}

/// One row as it is written.
#[derive(Serialize, Deserialize)]
struct Written<K, L> {
    #[serde(flatten)]
    key: K,
    #[serde(flatten)]
    line: L,
}

#[derive(Serialize, Deserialize)]
struct Route<R> {
    route: R,
}

struct Rows<'s>(&'s Sheet);
struct Rest<'s>(&'s Sheet);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.rows.iter().map(|(key, line)| Written { key, line }))
    }
}

impl Serialize for Rest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.rest.iter().map(|(route, line)| Written { key: Route { route }, line }))
    }
}

impl Serialize for Sheet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sheet = serializer.serialize_struct("Sheet", 3)?;
        sheet.serialize_field("rows", &Rows(self))?;
        sheet.serialize_field("rest", &Rest(self))?;
        sheet.serialize_field("floor", &self.floor)?;
        sheet.end()
    }
}

impl<'de> Deserialize<'de> for Sheet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Form {
            rows: Vec<Written<Key, Line>>,
            rest: Vec<Written<Route<Option<Arc<str>>>, Line>>,
            floor: u64,
        }
        let Form { rows, rest, floor } = Form::deserialize(deserializer)?;
        Ok(Self {
            rows: rows.into_iter().map(|row| (row.key, row.line)).collect(),
            rest: rest.into_iter().map(|row| (row.key.route, row.line)).collect(),
            floor,
        })
    }
}
