//! The router against a naive linear matcher, over every request of a small world that is closed under what the rules
//! can tell apart. So the conflicts are checked in both directions: none is missed, and none is invented.

use std::{cmp::Reverse, sync::LazyLock};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::{Router, exact};
use crate::{Conflict, Lookup, Outcome, Rule, RuleId, ValueMatch, Witness};

/// A rule before it is made, because rules cannot be cloned.
#[derive(Debug, Clone)]
struct Spec {
    hosts: Vec<&'static str>,
    paths: Vec<String>,
    methods: Vec<Method>,
    header: Vec<ValueMatch>,
    query: Vec<ValueMatch>,
    priority: i64,
}

/// A request of the small world.
#[derive(Debug, Clone)]
struct Request {
    method: Method,
    host: String,
    path: String,
    header: Option<String>,
    query: Option<String>,
}

/// Greater is more specific.
type Rank = ((usize, usize), Vec<u8>, u8, usize, i64);

impl Spec {
    fn rule(&self) -> Rule {
        Rule {
            hosts: self.hosts.iter().map(|host| host.parse().unwrap()).collect(),
            paths: self.paths.iter().map(|path| path.parse().unwrap()).collect(),
            methods: self.methods.clone(),
            headers: self.header.iter().map(|wanted| (HeaderName::from_static("x-a"), wanted.clone())).collect(),
            query: self.query.iter().map(|wanted| ("q".to_owned(), wanted.clone())).collect(),
            priority: self.priority,
            ..Rule::default()
        }
    }

    /// The ranks of the host and path by which the rule takes a request, whatever its method and conditions.
    fn places(&self, request: &Request) -> Vec<((usize, usize), Vec<u8>)> {
        let hosts: Vec<_> = match &self.hosts[..] {
            [] => vec![(0, 0)],
            hosts => hosts.iter().filter_map(|host| host_rank(host, &request.host)).collect(),
        };
        let paths: Vec<_> = match &self.paths[..] {
            [] => vec![vec![0]],
            paths => paths.iter().filter_map(|path| path_rank(path, &request.path)).collect(),
        };
        hosts.iter().flat_map(|host| paths.iter().map(|path| (*host, path.clone()))).collect()
    }

    fn method_rank(&self, method: &Method) -> Option<u8> {
        match &self.methods[..] {
            [] => Some(0),
            methods if methods.contains(method) => Some(2),
            methods if *method == Method::HEAD && methods.contains(&Method::GET) => Some(1),
            _ => None,
        }
    }

    fn holds(&self, request: &Request) -> bool {
        self.header.iter().all(|wanted| admits(wanted, request.header.as_deref()))
            && self.query.iter().all(|wanted| admits(wanted, request.query.as_deref()))
    }

    fn rank(&self, request: &Request) -> Option<Rank> {
        let method = self.method_rank(&request.method)?;
        let (host, path) = self.places(request).into_iter().max()?;
        let conditions = self.header.len() + self.query.len();
        self.holds(request).then_some((host, path, method, conditions, self.priority))
    }
}

fn admits(wanted: &ValueMatch, value: Option<&str>) -> bool {
    match (wanted, value) {
        (ValueMatch::Absent, value) => value.is_none(),
        (_, None) => false,
        (ValueMatch::Present, Some(_)) => true,
        (ValueMatch::Exact(wanted), Some(value)) => wanted == value,
        (ValueMatch::Prefix(wanted), Some(value)) => value.starts_with(wanted),
        (ValueMatch::OneOf(wanted), Some(value)) => wanted.iter().any(|wanted| wanted == value),
        (ValueMatch::Regex(_), Some(_)) => unreachable!("not in this world"),
    }
}

fn host_rank(pattern: &str, host: &str) -> Option<(usize, usize)> {
    match pattern.strip_prefix("*.") {
        None => (pattern == host).then_some((2, 0)),
        Some(suffix) => host.ends_with(&format!(".{suffix}")).then_some((1, suffix.len())),
    }
}

/// One number for each segment: literal, expression, parameter, `*`, `**`; and for the end of the pattern.
fn path_rank(pattern: &str, path: &str) -> Option<Vec<u8>> {
    if pattern.starts_with("regex:") {
        // The only expression of this world: /a/[ac]+
        let rest = path.strip_prefix("/a/")?;
        let fits = !rest.is_empty() && rest.chars().all(|c| "ac".contains(c));
        return fits.then(|| vec![5, 4]);
    }
    let mut given = path.strip_prefix('/')?.split('/');
    let mut rank = Vec::new();
    for segment in pattern.strip_prefix('/')?.split('/') {
        if segment.ends_with("**") || segment == "{r**}" {
            rank.push(0);
            return Some(rank);
        }
        let given = given.next()?;
        rank.push(match segment {
            "*" if !given.is_empty() => 2,
            _ if segment.starts_with('{') && !given.is_empty() => 3,
            literal if literal == given => 5,
            _ => return None,
        });
    }
    rank.push(1);
    given.next().is_none().then_some(rank)
}

/// The most specific rules that take a request: more than one is a tie.
fn best(specs: &[Spec], request: &Request) -> Vec<usize> {
    let ranks: Vec<_> = specs.iter().map(|spec| spec.rank(request)).collect();
    let Some(highest) = ranks.iter().flatten().max() else {
        return Vec::new();
    };
    let is_best = |index: &usize| ranks[*index].as_ref() == Some(highest);
    (0..specs.len()).filter(is_best).collect()
}

fn allow(specs: &[Spec], request: &Request) -> Option<Vec<Method>> {
    let here = || specs.iter().filter(|spec| !spec.places(request).is_empty());
    if here().any(|spec| spec.method_rank(&request.method).is_some()) || here().next().is_none() {
        return None;
    }
    let world = [Method::GET, Method::HEAD, Method::POST];
    let is_allowed = |method: &Method| here().any(|spec| spec.method_rank(method).is_some());
    Some(world.into_iter().filter(is_allowed).collect())
}

/// Every request that the rules of this world can tell from another one.
static WORLD: LazyLock<Vec<Request>> = LazyLock::new(|| {
    let mut paths = vec![String::new()];
    let mut level = paths.clone();
    for _ in 0..3 {
        level = level.iter().flat_map(|start| ["a", "b"].map(|segment| format!("{start}/{segment}"))).collect();
        paths.extend(level.clone());
    }
    paths.extend(paths.clone().iter().map(|path| format!("{path}/")));
    paths.retain(|path| !path.is_empty());
    let value = |text: &str| Some(text.to_owned());
    let mut requests = Vec::new();
    for path in &paths {
        for host in ["a.io", "b.a.io", "b"] {
            for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT] {
                for header in [None, value("1"), value("2"), value("11"), value("3")] {
                    for query in [None, value("1")] {
                        requests.push(Request {
                            method: method.clone(),
                            host: host.to_owned(),
                            path: path.clone(),
                            header: header.clone(),
                            query,
                        });
                    }
                }
            }
        }
    }
    requests
});

fn with_lookup<T>(request: &Request, look: impl FnOnce(&Lookup<'_>) -> T) -> T {
    let mut headers = HeaderMap::new();
    if let Some(value) = &request.header {
        headers.insert("x-a", HeaderValue::from_str(value).unwrap());
    }
    let query = request.query.as_ref().map(|value| format!("other=x&q={value}&q=1"));
    look(&Lookup {
        method: &request.method,
        host: &request.host,
        path: &request.path,
        query: query.as_deref().unwrap_or_default(),
        headers: &headers,
        facts: None,
    })
}

fn from_witness(witness: &Witness) -> Request {
    Request {
        method: witness.method.clone(),
        host: witness.host.clone(),
        path: witness.path.clone(),
        header: witness.headers.first().map(|(_, value)| value.clone()),
        query: witness.query.first().map(|(_, value)| value.clone()),
    }
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let segment = prop_oneof![3 => Just("a"), 2 => Just("{p}"), 1 => Just("*")];
    let end = prop_oneof![4 => Just(""), 2 => Just("/**"), 1 => Just("/{r**}"), 1 => Just("/")];
    let path = (prop::collection::vec(segment, 0..3), end).prop_map(|(segments, end)| {
        let numbered = segments.iter().enumerate().map(|(at, segment)| match *segment {
            "{p}" => format!("/{{p{at}}}"),
            segment => format!("/{segment}"),
        });
        let path = numbered.collect::<String>() + end;
        if path.is_empty() { "/".to_owned() } else { path }
    });
    let path = prop_oneof![9 => path, 1 => Just("regex:/a/[ac]+".to_owned())];
    let host = prop_oneof![Just("a.io"), Just("*.a.io")];
    let method = prop_oneof![Just(Method::GET), Just(Method::HEAD), Just(Method::POST)];
    let header = prop_oneof![
        Just(ValueMatch::Present),
        Just(ValueMatch::Absent),
        Just(exact("1")),
        Just(exact("2")),
        Just(ValueMatch::Prefix("1".to_owned())),
        Just(ValueMatch::OneOf(vec!["1".to_owned(), "2".to_owned()])),
    ];
    let query = prop_oneof![Just(ValueMatch::Present), Just(ValueMatch::Absent)];
    // Few of each, so that many rules meet in the same place without being refused.
    let spec = (
        prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(host, 1..2)],
        prop::collection::vec(path, 0..3),
        prop::collection::vec(method, 0..3),
        prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(header, 1..3)],
        prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(query, 1..2)],
        prop_oneof![2 => Just(0), 1 => -1_i64..2],
    );
    let spec = spec.prop_map(|(hosts, paths, methods, header, query, priority)| Spec {
        hosts,
        paths,
        methods,
        header,
        query,
        priority,
    });
    prop::collection::vec(spec, 1..12)
}

fn check_conflict(specs: &[Spec], conflict: &Conflict) -> Result<(), TestCaseError> {
    match conflict {
        Conflict::Tie { a, b, witness } => {
            let best = best(specs, &from_witness(witness));
            prop_assert!(a < b && best.contains(&a.0) && best.contains(&b.0), "{conflict}: {best:?}");
        }
        Conflict::Unreachable { rule, by, witness } => {
            let request = from_witness(witness);
            prop_assert!(specs[rule.0].rank(&request).is_some(), "{conflict} is not its request");
            // Several, if they tie themselves: then one of them is named.
            let takers = best(specs, &request);
            prop_assert!(takers.iter().any(|taker| by.contains(&RuleId(*taker))), "{conflict}: {takers:?}");
            let reached = WORLD.iter().find(|request| best(specs, request).contains(&rule.0));
            prop_assert!(reached.is_none(), "{conflict}, but {reached:?}");
        }
        Conflict::Impossible { rule } => {
            prop_assert!(!WORLD.iter().any(|request| specs[rule.0].holds(request)), "{conflict}");
        }
        other => prop_assert!(false, "{other}"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_router_agrees_with_the_naive_matcher(mut specs in specs()) {
        // Leaves out what is refused, so that most cases get to the comparison.
        let router = loop {
            match Router::compile(specs.iter().map(Spec::rule).collect()) {
                Ok(router) => break router,
                Err(conflicts) => {
                    for conflict in &conflicts {
                        check_conflict(&specs, conflict)?;
                    }
                    let mut refused: Vec<_> = conflicts.iter().map(|conflict| conflict.rule().0).collect();
                    refused.sort_by_key(|rule| Reverse(*rule));
                    refused.dedup();
                    for rule in refused {
                        specs.remove(rule);
                    }
                }
            }
        };
        let mut reached = vec![false; specs.len()];
        for request in WORLD.iter() {
            let best = best(&specs, request);
            prop_assert!(best.len() < 2, "a tie was missed: {best:?} for {request:?}");
            let outcome = with_lookup(request, |lookup| match router.find(lookup) {
                Outcome::Found(found) => Ok(found.rule.0),
                Outcome::MethodNotAllowed(allow) => Err(Some(allow.iter().cloned().collect())),
                Outcome::NotFound | Outcome::Ambiguous => Err(None),
            });
            let first = with_lookup(request, |lookup| {
                let considered = router.consider(lookup);
                considered.iter().find(|considered| considered.miss.is_none()).map(|considered| considered.rule.0)
            });
            prop_assert_eq!(first.as_ref(), best.first());
            if let Some(rule) = best.first() {
                reached[*rule] = true;
                prop_assert_eq!(outcome, Ok(*rule), "{:?}", request);
            } else {
                prop_assert_eq!(outcome, Err(allow(&specs, request)), "{:?}", request);
            }
        }
        for (spec, reached) in specs.iter().zip(reached) {
            let is_decided = !spec.paths.iter().any(|path| path.starts_with("regex:"));
            prop_assert!(reached || !is_decided, "never reached, but not refused: {spec:?}");
        }
    }
}
