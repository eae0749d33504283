//! Runs of admissions: the oldest and the newest where the log is, and what lies between them in a ring elsewhere, which is as
//! long as it has to be.
//!
//! A decision looks at both ends and adds at one. Among a million keys it so reads one place in memory, and not one more for
//! each limit; a key that was used once or twice has no ring at all.

/// What was admitted up to and including one moment, ever since the log began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) at: u64,
    pub(super) total: u64,
}

/// Runs, oldest first.
#[derive(Debug, Default, Clone)]
pub(super) struct Runs {
    /// All but the two ends.
    between: Box<[Run]>,
    /// The same as the newest if there is one only.
    oldest: Run,
    newest: Run,
    /// Where the ring begins.
    first: u16,
    /// How many runs there are, with both ends.
    len: u16,
}

/// As many as a ring holds at most, since its numbers have 16 bits, and no more than any log is meant to have.
const MOST: usize = 4096;

impl Runs {
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn front(&self) -> Option<&Run> {
        (!self.is_empty()).then_some(&self.oldest)
    }

    pub(super) fn back(&self) -> Option<&Run> {
        (!self.is_empty()).then_some(&self.newest)
    }

    pub(super) fn get(&self, index: usize) -> Option<&Run> {
        match (index, self.len().checked_sub(index + 1)?) {
            (_, 0) => Some(&self.newest),
            (0, _) => Some(&self.oldest),
            _ => self.between.get(self.place(index - 1)),
        }
    }

    /// Where in the ring the run of this index is.
    fn place(&self, index: usize) -> usize {
        let place = usize::from(self.first) + index;
        if place < self.between.len() { place } else { place - self.between.len() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Run> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// How many from the front are as `is_before` says, which holds for the first of them only.
    pub(super) fn partition_point(&self, is_before: impl Fn(&Run) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).is_some_and(&is_before) { low = middle + 1 } else { high = middle }
        }
        low
    }

    pub(super) fn pop_front(&mut self) {
        let second = self.get(1).copied();
        if self.len > 2 {
            // It fits: rings are shorter than that.
            self.first = u16::try_from(self.place(1)).unwrap_or(0);
        }
        self.len = self.len.saturating_sub(1);
        self.oldest = second.unwrap_or_default();
    }

    /// Puts another in the place of the newest.
    pub(super) fn replace_back(&mut self, run: Run) {
        self.newest = run;
        if self.len == 1 {
            self.oldest = run;
        }
    }

    /// Adds one at the end. A ring that is full becomes twice as long, but not longer than a log of `most` needs; beyond
    /// [`MOST`] nothing is added, which a log does not ask for.
    pub(super) fn push_back(&mut self, run: Run, most: usize) {
        let held = self.len().saturating_sub(2);
        match self.len() {
            0 => self.oldest = run,
            1 => {}
            MOST.. => return,
            _ => {
                if held == self.between.len() {
                    self.grow(if held < most { (2 * held).clamp(2, most) } else { MOST });
                }
                let place = self.place(held);
                if let Some(slot) = self.between.get_mut(place) {
                    *slot = self.newest;
                }
            }
        }
        self.newest = run;
        self.len += 1;
    }

    fn grow(&mut self, wanted: usize) {
        let mut between = Vec::with_capacity(wanted);
        between.extend((1..self.len().saturating_sub(1)).filter_map(|index| self.get(index)));
        between.resize(wanted, Run::default());
        (self.between, self.first) = (between.into_boxed_slice(), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_what_a_deque_holds(most in 2_usize..40, steps in prop::collection::vec(0_u8..5, 1..300)) {
            let (mut runs, mut deque) = (Runs::default(), VecDeque::new());
            for (step, number) in steps.into_iter().zip(1_u64..) {
                match step {
                    0 => {
                        runs.pop_front();
                        deque.pop_front();
                    }
                    1 if !deque.is_empty() => {
                        runs.replace_back(Run { at: number, total: 0 });
                        *deque.back_mut().unwrap() = number;
                    }
                    _ => {
                        runs.push_back(Run { at: number, total: 0 }, most);
                        deque.push_back(number);
                    }
                }
                prop_assert!(runs.iter().map(|run| run.at).eq(deque.iter().copied()));
                prop_assert_eq!((runs.len(), runs.is_empty()), (deque.len(), deque.is_empty()));
                prop_assert_eq!(runs.front().map(|run| run.at), deque.front().copied());
                prop_assert_eq!(runs.back().map(|run| run.at), deque.back().copied());
                let middle = number / 2;
                let expected = deque.partition_point(|at| *at < middle);
                prop_assert_eq!(runs.partition_point(|run| run.at < middle), expected);
                prop_assert!(runs.get(runs.len()).is_none());
            }
        }
    }

    #[test]
    fn there_are_never_more_than_they_can_count() {
        let mut runs = Runs::default();
        (0..10_000).for_each(|at| runs.push_back(Run { at, total: at }, 1024));
        assert_eq!((runs.len(), runs.back().map(|run| run.at)), (MOST, Some(MOST as u64 - 1)));
        assert!(runs.iter().map(|run| run.at).eq(0..MOST as u64));
    }
}
