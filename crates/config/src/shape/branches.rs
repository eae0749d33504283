//! `anyOf` and `oneOf`: finds the form that was meant, and reports against that one only.

use serde_json::Value as Json;

use super::describe::{Kind, bare, quoted};
use super::{Schema, Shape, words};
use crate::path::Segment;
use crate::similar::{did_you_mean, list, nearest};
use crate::unbuilt::unbuilt_key;
use crate::yaml::{Node, Span};

/// How many of some keys a map has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HowMany {
    /// `oneOf`.
    One,
    /// `anyOf`.
    AtLeastOne,
}

/// The keys of `oneOf: [{ required: [a] }, { required: [b] }]`, of which exactly one must be there, or of the same with `anyOf`.
pub(super) fn required_keys<'a>(branches: &[&'a Json]) -> Option<Vec<&'a str>> {
    let key = |branch: &&'a Json| {
        let map = branch.as_object().filter(|map| map.len() == 1)?;
        match words(map, "required").as_slice() {
            [key] => Some(*key),
            _ => None,
        }
    };
    let keys: Option<Vec<&str>> = branches.iter().map(key).collect();
    keys.filter(|keys| !keys.is_empty())
}

impl<'a> Shape<'a> {
    pub(super) fn check_keys(&mut self, keys: &[&str], how_many: HowMany, node: &Node, label: Span) {
        if Kind::of(node) != Kind::Map {
            return;
        }
        let found: Vec<_> = node.entries().iter().filter(|e| keys.contains(&&*e.key.text)).collect();
        let names = |last: &str| list(&keys.iter().map(ToString::to_string).collect::<Vec<_>>(), last);
        match found.as_slice() {
            [_] => {}
            [_, _, ..] if how_many == HowMany::AtLeastOne => {}
            [] => {
                // A key of the design that is not built is reported as such; what is missing follows from it.
                let unbuilt = |key: &str| unbuilt_key(&self.path.key(key)).is_some();
                let reads = self.is_read();
                let slip = |key: &str| reads && nearest(key, keys.iter().copied()).is_some();
                if !node.entries().iter().any(|e| unbuilt(&e.key.text) || slip(&e.key.text)) {
                    self.error(label, format!("expected one of the keys {}", names("or")));
                }
            }
            [first, second, ..] => {
                let message = format!("{} and {} exclude each other; keep one", first.key.text, second.key.text);
                let others = vec![(format!("{} stands here", first.key.text), first.key.span)];
                self.report.error_with(self.path.clone(), second.key.span, message, others);
            }
        }
    }

    pub(super) fn check_branches(&mut self, schema: &'a Schema, branches: &[&'a Json], node: &Node, label: Span) {
        let kind = Kind::of(node);
        let fitting: Vec<&'a Json> =
            branches.iter().copied().filter(|branch| self.kinds(branch).contains(&kind)).collect();
        match fitting.as_slice() {
            [] => self.mismatch(branches, schema, node, label),
            _ if self.check_words(&fitting, branches, node) => {}
            [only] => self.check(only, node, label),
            _ if kind == Kind::Map => self.check_maps(&fitting, node, label),
            _ => self.check_best(&fitting, node, label),
        }
    }

    /// When every fitting branch is a list of words, they are one list of words. True: it was checked as such.
    fn check_words(&mut self, fitting: &[&'a Json], all: &[&'a Json], node: &Node) -> bool {
        let mut allowed = Vec::new();
        for branch in fitting {
            let Json::Object(map) = self.resolved(branch) else {
                return false;
            };
            match (map.get("enum").and_then(Json::as_array), map.get("const")) {
                (Some(words), _) => allowed.extend(words),
                (None, Some(word)) => allowed.push(word),
                (None, None) => return false,
            }
        }
        let others: Vec<&Json> =
            all.iter().copied().filter(|branch| !fitting.iter().any(|f| std::ptr::eq(*f, *branch))).collect();
        let others = if others.is_empty() { Vec::new() } else { vec![self.expected_of_all(&others)] };
        self.one_of(&allowed, &others, node);
        true
    }

    /// Checks that a value is one of some words. `others` says what else could stand there.
    pub(super) fn one_of(&mut self, allowed: &[&Json], others: &[String], node: &Node) {
        let json = node.to_json();
        if allowed.contains(&&json) {
            return;
        }
        let text = bare(&json);
        let mut names: Vec<String> = allowed.iter().map(|word| bare(word)).collect();
        let hint = match node.str() {
            Some(text) if self.is_read() => did_you_mean(text, names.iter().map(String::as_str)),
            _ => String::new(),
        };
        names.extend_from_slice(others);
        // A number and the same as text are one word.
        let mut distinct: Vec<String> = Vec::with_capacity(names.len());
        for name in names {
            if !distinct.contains(&name) {
                distinct.push(name);
            }
        }
        let expected = list(&distinct, "or");
        let shown = if node.str().is_some() { quoted(&text) } else { text };
        self.error(node.span, format!("expected {expected}, found {shown}{hint}"));
    }

    /// Several map forms: told apart by the keys each one requires.
    fn check_maps(&mut self, fitting: &[&'a Json], node: &Node, label: Span) {
        let required = |branch: &&'a Json| -> Vec<&'a str> {
            self.resolved(branch).as_object().map(|map| words(map, "required")).unwrap_or_default()
        };
        let keys: Vec<Vec<&str>> = fitting.iter().map(required).collect();
        let single: Vec<&str> =
            keys.iter().filter_map(|k| if let [key] = k.as_slice() { Some(*key) } else { None }).collect();
        if single.len() != fitting.len() {
            return self.check_best(fitting, node, label);
        }
        let present: Vec<(&&'a Json, &str)> =
            fitting.iter().zip(single.iter().copied()).filter(|(_, key)| node.get(key).is_some()).collect();
        match present.as_slice() {
            [(branch, _)] => self.check(branch, node, label),
            [] => {
                for entry in node.entries() {
                    let hint = if self.is_read() {
                        did_you_mean(&entry.key.text, single.iter().copied())
                    } else {
                        String::new()
                    };
                    let message = format!("unknown key{hint}");
                    self.descend(Segment::Key(entry.key.text.clone()), |s| s.error(entry.key.span, message));
                    if !hint.is_empty() {
                        return;
                    }
                }
                let mut distinct: Vec<String> = Vec::new();
                for key in &single {
                    if !distinct.iter().any(|d| d == key) {
                        distinct.push((*key).to_owned());
                    }
                }
                self.error(label, format!("expected one of the keys {}", list(&distinct, "or")));
            }
            [(_, first), (_, second), ..] if first != second => {
                let keys = [*first, *second];
                self.check_keys(&keys, HowMany::One, node, label);
            }
            _ => self.check_best(fitting, node, label),
        }
    }

    /// Reports against the form with the fewest errors; nothing when one fits.
    fn check_best(&mut self, fitting: &[&'a Json], node: &Node, label: Span) {
        let mut best = None;
        for branch in fitting {
            let outcome = self.trial(branch, node, label);
            let errors = outcome.0.errors.count();
            if best.as_ref().is_none_or(|(least, _)| errors < *least) {
                best = Some((errors, outcome));
            }
            if errors == 0 {
                break;
            }
        }
        if let Some((_, outcome)) = best {
            self.adopt(outcome);
        }
    }
}
