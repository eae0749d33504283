//! Any rules with any request: the router must find a rule exactly when one takes the request, and a conflict's
//! witness must show it.
#![no_main]

use arbitrary::Arbitrary;
use http::{HeaderMap, Method};
use libfuzzer_sys::fuzz_target;
use portreeve_router::{Conflict, HostPattern, Lookup, Outcome, Pattern, Router, Rule, Witness};

#[derive(Debug, Arbitrary)]
struct Spec<'a> {
    host: Option<&'a str>,
    path: &'a str,
    method: Option<u8>,
}

fn method(number: u8) -> Method {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS];
    known[usize::from(number) % known.len()].clone()
}

impl Spec<'_> {
    fn rule(&self) -> Option<Rule> {
        Some(Rule {
            hosts: self.host.map(HostPattern::parse).transpose().ok()?.into_iter().collect(),
            paths: vec![Pattern::parse(self.path).ok()?],
            methods: self.method.map(method).into_iter().collect(),
            ..Rule::default()
        })
    }
}

fn takes(rule: &Rule, request: &Witness) -> bool {
    let named = |method: &Method| rule.methods.contains(method);
    rule.paths.iter().any(|path| path.matches(&request.path))
        && (rule.hosts.is_empty() || rule.hosts.iter().any(|host| host.matches(&request.host)))
        && (rule.methods.is_empty()
            || named(&request.method)
            || request.method == Method::HEAD && named(&Method::GET))
}

fuzz_target!(|input: (Vec<Spec<'_>>, &str, &str, u8)| {
    let (specs, host, path, number) = input;
    let rules = || specs.iter().take(8).filter_map(Spec::rule).collect::<Vec<_>>();
    let router = match Router::compile(rules()) {
        Ok(router) => router,
        Err(conflicts) => {
            let rules = rules();
            for conflict in &conflicts {
                match conflict {
                    Conflict::Tie { a, b, witness } => {
                        assert!(takes(&rules[a.0], witness) && takes(&rules[b.0], witness), "{conflict}");
                    }
                    Conflict::Unreachable { rule, by, witness } => {
                        assert!(takes(&rules[rule.0], witness), "{conflict}");
                        assert!(by.iter().any(|id| takes(&rules[id.0], witness)), "{conflict}");
                    }
                    _ => {}
                }
            }
            return;
        }
    };
    let request = Witness {
        method: method(number),
        host: host.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        query: Vec::new(),
        cookies: Vec::new(),
    };
    let lookup = Lookup {
        method: &request.method,
        host,
        path,
        query: "",
        headers: &HeaderMap::new(),
        facts: None,
    };
    let rules = rules();
    match router.find(&lookup) {
        Outcome::Found(found) => assert!(takes(&rules[found.rule.0], &request)),
        Outcome::Ambiguous => assert!(path.contains(';') || path.to_ascii_uppercase().contains("%3B")),
        _ => assert!(!rules.iter().any(|rule| takes(rule, &request))),
    }
});
