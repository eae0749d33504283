//! "did you mean": the word of a list that was probably meant.

/// The nearest of `words`, if it is near enough that a person would see the slip.
pub(crate) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(word);
    let mut best: Option<(usize, &str)> = None;
    for candidate in words {
        let distance = strsim::damerau_levenshtein(&folded, &fold(candidate));
        let allowed = match candidate.chars().count().min(word.chars().count()) {
            0..=2 => 0,
            3..=4 => 1,
            5..=8 => 2,
            _ => 3,
        };
        if candidate != word && distance <= allowed && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
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
fn fold(word: &str) -> String {
    word.chars().take(100).filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}
