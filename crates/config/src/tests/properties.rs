//! What holds for every input: trees survive the round through text, and no text makes the loader panic.

use std::fs;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{catalog, env, folder};
use crate::report::Report;
use crate::yaml::{Bounds, FileId, parse};
use crate::{MAX_STEPS, examine_str, load_str};

/// Trees as JSON has them, with texts that YAML could mistake for something else.
fn tree() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "\\PC{0,12}",
        prop::sample::select(vec![
            "null",
            "true",
            "~",
            "1e3",
            "0x1f",
            "2027-06-30",
            "<<",
            "*a",
            "&a",
            "- a",
            "a: b",
            "#",
            ""
        ])
        .prop_map(str::to_owned),
    ]
    .prop_filter("the environment has its own tests", |text: &String| !text.contains("${"));
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9f64..1e9).prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        let key = text.clone().prop_filter("merge keys are refused", |key| key != "<<");
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(key, inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Block style, with every text quoted as JSON quotes it (YAML 1.2 reads JSON).
fn block(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                out.extend(["\n", &pad, "-"]);
                block(item, indent + 2, out);
            }
        }
        Value::Object(map) if !map.is_empty() => {
            for (key, item) in map {
                out.extend(["\n", &pad, &json!(key).to_string(), ":"]);
                block(item, indent + 2, out);
            }
        }
        leaf => out.extend([" ", &leaf.to_string()]),
    }
}

fn parsed(text: &str) -> Result<Value, String> {
    let mut report = Report::default();
    let root = parse(text, FileId(0), &|_| None, &mut Bounds::default(), &mut report);
    match root {
        Some(root) if report.is_empty() => Ok(root.to_json()),
        _ => Err(format!("{:?}", report.errors)),
    }
}

/// Every file of the corpus, broken and valid.
fn corpus() -> &'static [String] {
    static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let files = ["broken", "valid"].into_iter().flat_map(|name| fs::read_dir(folder(name)).unwrap());
        let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        paths.sort();
        paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    });
    &TEXTS
}

/// Places in a text where something is cut out or put in.
fn mutated(text: &str, changes: &[(prop::sample::Index, usize, String)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, cut, insert) in changes {
        let at = at.index(chars.len() + 1);
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, insert.chars());
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_survives_the_round_through_flow_style(value in tree()) {
        prop_assert_eq!(parsed(&value.to_string()), Ok(value));
    }

    #[test]
    fn a_tree_survives_the_round_through_block_style(value in tree()) {
        let mut text = String::new();
        block(&value, 0, &mut text);
        prop_assert_eq!(parsed(&text), Ok(value), "{}", text);
    }

    #[test]
    fn no_change_to_a_file_makes_the_loader_panic_or_print_nothing(
        which in 0..2usize,
        changes in vec((any::<prop::sample::Index>(), 0..6usize, "[ \\-:{}\\[\\]\"'$&*!|>#,a-z0-9\\n\\t%./~é]{0,4}"), 1..6),
    ) {
        let name = ["design.yaml", "every-form.yaml"][which];
        let text = std::fs::read_to_string(folder("valid").join(name)).unwrap();
        let text = mutated(&text, &changes);
        if let Err(errors) = load_str("gateway.yaml", &text, &catalog(), &env) {
            prop_assert!(!errors.is_empty());
            let shown = errors.to_string();
            for error in &errors {
                prop_assert!(shown.contains(error.message()) || errors.len() > 100);
            }
        }
    }

    #[test]
    fn what_is_sound_of_a_changed_file_can_be_walked_like_a_whole_one(
        which in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), 0..12usize, "[ \\-:{}\\[\\]\"'$&*!|>#,a-z0-9\\n\\t%./~é]{0,4}"), 0..6),
    ) {
        let files = corpus();
        let text = mutated(&files[which.index(files.len())], &changes);
        // Nothing is read from the disk but what is in the text.
        prop_assume!(!text.contains("include") && !text.contains("file:"));
        let begun = Instant::now();
        let examined = examine_str("gateway.yaml", &text, &catalog(), &env);
        let rest = match &examined {
            Ok(loaded) => Some(loaded),
            Err(refused) => {
                prop_assert!(!refused.errors.is_empty() && !refused.to_string().is_empty());
                refused.rest.as_deref()
            }
        };
        if let Some(loaded) = rest {
            let _shown = loaded.redacted();
            let config = &loaded.config;
            for steps in config.routes.iter().map(|route| &route.plugins) {
                prop_assert!(config.flatten(steps).len() <= MAX_STEPS);
            }
            for step in config.steps() {
                let place = loaded.sources.place(&step.at.path);
                prop_assert_eq!(place.as_ref(), Some(&step.at));
            }
        }
        // A second for a file of a page, in a build without optimisation, on a busy machine.
        prop_assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn no_text_at_all_makes_the_loader_panic(text in "\\PC{0,200}") {
        let _either = load_str("gateway.yaml", &text, &catalog(), &env);
    }

    #[test]
    fn every_typed_file_redacts_and_flattens(tree in tree()) {
        let text = json!({ "version": 1, "listeners": [{ "name": "a", "bind": "127.0.0.1:0" }],
            "routes": [{ "name": "r", "match": {}, "public": true, "respond": {},
                "plugins": [{ "aggregate": { "calls": { "a": { "upstream": "u", "path": "/", "fallback": tree } } }, "when": "x" }] }],
            "upstreams": { "u": { "targets": ["127.0.0.1:1"] } } });
        let loaded = load_str("gateway.yaml", &text.to_string(), &catalog(), &env).map_err(|errors| errors.to_string());
        let loaded = loaded.map_err(TestCaseError::fail)?;
        let _shown = loaded.redacted();
        prop_assert_eq!(loaded.config.flatten(&loaded.config.routes[0].plugins).len(), 1);
    }
}
