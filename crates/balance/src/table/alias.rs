//! Drawing by weight in constant time: the alias method (Walker 1977, built as Vose 1991 says).

/// Places to be drawn by weight.
#[derive(Debug, Default)]
pub(crate) struct Alias(Box<[Column]>);

/// One column: below the mark it is `this`, else `other`.
#[derive(Debug, Clone, Copy)]
struct Column {
    mark: u32,
    this: u16,
    other: u16,
}

impl Alias {
    /// Draws each place as often as its weight says.
    pub(crate) fn new(weighted: &[(u16, u64)]) -> Self {
        let count = weighted.len() as u128;
        let total: u128 = weighted.iter().map(|(_, weight)| u128::from(*weight)).sum();
        // What each has, in parts of a column.
        let mut columns: Vec<_> =
            weighted.iter().map(|(place, _)| Column { mark: u32::MAX, this: *place, other: *place }).collect();
        let mut has: Vec<u128> = weighted.iter().map(|(_, weight)| u128::from(*weight) * count).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..weighted.len()).partition(|index| has.get(*index).is_some_and(|has| *has < total));
        while let (Some(less), Some(more)) = (small.pop(), large.pop()) {
            let (Some(part), Some(whole)) = (has.get(less).copied(), has.get(more).copied()) else { break };
            let other = columns.get(more).map_or(0, |column| column.this);
            if let Some(column) = columns.get_mut(less) {
                // Below 2^32, as `part` is below `total`.
                column.mark = u32::try_from((part << 32) / total.max(1)).unwrap_or(u32::MAX);
                column.other = other;
            }
            let rest = whole + part - total;
            if let Some(has) = has.get_mut(more) {
                *has = rest;
            }
            if rest < total { small.push(more) } else { large.push(more) }
        }
        Self(columns.into())
    }

    /// The place for a random number; `None` only without any.
    pub(crate) fn draw(&self, random: u64) -> Option<u16> {
        let index = ((random & 0xffff_ffff) * self.0.len() as u64) >> 32;
        let column = self.0.get(index as usize)?;
        Some(if (random >> 32) as u32 <= column.mark { column.this } else { column.other })
    }
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nobody_is_drawn_from_nothing() {
        assert_eq!(Alias::new(&[]).draw(7), None);
    }

    proptest! {
        #[test]
        fn each_is_drawn_as_often_as_its_weight_says(weights in prop::collection::vec(1_u64..1_000, 1..40)) {
            let weighted: Vec<_> = (0..).zip(weights.iter().copied()).collect();
            let alias = Alias::new(&weighted);
            let mut parts = vec![0.0; weights.len()];
            // The parts of the columns, added up: exact, but for the 32 bits of a mark.
            for column in &alias.0 {
                let below = (f64::from(column.mark) + 1.0) / 4_294_967_296.0;
                parts[usize::from(column.this)] += below;
                parts[usize::from(column.other)] += 1.0 - below;
            }
            let (count, total) = (weights.len() as f64, weights.iter().sum::<u64>() as f64);
            for (part, weight) in parts.iter().zip(&weights) {
                prop_assert!((part / count - *weight as f64 / total).abs() < 1e-6);
            }
        }
    }
}
