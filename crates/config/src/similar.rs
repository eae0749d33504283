//! "did you mean": the word of a list that was probably meant. Bounded, since both the word and the list may come from a file
//! that nobody should have to wait for.

/// No more words than this are looked at: a hint is no promise. (Arbitrary.)
const LOOKED_AT: usize = 10_000;
/// No more characters of a word than this are looked at.
const LOOKED_INTO: usize = 100;

/// The nearest of `words`, if it is near enough that a person would see the slip.
pub(crate) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded: Vec<char> = fold(word).collect();
    let length = word.chars().take(LOOKED_INTO).count();
    let mut best: Option<(usize, &str)> = None;
    let mut other = Vec::new();
    for candidate in words.into_iter().take(LOOKED_AT) {
        let allowed = match candidate.chars().take(LOOKED_INTO).count().min(length) {
            0..=2 => 0,
            3..=4 => 1,
            5..=8 => 2,
            _ => 3,
        };
        other.clear();
        other.extend(fold(candidate));
        // Only one that is nearer is of interest.
        let allowed = best.map_or(Some(allowed), |(least, _)| Some(allowed.min(least.checked_sub(1)?)));
        let distance = allowed.and_then(|allowed| distance_within(&folded, &other, allowed));
        if let Some(distance) = distance.filter(|_| candidate != word) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// How many characters have to be put in, left out, changed or swapped with their neighbour to come from one word to the other
/// (optimal string alignment), if they are no more than `most`. Looks only at what `most` allows, so that it costs the length
/// of a word times `most`.
fn distance_within(from: &[char], to: &[char], most: usize) -> Option<usize> {
    if from.len().abs_diff(to.len()) > most {
        return None;
    }
    let far = most + 1;
    let mut before_last = vec![far; to.len() + 1];
    let mut last: Vec<usize> = (0..=to.len()).map(|cost| cost.min(far)).collect();
    let mut row = vec![far; to.len() + 1];
    for (i, a) in from.iter().enumerate() {
        row.fill(far);
        if let Some(first) = row.first_mut() {
            *first = (i + 1).min(far);
        }
        let band = i.saturating_sub(most)..to.len().min(i + most + 1);
        for j in band {
            let at = |row: &[usize], position: usize| row.get(position).copied().unwrap_or(far);
            let b = to.get(j);
            let mut cost = at(&last, j) + usize::from(b != Some(a));
            cost = cost.min(at(&row, j) + 1).min(at(&last, j + 1) + 1);
            let is_swap = i > 0 && j > 0 && from.get(i - 1) == b && to.get(j - 1) == Some(a);
            if is_swap {
                cost = cost.min(at(&before_last, j - 1) + 1);
            }
            if let Some(cell) = row.get_mut(j + 1) {
                *cell = cost.min(far);
            }
        }
        if row.iter().all(|cost| *cost == far) {
            return None;
        }
        std::mem::swap(&mut before_last, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    last.last().copied().filter(|distance| *distance <= most)
}

/// `; did you mean "users-v1"?`, or nothing.
pub(crate) fn did_you_mean<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, words).map_or_else(String::new, |found| format!("; did you mean {found:?}?"))
}

/// `a, b or c`.
pub(crate) fn list(words: &[String], last: &str) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., end] => format!("{} {last} {end}", rest.join(", ")),
    }
}

/// `roundRobin`, `round-robin` and `Round_Robin` are one slip away from each other at most.
fn fold(word: &str) -> impl Iterator<Item = char> {
    word.chars().take(LOOKED_INTO).filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same without bounds, cell by cell as the books have it.
    fn distance(from: &[char], to: &[char]) -> usize {
        let mut cost = vec![vec![0; to.len() + 1]; from.len() + 1];
        for i in 0..=from.len() {
            for j in 0..=to.len() {
                cost[i][j] = match (i, j) {
                    (0, n) | (n, 0) => n,
                    _ => {
                        let change = cost[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
                        let least = change.min(cost[i - 1][j] + 1).min(cost[i][j - 1] + 1);
                        let swap = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
                        if swap { least.min(cost[i - 2][j - 2] + 1) } else { least }
                    }
                };
            }
        }
        cost[from.len()][to.len()]
    }

    proptest! {
        #[test]
        fn a_distance_is_what_it_is_without_bounds(from in "[abc]{0,9}", to in "[abc]{0,9}", most in 0..5_usize) {
            let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
            let whole = distance(&from, &to);
            prop_assert_eq!(distance_within(&from, &to, most), (whole <= most).then_some(whole));
        }
    }

    #[test]
    fn the_nearest_word_is_found_and_no_other() {
        let words = ["upstream", "upstreams", "targets", "balance"];
        let nearest = |word| nearest(word, words);
        assert_eq!(nearest("upsteams"), Some("upstreams"));
        assert_eq!(nearest("Tar-Gets"), Some("targets"));
        assert_eq!(nearest("blaance"), Some("balance"));
        assert_eq!((nearest("balance"), nearest("load"), nearest("")), (None, None, None));
    }
}
