//! Path parameters of a match: byte ranges into the path, kept inline, so that finding a route allocates nothing.

use std::{fmt, ops::Range};

use crate::{Pattern, path::offset_before_reading};

/// Most parameters a pattern may have. Arbitrary: they are kept on the stack of every lookup, 8 bytes each.
pub const MAX_PARAMS: usize = 16;

/// Start and end of each parameter.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ranges {
    len: usize,
    ranges: [(u32, u32); MAX_PARAMS],
}

impl Ranges {
    /// Adds a range. [`Pattern`] has no more than [`MAX_PARAMS`], and the router refuses paths beyond `u32`.
    pub(crate) fn push(&mut self, range: Range<usize>) {
        if let (Some(slot), Ok(start), Ok(end)) =
            (self.ranges.get_mut(self.len), u32::try_from(range.start), u32::try_from(range.end))
        {
            *slot = (start, end);
            self.len += 1;
        }
    }

    /// The same ranges in another spelling of the path.
    fn moved(&mut self, to: impl Fn(usize) -> usize) {
        let moved = |offset: u32| {
            let offset = usize::try_from(offset).ok().map(&to);
            offset.and_then(|offset| u32::try_from(offset).ok()).unwrap_or(u32::MAX)
        };
        for (start, end) in self.ranges.iter_mut().take(self.len) {
            (*start, *end) = (moved(*start), moved(*end));
        }
    }

    fn get(&self, position: usize) -> Option<Range<usize>> {
        let &(start, end) = self.ranges.get(..self.len)?.get(position)?;
        Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }
}

/// The parameters of one match. Texts keep the percent-encoding of the path.
///
/// Holds ranges, not text: pass the very path that was looked up.
#[derive(Clone, Copy)]
pub struct Params<'r> {
    pattern: &'r Pattern,
    ranges: Ranges,
}

impl<'r> Params<'r> {
    pub(crate) fn new(pattern: &'r Pattern, path: &str) -> Self {
        Self { pattern, ranges: pattern.capture(path) }
    }

    /// The parameters in the path as it came, of which [`as_read`](crate::path) made the one that was looked up.
    pub(crate) fn before_reading(mut self, path: &str) -> Self {
        self.ranges.moved(|offset| offset_before_reading(path, offset));
        self
    }

    /// The text of a parameter by name.
    pub fn get<'p>(&self, name: &str, path: &'p str) -> Option<&'p str> {
        self.at(self.pattern.position(name)?, path)
    }

    /// The text of a parameter by its position in [`Pattern::names`]: for templates compiled ahead of requests.
    pub fn at<'p>(&self, position: usize, path: &'p str) -> Option<&'p str> {
        path.get(self.range(position)?)
    }

    /// The bytes of the path that a parameter takes, for cutting a segment out.
    pub fn range(&self, position: usize) -> Option<Range<usize>> {
        self.ranges.get(position)
    }

    /// Names and texts, in the order of the pattern.
    pub fn iter<'s, 'p>(&'s self, path: &'p str) -> impl Iterator<Item = (&'r str, &'p str)> + use<'r, 's, 'p> {
        let names = self.pattern.names().enumerate();
        names.filter_map(move |(position, name)| Some((name, self.at(position, path)?)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ranges.len
    }

    /// The pattern has no parameters.
    pub fn is_empty(&self) -> bool {
        self.ranges.len == 0
    }
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = self.pattern.names().enumerate();
        f.debug_map().entries(ranges.map(|(position, name)| (name, self.range(position)))).finish()
    }
}
