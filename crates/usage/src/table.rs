//! Where requests are counted: a bounded table that keeps the keys that are used most, and the rest by route.
//!
//! Space-Saving (Metwally et al., ICDT 2005), with exact counts beside its estimates: when a new key finds its shard full,
//! the row of the least weight goes into the rest, and the new row begins with that weight as what it may have missed. A
//! row so has its exact sums since it was last taken in, is short by at most `missed` requests, and a key that is not
//! there has had at most `floor`: of *n* requests in a shard of *k* rows at most *n / k*. All rows and the rest together
//! are every request there was.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::RandomState;
use indexmap::IndexMap;
use parking_lot::{Mutex, MutexGuard};

use crate::count::{Counts, Event};
use crate::key::{Asked, Key};
use crate::sheet::{Line, Sheet};
use crate::sketch::Sketch;

/// Enough that as many cores rarely meet; a power of two. (Arbitrary beyond that.)
pub(crate) const SHARDS: usize = 16;

/// The open table.
#[derive(Debug)]
pub(crate) struct Table {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// Rows of one shard.
    most: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    rows: IndexMap<Key, Row, RandomState>,
    /// What each row weighs, by its place: its requests, and those that it may have missed. Apart, so that finding the
    /// least reads little memory.
    weights: Vec<u64>,
    rest: IndexMap<Option<Arc<str>>, Row, RandomState>,
    floor: u64,
    /// How often a row went into the rest, and another came to its place.
    evictions: u64,
}

/// Rows that are copied before requests that end meanwhile get their turn: some ten microseconds. (Arbitrary.)
const SLICE: usize = 128;

#[derive(Debug, Default)]
struct Row {
    counts: Counts,
    missed: u64,
    sketch: Sketch,
}

impl Row {
    fn record(&mut self, event: &Event) {
        self.counts.record(event);
        self.sketch.record(event.duration);
    }

    fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.sketch.add(&other.sketch);
    }

    fn line(&self) -> Line {
        Line { counts: self.counts, missed: self.missed, latency: self.sketch.spread() }
    }
}

impl Table {
    pub(crate) fn new(max_keys: usize) -> Self {
        Self::with_shards(SHARDS, max_keys)
    }

    fn with_shards(shards: usize, max_keys: usize) -> Self {
        let table = Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            most: AtomicUsize::new(1),
        };
        table.resize(max_keys);
        table
    }

    /// Tells at most so many keys apart from the next fold on: what is there stays.
    pub(crate) fn resize(&self, max_keys: usize) {
        self.most.store((max_keys / self.shards.len().max(1)).max(1), Ordering::Relaxed);
    }

    /// Counts one request. A key that is known allocates nothing. The lock of a shard is held while it is looked up and
    /// added to; with a new key in a full shard also while the weights are looked through.
    pub(crate) fn record(&self, asked: &Asked<'_>, event: &Event) {
        // Not the bits that the maps go by.
        let home = (self.hasher.hash_one(asked) >> 32) as usize & (self.shards.len() - 1);
        let most = self.most.load(Ordering::Relaxed);
        if let Some(shard) = self.shards.get(home) {
            shard.lock().record(asked, event, most);
        }
    }

    /// What is in it now. A request that ends meanwhile is counted in it whole or not at all.
    pub(crate) fn look(&self) -> Sheet {
        let mut sheet = Sheet::default();
        for shard in &self.shards {
            // What changes its place meanwhile is copied in one go.
            if !look_by_and_by(shard, &mut sheet) {
                shard.lock().copy_to(&mut sheet);
            }
        }
        sheet
    }

    /// Takes out what is in it. A request that ends meanwhile is counted before or after, and once.
    pub(crate) fn drain(&self) -> Sheet {
        let mut sheet = Sheet::default();
        for shard in &self.shards {
            let full = std::mem::take(&mut *shard.lock());
            full.copy_to(&mut sheet);
        }
        sheet
    }
}

/// Copies a shard in slices; or nothing, and is false, when a row was evicted meanwhile.
fn look_by_and_by(shard: &Mutex<Shard>, sheet: &mut Sheet) -> bool {
    let mut rows = Vec::new();
    let evictions = shard.lock().evictions;
    loop {
        let shard = shard.lock();
        if shard.evictions != evictions {
            return false;
        }
        rows.extend(shard.rows.iter().skip(rows.len()).take(SLICE).map(|(key, row)| (key.clone(), row.line())));
        if rows.len() == shard.rows.len() {
            shard.copy_rest_to(sheet);
            break;
        }
        // To those who wait, not to whoever comes first, which would be this thread again.
        MutexGuard::unlock_fair(shard);
    }
    sheet.rows.extend(rows);
    true
}

impl Shard {
    fn record(&mut self, asked: &Asked<'_>, event: &Event, most: usize) {
        if let Some((place, _, row)) = self.rows.get_full_mut(asked) {
            row.record(event);
            if let Some(weight) = self.weights.get_mut(place) {
                *weight = weight.saturating_add(1);
            }
            return;
        }
        if !asked.is_short() {
            rest(&mut self.rest, asked.route, most).record(event);
            return;
        }
        let mut row = if self.rows.len() < most { Row::default() } else { self.evict(most) };
        row.record(event);
        self.weights.push(row.missed.saturating_add(1));
        self.rows.insert(asked.to_key(), row);
    }

    /// Puts the row of the least weight into the rest; it comes back empty, for the next key.
    fn evict(&mut self, most: usize) -> Row {
        let least = self.weights.iter().enumerate().min_by_key(|(_, weight)| **weight).map(|(place, _)| place);
        let Some((key, mut row)) = least.and_then(|place| self.rows.swap_remove_index(place)) else {
            return Row::default();
        };
        self.evictions = self.evictions.wrapping_add(1);
        let weight = least.map_or(0, |place| self.weights.swap_remove(place));
        self.floor = self.floor.max(weight);
        rest(&mut self.rest, key.route.as_ref(), most).add(&row);
        row.sketch.clear();
        Row { counts: Counts::default(), missed: weight, sketch: row.sketch }
    }

    fn copy_to(&self, sheet: &mut Sheet) {
        sheet.rows.extend(self.rows.iter().map(|(key, row)| (key.clone(), row.line())));
        self.copy_rest_to(sheet);
    }

    fn copy_rest_to(&self, sheet: &mut Sheet) {
        for (route, row) in &self.rest {
            sheet.rest.entry(route.clone()).or_default().add(&row.line());
        }
        sheet.floor = sheet.floor.max(self.floor);
    }
}

/// So many routes have a rest of their own even in the smallest table. (Arbitrary.)
pub(crate) const FEW_ROUTES: usize = 64;

/// The rest of a route. Routes are as many as the file has; what is beyond as many as there are rows goes to no route.
fn rest<'r>(
    rests: &'r mut IndexMap<Option<Arc<str>>, Row, RandomState>,
    route: Option<&Arc<str>>,
    most: usize,
) -> &'r mut Row {
    let known = rests.len() < most.max(FEW_ROUTES) || rests.contains_key(&route.cloned());
    rests.entry(route.filter(|_| known).cloned()).or_default()
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
