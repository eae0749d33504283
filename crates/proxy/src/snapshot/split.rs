//! A route's list of upstreams: who takes the requests that an expression names, and how the rest is shared out by weight.

use std::sync::Arc;

use portreeve_balance::hash::{mix, stable};
use portreeve_plugin::engine::View;
use portreeve_plugin::{Expression, Template};

use crate::upstream::Pool;

/// Several upstreams of one route.
#[derive(Debug)]
pub(crate) struct Split {
    shares: Box<[Share]>,
    /// What makes requests stay together.
    by: Option<Template>,
}

/// One upstream of several.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) pool: Arc<Pool>,
    /// Of the requests that no `when` takes.
    pub(crate) weight: u16,
    pub(crate) when: Option<Expression>,
}

impl Split {
    pub(crate) fn new(shares: Vec<Share>, by: Option<Template>) -> Self {
        Self { shares: shares.into(), by }
    }

    /// The upstream of one request; `None` only if there is none.
    pub(crate) fn choose(&self, view: &View<'_>) -> Option<&Arc<Pool>> {
        let named = |share: &&Share| share.when.as_ref().is_some_and(|when| when.eval(view));
        if let Some(share) = self.shares.iter().find(named) {
            return Some(&share.pool);
        }
        let value = self.by.as_ref().and_then(|by| by.render(view)).filter(|value| !value.is_empty());
        let weights = self.shares.iter().map(|share| share.weight);
        let place = match value {
            Some(value) => {
                let key = mix(stable(value.bytes()));
                keyed(key, self.shares.iter().map(|share| (stable(share.pool.name.bytes()), share.weight)))
            }
            None => drawn(weights),
        };
        Some(&self.shares.get(place?)?.pool)
    }
}

/// One of several drawn by weight, in one pass (reservoir sampling).
fn drawn(weights: impl Iterator<Item = u16>) -> Option<usize> {
    let mut sum = 0;
    let winners = weights.enumerate().filter(|(_, weight)| {
        sum += u32::from(*weight);
        *weight > 0 && fastrand::u32(..sum) < u32::from(*weight)
    });
    winners.last().map(|(place, _)| place)
}

/// The highest weighted random score of key and name (rendezvous hashing, Thaler and Ravishankar 1998). A weight that grows
/// only draws keys in, one that shrinks only lets keys go: those that a canary has at 5% it has at 10% as well, wherever it
/// stands in the list.
fn keyed(key: u64, shares: impl Iterator<Item = (u64, u16)>) -> Option<usize> {
    let scored = shares.enumerate().filter(|(_, (_, weight))| *weight > 0).map(|(place, (name, weight))| {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are a fine random number")]
        let unit = ((mix(key ^ name) >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        (-f64::from(weight) / unit.ln(), place)
    });
    scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 4] = ["a", "b", "c", "d"];

    fn place(key: u64, weights: &[u16]) -> Option<usize> {
        keyed(mix(key), NAMES.iter().zip(weights).map(|(name, weight)| (stable(name.bytes()), *weight)))
    }

    proptest! {
        #[test]
        fn a_weight_that_grows_keeps_what_it_had_and_one_that_shrinks_takes_nothing_new(
            before in prop::array::uniform4(0_u16..100),
            which in 0_usize..4,
            more in 1_u16..100,
            keys in prop::collection::vec(any::<u64>(), 50),
        ) {
            let mut after = before;
            after[which] += more;
            for key in keys {
                let (then, now) = (place(key, &before), place(key, &after));
                prop_assert!(now == then || now == Some(which), "{then:?} {now:?}");
            }
        }

        #[test]
        fn nobody_goes_to_a_weight_of_nothing(weights in prop::array::uniform4(0_u16..3), key: u64) {
            for place in [place(key, &weights), drawn(weights.iter().copied())] {
                match place {
                    Some(place) => prop_assert!(weights[place] > 0),
                    None => prop_assert!(weights.iter().all(|weight| *weight == 0)),
                }
            }
        }
    }

    #[test]
    fn the_first_five_percent_are_among_the_first_ten_wherever_the_canary_stands() {
        let canary = |key: &u64, weights: [u16; 2], at: usize| place(*key, &weights) == Some(at);
        for (at, five, ten) in [(1, [95, 5], [90, 10]), (0, [5, 95], [10, 90])] {
            let first: Vec<u64> = (0..20_000).filter(|key| canary(key, five, at)).collect();
            assert!((900..=1_100).contains(&first.len()), "{}", first.len());
            assert!(first.iter().all(|key| canary(key, ten, at)));
            let later = (0..20_000).filter(|key| canary(key, ten, at)).count();
            assert!((1_850..=2_150).contains(&later), "{later}");
        }
    }

    #[test]
    fn draws_are_by_weight() {
        let canary = (0..20_000).filter(|_| drawn([95, 5].into_iter()) == Some(1)).count();
        assert!((850..=1_150).contains(&canary), "{canary}");
    }
}
