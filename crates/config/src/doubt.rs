//! What of a file with errors later stages may not build on.

use std::collections::BTreeSet;

use crate::path::ConfigPath;

/// The places that are wrong already. Later stages say nothing of what follows from them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doubts {
    wrong: BTreeSet<ConfigPath>,
    /// Whether something is missing that nobody has seen: a file that could not be read, a section written twice.
    incomplete: bool,
}

impl Doubts {
    /// Notes that the value at `path` is wrong.
    pub fn insert(&mut self, path: ConfigPath) {
        // What is wrong with the file as a whole, or with a whole section, may have hidden a part of it.
        self.incomplete |= path.segments().len() < 2 && !path.segments().is_empty();
        self.wrong.insert(path);
    }

    /// Whether nothing is wrong at this value or inside it.
    #[must_use]
    pub fn is_sound(&self, path: &ConfigPath) -> bool {
        let next = self.wrong.range(path..).next();
        next.is_none_or(|wrong| !wrong.segments().starts_with(path.segments()))
    }

    /// Whether all of a section is known: nothing in it is wrong, and nothing of it was out of reach.
    #[must_use]
    pub fn knows_all_of(&self, section: &str) -> bool {
        !self.incomplete && self.is_sound(&ConfigPath::root().key(section))
    }

    /// Whether everything that the file names was seen.
    #[must_use]
    pub fn saw_everything(&self) -> bool {
        !self.incomplete
    }

    pub(crate) fn missed_something(&mut self) {
        self.incomplete = true;
    }

    pub(crate) fn is_wrong_itself(&self, path: &ConfigPath) -> bool {
        self.wrong.contains(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_casts_doubt_on_what_it_is_part_of_and_on_nothing_else() {
        let mut doubts = Doubts::default();
        doubts.insert(ConfigPath::from("routes[1].match.path[0]"));
        let sound = |path: &str| doubts.is_sound(&ConfigPath::from(path));
        assert!(!sound("routes") && !sound("routes[1].match") && !sound("routes[1].match.path[0]"));
        assert!(sound("routes[0]") && sound("routes[1].plugins") && sound("routes[1].match.path[1]"));
        assert!(sound("routes[10]") && sound("routes[1].match.path[0].x"));
        assert!(doubts.knows_all_of("tiers") && !doubts.knows_all_of("routes"));
    }

    #[test]
    fn a_section_that_is_wrong_as_a_whole_may_have_held_anything() {
        let mut doubts = Doubts::default();
        doubts.insert(ConfigPath::from("tiers"));
        assert!(!doubts.knows_all_of("consumers"));
    }
}
