//! Tests of the walk's bound.

use std::{cell::Cell, ops::ControlFlow};

use super::{Entry, Rank, Tree};
use crate::{MAX_SEGMENTS, Pattern, RuleId, method::MethodSet};

thread_local! {
    /// Nodes entered by the walks of this test.
    pub(super) static ENTERED: Cell<usize> = const { Cell::new(0) };
}

fn tree(patterns: &[String]) -> Tree {
    let mut tree = Tree::default();
    for (index, text) in patterns.iter().enumerate() {
        let entry = Entry {
            rule: RuleId(index),
            path: 0,
            methods: MethodSet::default(),
            rank: Rank { names_methods: false, conditions: 0, has_guard: false, priority: 0 },
            is_regex: false,
        };
        tree.insert(&Pattern::parse(text).unwrap(), entry);
    }
    tree.finish();
    tree
}

fn visited(tree: &Tree, path: &str) -> (Vec<usize>, usize) {
    ENTERED.set(0);
    let mut rules = Vec::new();
    let walked: ControlFlow<()> = tree.walk(path, &mut |place| {
        rules.extend(place.iter().map(|entry| entry.rule.0));
        ControlFlow::Continue(())
    });
    assert!(walked.is_continue());
    (rules, ENTERED.get())
}

/// All patterns of `depth` segments of `a`, a parameter or `*`, each with one more literal at its end.
fn every_shape(depth: usize) -> Vec<String> {
    let mut shapes = vec![String::new()];
    for level in 0..depth {
        let kinds = ["a".to_owned(), format!("{{p{level}}}"), "*".to_owned()];
        shapes = shapes.iter().flat_map(|start| kinds.iter().map(move |kind| format!("{start}/{kind}"))).collect();
    }
    shapes.iter().map(|shape| format!("{shape}/end")).collect()
}

#[test]
fn places_come_in_the_order_of_specificity() {
    let patterns = ["/**", "/a/**", "/a/*", "/a/{x}", "/a/b", "/{x}/b", "/*/b", "/a/b/**"].map(str::to_owned);
    assert_eq!(visited(&tree(&patterns), "/a/b").0, [4, 7, 3, 2, 1, 5, 6, 0]);
}

#[test]
fn backtracking_enters_no_node_twice() {
    let shapes = every_shape(6);
    let tree = tree(&shapes);
    let (rules, entered) = visited(&tree, "/a/a/a/a/a/a/no");
    assert!(rules.is_empty());
    // 3⁰ + 3¹ + … + 3⁶ nodes fit the path; the 729 ends do not.
    assert_eq!(entered, 1093);
    let (rules, _) = visited(&tree, "/a/a/a/a/a/a/end");
    assert_eq!(rules.len(), 729);
}

#[test]
fn a_path_of_a_million_segments_costs_no_more_than_the_deepest_pattern() {
    let deep = "/{p}".to_owned() + &"/*".repeat(MAX_SEGMENTS - 2) + "/end";
    let tree = tree(&[deep, "/x/**".to_owned()]);
    let (rules, entered) = visited(&tree, &"/a".repeat(1_000_000));
    assert!(rules.is_empty());
    assert_eq!(entered, MAX_SEGMENTS);
    assert_eq!(visited(&tree, &"/x".repeat(1_000_000)).0, [1]);
}

#[test]
fn many_parallel_wildcards_do_not_multiply() {
    // 64 patterns of 32 wildcards each that part only at the end share all their nodes.
    let patterns: Vec<_> = (0..64).map(|n| format!("{}/end{n}", "/*".repeat(32))).collect();
    let (_, entered) = visited(&tree(&patterns), &"/a".repeat(33));
    assert_eq!(entered, 33);
}
