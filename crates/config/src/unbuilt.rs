//! Keys of the design whose feature is not built yet: refused by name, never ignored.
//!
//! A row leaves this table in the change that builds its feature and adds the key to the types.

use crate::path::{ConfigPath, Segment};

struct Unbuilt {
    /// The path; `*` stands for any key, `[]` for any list position.
    path: &'static [&'static str],
    /// What is not built, as a plural: "TLS listeners".
    what: &'static str,
}

const fn key(path: &'static [&'static str], what: &'static str) -> Unbuilt {
    Unbuilt { path, what }
}

static TABLE: &[Unbuilt] = &[key(&["tests"], "tests in the file")];

/// What to say of a key that is known but not built.
pub(crate) fn unbuilt_key(path: &ConfigPath) -> Option<String> {
    let row = TABLE.iter().find(|row| fits(row.path, path))?;
    Some(format!("{} are not built yet; remove this key (planned)", row.what))
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
        assert!(unbuilt("tests"));
        assert!(!unbuilt("routes[0].tests") && !unbuilt("tests.x"));
    }

    #[test]
    fn no_row_stands_for_a_key_that_is_built() {
        let schema = crate::schema(&crate::Catalog::default());
        let known = |definition: &str, key: &str| !schema["$defs"][definition]["properties"][key].is_null();
        for (definition, at) in [("Listener", 2), ("Upstream", 2), ("TargetMap", 4), ("Health", 3)] {
            for row in TABLE.iter().filter(|row| row.path.len() == at + 1) {
                let key = row.path.last().unwrap();
                assert!(!known(definition, key), "{definition}.{key} is built: remove its row");
            }
        }
    }
}
