//! A set of places: one bit each.

/// Which of the members of a pool are meant.
#[derive(Debug, Default)]
pub(crate) struct Bits(Box<[u64]>);

impl Bits {
    /// Nobody of `count`.
    pub(crate) fn none(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)].into())
    }

    pub(crate) fn add(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    pub(crate) fn has(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 != 0)
    }
}
