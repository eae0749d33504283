//! What may be asked of usage, and the answer.

use std::collections::BTreeMap;

use ahash::RandomState;
use indexmap::IndexMap;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use portreeve_units::Duration;
use serde::{Serialize, Serializer};

use crate::book::Segment;
use crate::count::Counts;
use crate::key::{Dimension, Key};
use crate::sheet::{Line, Sheet};
use crate::sketch::Spread;
use crate::{DAY, HOUR, start_of};

/// Rows of an answer unless the query says otherwise.
const TOP: usize = 100;
/// Rows of an answer at most.
const MOST: usize = 10_000;
/// The parameters there are, for a message.
const PARAMETERS: &str = "consumer, tier, route, version, since, until, window, per, group_by, sort, top";

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    since: i64,
    until: i64,
    /// For each dimension what it has to be.
    wanted: [Wanted; 4],
    group_by: Vec<Dimension>,
    per: Per,
    sort: Sort,
    top: usize,
}

/// What a part of a key has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Any,
    Missing,
    Named(Box<str>),
}

impl Wanted {
    fn allows(&self, name: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Missing => name.is_none(),
            Self::Named(wanted) => name == Some(&**wanted),
        }
    }
}

/// Whether the answer has one row for all time, or one for each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Per {
    All,
    Hour,
    Day,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Requests,
    Errors,
    Refused,
    BytesIn,
    BytesOut,
    Cost,
}

impl Sort {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Requests, "requests"),
        (Self::Errors, "errors"),
        (Self::Refused, "refused"),
        (Self::BytesIn, "bytes_in"),
        (Self::BytesOut, "bytes_out"),
        (Self::Cost, "cost"),
    ];

    fn of(self, counts: &Counts) -> u64 {
        match self {
            Self::Requests => counts.requests,
            Self::Errors => counts.errors,
            Self::Refused => counts.refused,
            Self::BytesIn => counts.bytes_in,
            Self::BytesOut => counts.bytes_out,
            Self::Cost => counts.cost,
        }
    }
}

/// Latency quantiles in milliseconds, each within 3%; `None` of nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Latency {
    p50: Option<f64>,
    p90: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

impl Latency {
    pub(crate) fn of(spread: &Spread) -> Self {
        // To the microsecond: more digits would say what is not known.
        let at = |quantile| spread.quantile(quantile).map(|seconds| (seconds * 1e6).round() / 1e3);
        Self { p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99) }
    }
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// When the first period that is counted in began.
    since: String,
    /// When the last one ended, or now.
    until: String,
    /// Everything that matches.
    total: Sums,
    usage: Vec<Row>,
    /// What of the total is in no row: rows beyond `top`, and keys that were not told apart.
    rest: Sums,
    /// Requests of keys that were not told apart, on the routes asked for. No row lacks more than these.
    unattributed_requests: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Sums {
    #[serde(flatten)]
    counts: Counts,
    latency_ms: Latency,
}

impl Sums {
    fn of(line: &Line) -> Self {
        Self { counts: line.counts, latency_ms: Latency::of(&line.latency) }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    /// When its period began, if there is one for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<String>,
    #[serde(flatten)]
    group: Group,
    #[serde(flatten)]
    sums: Sums,
}

/// The dimensions that were asked for, and no others.
#[derive(Debug, Clone, PartialEq)]
struct Group(Vec<Dimension>, Key);

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|dimension| (dimension.as_str(), dimension.of(&self.1))))
    }
}

/// What a query is answered from.
pub(crate) struct Sources<'s> {
    pub(crate) hours: &'s BTreeMap<i64, Sheet>,
    pub(crate) days: &'s BTreeMap<i64, Sheet>,
    /// What is being counted.
    pub(crate) open: &'s Segment,
    pub(crate) now: i64,
    pub(crate) kept_hours: i64,
}

impl Query {
    /// Reads the parameters of a query, decoded.
    ///
    /// # Errors
    /// What is wrong with which parameter, and what is expected.
    pub fn parse<'p>(parameters: impl IntoIterator<Item = (&'p str, &'p str)>, now: i64) -> Result<Self, String> {
        let mut given: IndexMap<&str, &str, RandomState> = IndexMap::default();
        for (name, value) in parameters {
            if !PARAMETERS.split(", ").any(|known| known == name) {
                return Err(format!("there is no parameter {:?}; there are: {PARAMETERS}", shown(name)));
            }
            if given.insert(name, value).is_some() {
                return Err(format!("{name} is given twice"));
            }
        }
        let get = |name: &str| given.get(name).copied();
        let wanted = Dimension::ALL.map(|dimension| match get(dimension.as_str()) {
            None => Wanted::Any,
            Some("") => Wanted::Missing,
            Some(name) => Wanted::Named(name.into()),
        });
        let (since, until) = span(get("since"), get("until"), get("window"), now)?;
        let group_by = match get("group_by") {
            None => Dimension::ALL.to_vec(),
            Some("") => Vec::new(),
            Some(list) => groups(list)?,
        };
        let per = match get("per") {
            None => Per::All,
            Some("hour") => Per::Hour,
            Some("day") => Per::Day,
            Some(other) => return Err(format!("per={:?}: expected hour or day", shown(other))),
        };
        let sort = match get("sort") {
            None => Sort::Requests,
            Some(text) => {
                let known = Sort::ALL.into_iter().find(|(_, name)| *name == text).map(|(sort, _)| sort);
                let names = Sort::ALL.map(|(_, name)| name).join(", ");
                known.ok_or_else(|| format!("sort={:?}: expected one of {names}", shown(text)))?
            }
        };
        let top = get("top").map_or(Ok(TOP), |text| {
            let number = text.parse().ok().filter(|top| (1..=MOST).contains(top));
            number.ok_or_else(|| format!("top={:?}: expected a whole number from 1 to {MOST}", shown(text)))
        })?;
        Ok(Self { since, until, wanted, group_by, per, sort, top })
    }

    /// Answers it.
    pub(crate) fn answer(&self, sources: &Sources<'_>) -> Page {
        let Sources { hours, days, open, now, kept_hours } = sources;
        let in_hours = self.since >= start_of(*now, HOUR) - (kept_hours - 1) * HOUR;
        let in_hours = self.per == Per::Hour || (self.per == Per::All && in_hours);
        let (sheets, span) = if in_hours { (hours, HOUR) } else { (days, DAY) };
        let all = sheets.iter().map(|(start, sheet)| (*start, sheet));
        let all = all.chain([(start_of(open.since, span), &open.sheet)]);
        let asked = all.filter(|(start, _)| *start < self.until && start + span > self.since);
        let mut found = Found::default();
        for (start, sheet) in asked {
            found.begins = Some(found.begins.map_or(start, |begins: i64| begins.min(start)));
            found.ends = Some(found.ends.map_or(start + span, |ends: i64| ends.max(start + span)));
            self.gather(start, sheet, &mut found);
        }
        self.page(found, *now)
    }

    fn gather(&self, start: i64, sheet: &Sheet, found: &mut Found) {
        let period = if self.per == Per::All { 0 } else { start };
        for (key, line) in sheet.rows.iter().filter(|(key, _)| self.matches(key)) {
            let mut group = Key::default();
            for dimension in &self.group_by {
                *dimension.within(&mut group) = dimension.of(key).cloned();
            }
            found.groups.entry((period, group)).or_default().add(line);
            found.total.add(line);
        }
        let [consumer, tier, route, version] = &self.wanted;
        let is_certain = [consumer, tier, version].into_iter().all(|wanted| *wanted == Wanted::Any);
        for (name, line) in &sheet.rest {
            if route.allows(name.as_deref()) {
                found.unattributed = found.unattributed.saturating_add(line.counts.requests);
                if is_certain {
                    found.rest.add(line);
                    found.total.add(line);
                }
            }
        }
    }

    fn matches(&self, key: &Key) -> bool {
        let mut wanted = Dimension::ALL.into_iter().zip(&self.wanted);
        wanted.all(|(dimension, wanted)| wanted.allows(dimension.of(key).map(|name| &**name)))
    }

    fn page(&self, found: Found, now: i64) -> Page {
        let Found { mut groups, total, mut rest, unattributed, begins, ends } = found;
        groups.sort_by(|one, a, other, b| {
            let (a, b) = (self.sort.of(&a.counts), self.sort.of(&b.counts));
            // By name at last, so that the same question has the same answer.
            let names = |key: &Key| Dimension::ALL.map(|dimension| dimension.of(key).cloned());
            one.0.cmp(&other.0).then(b.cmp(&a)).then_with(|| names(&one.1).cmp(&names(&other.1)))
        });
        let (mut usage, mut period, mut count) = (Vec::new(), None, 0);
        for ((start, key), line) in groups {
            if period.replace(start) != Some(start) {
                count = 0;
            }
            count += 1;
            if count > self.top {
                rest.add(&line);
                continue;
            }
            let period = (self.per != Per::All).then(|| at(start));
            usage.push(Row { period, group: Group(self.group_by.clone(), key), sums: Sums::of(&line) });
        }
        Page {
            since: at(begins.unwrap_or(self.since)),
            until: at(ends.unwrap_or(self.until).min(now)),
            total: Sums::of(&total),
            usage,
            rest: Sums::of(&rest),
            unattributed_requests: unattributed,
        }
    }
}

#[derive(Default)]
struct Found {
    groups: IndexMap<(i64, Key), Line, RandomState>,
    total: Line,
    rest: Line,
    unattributed: u64,
    begins: Option<i64>,
    ends: Option<i64>,
}

fn groups(list: &str) -> Result<Vec<Dimension>, String> {
    let mut groups = Vec::new();
    for name in list.split(',') {
        let known = Dimension::ALL.into_iter().find(|dimension| dimension.as_str() == name);
        let names = Dimension::ALL.map(Dimension::as_str).join(", ");
        let dimension = known.ok_or_else(|| format!("group_by={:?}: expected some of {names}", shown(name)))?;
        if groups.contains(&dimension) {
            return Err(format!("group_by has {name} twice"));
        }
        groups.push(dimension);
    }
    Ok(groups)
}

/// From when to when.
fn span(since: Option<&str>, until: Option<&str>, window: Option<&str>, now: i64) -> Result<(i64, i64), String> {
    if let Some(window) = window {
        if since.is_some() || until.is_some() {
            return Err("window ends now; give it without since and until".to_owned());
        }
        let span: Duration =
            window.parse().map_err(|_| format!("window={:?}: expected a duration such as 24h", shown(window)))?;
        let span = i64::try_from(span.get().as_secs()).unwrap_or(i64::MAX).max(1);
        return Ok((now.saturating_sub(span), now.saturating_add(1)));
    }
    let until = until.map_or(Ok(now.saturating_add(1)), |text| moment("until", text))?;
    let since = since.map_or(Ok(until.min(now).saturating_sub(DAY)), |text| moment("since", text))?;
    if since >= until {
        return Err("since is not before until".to_owned());
    }
    Ok((since, until))
}

fn moment(name: &str, text: &str) -> Result<i64, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment.as_second());
    }
    let midnight = |date: Date| date.to_zoned(TimeZone::UTC).ok();
    let date = text.parse::<Date>().ok().filter(|_| text.len() == "2026-11-22".len()).and_then(midnight);
    let expected = || format!("{name}={:?}: expected a time such as 2026-11-22T08:00:00Z, or a date", shown(text));
    date.map(|date| date.timestamp().as_second()).ok_or_else(expected)
}

/// `2026-11-22T08:00:00Z`.
pub(crate) fn at(second: i64) -> String {
    Timestamp::from_second(second).unwrap_or_default().to_string()
}

/// As much of a mistake as may be shown back.
fn shown(text: &str) -> &str {
    text.char_indices().nth(64).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
