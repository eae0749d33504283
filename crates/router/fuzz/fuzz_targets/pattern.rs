//! Any pattern with any path: parsing must not panic, an error must point into the text, and the router must agree
//! with the pattern.
#![no_main]

use http::{HeaderMap, Method};
use libfuzzer_sys::fuzz_target;
use portreeve_router::{HostPattern, Lookup, Outcome, Pattern, Router, Rule};

fuzz_target!(|input: (&str, &str)| {
    let (text, path) = input;
    if let Err(error) = HostPattern::parse(text) {
        assert!(error.offset() <= text.len());
    }
    let pattern = match Pattern::parse(text) {
        Ok(pattern) => pattern,
        Err(error) => {
            assert!(error.offset() <= text.len(), "{error}");
            return;
        }
    };
    let matches = pattern.matches(path);
    let rule = Rule {
        paths: vec![pattern],
        ..Rule::default()
    };
    // One rule has nobody to conflict with; it is refused only where no path could fit it.
    let Ok(router) = Router::compile(vec![rule]) else {
        assert!(!matches || !path.starts_with('/'));
        return;
    };
    let request = Lookup {
        method: &Method::GET,
        host: "",
        path,
        query: "",
        headers: &HeaderMap::new(),
        facts: None,
    };
    match router.find(&request) {
        Outcome::Found(found) => {
            assert!(matches);
            assert_eq!(found.params.len(), found.pattern.names().len());
            assert_eq!(found.params.iter(path).count(), found.params.len());
        }
        Outcome::Ambiguous => assert!(path.contains(';') || path.to_ascii_uppercase().contains("%3B")),
        _ => assert!(!matches),
    }
});
