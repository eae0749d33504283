//! Keys and words of the design whose feature is not built yet: refused by name, never ignored.
//!
//! A row leaves this table in the change that builds its feature and adds the key to the types.

use crate::path::{ConfigPath, Segment};

struct Unbuilt {
    /// The path; `*` stands for any key, `[]` for any list position.
    path: &'static [&'static str],
    /// The word that is refused there; every value when `None`.
    word: Option<&'static str>,
    /// What is not built, as a plural: "TLS listeners".
    what: &'static str,
}

const fn key(path: &'static [&'static str], what: &'static str) -> Unbuilt {
    Unbuilt { path, word: None, what }
}

const fn word(path: &'static [&'static str], word: &'static str, what: &'static str) -> Unbuilt {
    Unbuilt { path, word: Some(word), what }
}

static TABLE: &[Unbuilt] = &[
    key(&["tests"], "tests in the file"),
    key(&["listeners", "[]", "tcp"], "TCP listeners"),
    key(&["upstreams", "*", "sticky"], "sticky sessions"),
    key(&["upstreams", "*", "outlier"], "outlier ejections"),
    key(&["upstreams", "*", "targets", "[]", "zone"], "zones of targets"),
    key(&["upstreams", "*", "targets", "[]", "priority"], "priorities of targets"),
    word(&["upstreams", "*", "balance"], "least_time", "balancers by response time"),
    key(&["tiers", "*", "concurrency"], "concurrency limits of tiers"),
    key(&["tiers", "*", "quota"], "quotas of tiers"),
];

/// What to say of a key that is known but not built.
pub(crate) fn unbuilt_key(path: &ConfigPath) -> Option<String> {
    let row = TABLE.iter().find(|row| row.word.is_none() && fits(row.path, path))?;
    Some(format!("{} are not built yet; remove this key (planned)", row.what))
}

/// What to say of a word that is known but not built.
pub(crate) fn unbuilt_word(path: &ConfigPath, text: &str) -> Option<String> {
    let row = TABLE.iter().find(|row| row.word == Some(text) && fits(row.path, path))?;
    Some(format!("{} ({text}) are not built yet; choose another word (planned)", row.what))
}

fn fits(pattern: &[&str], path: &ConfigPath) -> bool {
    pattern.len() == path.segments().len()
        && pattern.iter().zip(path.segments()).all(|(pattern, segment)| match segment {
            Segment::Index(_) => *pattern == "[]",
            Segment::Key(key) => *pattern == "*" || *pattern == &**key,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_unbuilt_at_its_place_only() {
        let unbuilt = |path: &str| unbuilt_key(&ConfigPath::from(path)).is_some();
        assert!(unbuilt("listeners[3].tcp") && unbuilt("upstreams.any-name.targets[0].zone"));
        assert!(
            !unbuilt("listeners.tcp") && !unbuilt("routes[0].tcp") && !unbuilt("upstreams.users.targets[0].zone.x")
        );
    }

    #[test]
    fn no_row_stands_for_a_key_that_is_built() {
        let schema = crate::schema(&crate::Catalog::default());
        let known = |definition: &str, key: &str| !schema["$defs"][definition]["properties"][key].is_null();
        for (definition, at) in [("Listener", 2), ("Upstream", 2), ("TargetMap", 4), ("Health", 3), ("Tier", 2)] {
            for row in TABLE.iter().filter(|row| row.word.is_none() && row.path.len() == at + 1) {
                let key = row.path.last().unwrap();
                assert!(!known(definition, key), "{definition}.{key} is built: remove its row");
            }
        }
    }
}
