//! The order of a weighted round: A, A, B, A rather than A, A, A, B.

/// A round is cut down to about so many turns, which bounds what weights without a common divisor cost.
const LONGEST: u64 = 4_096;

/// A round in which each place comes as often as its weight says, evenly spread: the k-th turn of a place with weight w is due
/// at (k + ½) / w, and turns are taken as they are due.
///
/// In any stretch of turns, a place that has the share s, among n places, comes within 1 + s·n of its exact part.
pub(crate) fn interleave(weighted: &[(u16, u64)]) -> Box<[u16]> {
    let weights = reduced(weighted);
    // When a turn is due, in parts of a round. A weight is at most LONGEST, so that this holds.
    let due = |weight: u64, turn: u64| ((2 * turn + 1) << 48) / weight;
    let mut turns: Vec<(u64, u16)> = Vec::new();
    for ((place, _), weight) in weighted.iter().zip(weights) {
        turns.extend((0..weight).map(|turn| (due(weight, turn), *place)));
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, place)| place).collect()
}

/// Weights without a common divisor, cut down so that they sum to about [`LONGEST`] (each at least 1).
fn reduced(weighted: &[(u16, u64)]) -> Vec<u64> {
    let weights = weighted.iter().map(|(_, weight)| (*weight).max(1));
    let common = weights.clone().fold(0, gcd).max(1);
    let total: u64 = weights.clone().map(|weight| weight / common).sum();
    let cut = total.div_ceil(LONGEST).max(1);
    weights.map(|weight| (weight / common / cut).max(1)).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weighted(weights: &[u64]) -> Vec<(u16, u64)> {
        (0..).zip(weights.iter().copied()).collect()
    }

    #[test]
    fn a_heavy_one_is_spread_over_the_round() {
        assert_eq!(*interleave(&weighted(&[3, 1])), [0, 0, 1, 0]);
        assert_eq!(*interleave(&weighted(&[10, 10, 10])), [0, 1, 2]);
        assert_eq!(*interleave(&weighted(&[5, 1, 1])), [0, 0, 0, 1, 2, 0, 0]);
        assert!(interleave(&[]).is_empty());
    }

    #[test]
    fn a_round_is_bounded_whatever_the_weights() {
        let primes = [65_521, 65_519, 65_497, 65_479, 7];
        let round = interleave(&weighted(&primes));
        assert!(round.len() <= 4_096 + 5, "{}", round.len());
        assert!(round.contains(&4));
    }

    proptest! {
        #[test]
        fn a_round_meets_the_weights_exactly_and_every_stretch_nearly(
            weights in prop::collection::vec(1_u64..30, 1..12),
            from in any::<prop::sample::Index>(),
            length in 1_usize..200,
        ) {
            let round = interleave(&weighted(&weights));
            let common = weights.iter().copied().fold(0, gcd);
            let total: u64 = weights.iter().sum();
            let from = from.index(round.len());
            for (place, weight) in (0_u16..).zip(&weights) {
                let of = |turns: &mut dyn Iterator<Item = u16>| turns.filter(|turn| *turn == place).count() as f64;
                let exact = (weight / common) as f64;
                prop_assert!((of(&mut round.iter().copied()) - exact).abs() < 0.5);
                let share = *weight as f64 / total as f64;
                let found = of(&mut round.iter().copied().cycle().skip(from).take(length));
                let bound = 1.0 + share * weights.len() as f64;
                prop_assert!((found - share * length as f64).abs() <= bound, "{weights:?}: {place} in {from}+{length}");
            }
        }
    }
}
