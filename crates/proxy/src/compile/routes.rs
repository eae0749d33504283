//! Routes: patterns, conditions and ends compiled, and the router that finds them. Conflicts come with a witness request.

use std::any::Any;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderName;
use portreeve_config::units::{HeaderName as FieldName, Name};
use portreeve_config::{
    Config, ConfigPath, Diagnostic, Route as RouteConfig, ValueMatch as ValueMatchConfig, WeightedUpstream,
};
use portreeve_plugin::Expression;
use portreeve_plugin::engine::headers_of;
use portreeve_plugin::template::{AtMatch, AtRequest, Datum, Phase, Reference, Roots, Scope};
use portreeve_router::path::PathPolicy;
use portreeve_router::{
    Conflict, Guard, HostPattern, Lookup, Pattern, PatternError, Router, Rule, RuleId, ValueMatch, ValueRegex,
};

use tokio::sync::Semaphore;

use super::chains::Chains;
use super::expressions::TOO_LARGE;
use super::params::Params;
use super::{Errors, Pools};
use crate::engine::Shared;
use crate::snapshot::mirror::Mirror;
use crate::snapshot::route::{End, Redirect, Respond, Route};
use crate::snapshot::split::{Share, Split};
use crate::upstream::RetryOverride;

pub(super) fn compile(
    config: &Config,
    pools: &Pools,
    chains: &mut Chains<'_>,
    shared: &Shared,
    params: &Params<'_>,
    errors: &mut Errors<'_>,
) -> (Vec<Arc<Route>>, Option<Router>) {
    let (mut routes, mut rules, mut known) = (Vec::new(), Vec::new(), Vec::new());
    let mut words: HashSet<Arc<str>> = HashSet::new();
    for (index, route) in config.routes.iter().enumerate() {
        let path = ConfigPath::from("routes").index(index);
        let chain = chains.compile(&route.plugins, &path, errors);
        let before = errors.all.len();
        let rule = rule(route, &path, errors);
        let is_whole = errors.all.len() == before && has_sound_match(&path, errors) && errors.has_room();
        if is_whole {
            params.check(config, index, &rule, errors);
        }
        // Ten thousand routes have a few names of parameters between them.
        let mut word = |name: &str| -> Arc<str> {
            let known = words.get(name).cloned();
            known.unwrap_or_else(|| {
                let word: Arc<str> = name.into();
                words.insert(word.clone());
                word
            })
        };
        let names = |pattern: &Pattern| pattern.names().map(&mut word).collect();
        // A rule without paths takes any path, with the one pattern that has no parameters.
        let params = if rule.paths.is_empty() {
            Box::new([Box::default()]) as Box<[_]>
        } else {
            rule.paths.iter().map(names).collect()
        };
        routes.push(Arc::new(Route {
            name: route.name.shared(),
            params,
            chain,
            end: end(route, &path, pools, errors),
            policy: PathPolicy { allow_encoded_slash: route.allow_encoded_slash, ..PathPolicy::default() },
            takes_trace: route.matches.methods.iter().any(|method| method.as_str() == "TRACE"),
            max_body: route.limits.body.bytes(),
            timeout: route.timeout.get(),
            idle: route.timeouts.idle.get(),
            retry: route.retry.as_ref().map(|retry| Box::new(RetryOverride::new(retry))),
            mirror: mirror(route, pools, shared).map(Arc::new),
            metrics: shared.metrics.route(route.name.shared()),
        }));
        // Of a route whose match is wrong nothing can be said beside others.
        if is_whole {
            known.push(index);
            rules.push(rule);
        }
    }
    if !errors.has_room() {
        // The file is refused, and comparing what is left of its routes would only cost.
        return (routes, None);
    }
    match Router::compile(rules) {
        Ok(router) => {
            left_open(&router, &known, config, errors);
            (routes, Some(router))
        }
        Err(conflicts) => {
            let of_file = |rule: RuleId| known.get(rule.0).copied().unwrap_or_default();
            for conflict in &conflicts {
                errors.all.add(|| tell(conflict, &of_file, config, errors.sources));
            }
            (routes, None)
        }
    }
}

fn rule(route: &RouteConfig, path: &ConfigPath, errors: &mut Errors<'_>) -> Rule {
    let matches = path.key("match");
    let wanted = &route.matches;
    let one_or_many = |key: &str, count: usize, index: usize| {
        let path = matches.key(key);
        if count == 1 && is_one_text(&path, errors.sources) { path } else { path.index(index) }
    };
    let mut rule = Rule { priority: route.priority, ..Rule::default() };
    let hosts: Vec<_> =
        wanted.host.iter().enumerate().map(|(i, text)| (one_or_many("host", wanted.host.len(), i), text)).collect();
    let paths: Vec<_> =
        wanted.path.iter().enumerate().map(|(i, text)| (one_or_many("path", wanted.path.len(), i), text)).collect();
    rule.hosts = hosts.iter().filter_map(|(at, text)| parsed(HostPattern::parse(text), at, errors)).collect();
    for (at, text) in &paths {
        if text.starts_with("regex:") && !errors.has_room() {
            continue;
        }
        match parsed(Pattern::parse(text), at, errors) {
            Some(pattern) => {
                errors.take(pattern.compiled_size(), at);
                rule.paths.push(pattern);
            }
            None => errors.take(if text.starts_with("regex:") { TOO_LARGE } else { 0 }, at),
        }
    }
    rule.methods = wanted.methods.iter().filter_map(|method| method.as_str().parse().ok()).collect();
    for (name, value) in &wanted.headers {
        if let Some(value) = value_match(value, &matches.key("headers").key(name.as_str()), errors) {
            let name = name.as_str().parse::<HeaderName>().ok();
            errors.read.extend(name.clone());
            rule.headers.extend(name.map(|name| (name, value)));
        }
    }
    for (name, value) in &wanted.query {
        let value = value_match(value, &matches.key("query").key(name), errors);
        rule.query.extend(value.map(|value| (name.clone(), value)));
    }
    for (name, value) in &wanted.cookies {
        let value = value_match(value, &matches.key("cookies").key(name), errors);
        rule.cookies.extend(value.map(|value| (name.clone(), value)));
    }
    let condition = wanted.condition.as_deref();
    if let Some(condition) = condition.and_then(|text| errors.expression(&matches.key("if"), text, Roots::REQUEST)) {
        errors.read.extend(headers_of(condition.references()));
        rule.guard = Some(Box::new(Condition(condition)));
    }
    rule
}

/// Warns of protected routes with `methods` whose path is open by the others: a public route for any method takes them.
fn left_open(router: &Router, known: &[usize], config: &Config, errors: &mut Errors<'_>) {
    let route = |rule: RuleId| known.get(rule.0).and_then(|index| Some((*index, config.routes.get(*index)?)));
    if !config.routes.iter().any(|route| route.public && route.matches.methods.is_empty()) {
        return;
    }
    let elsewhere = router.elsewhere(&|rule| route(rule).is_some_and(|(_, own)| !own.public));
    for (index, _) in elsewhere.untold.iter().filter_map(|rule| route(*rule)) {
        let message = "whether methods that are not named here go to a route that is public cannot be told: the regular \
                       expression of its path is too large, or there are too many; name them in a route that refuses them";
        errors.warn(&ConfigPath::from("routes").index(index).key("match").key("methods"), message);
    }
    for of_pair in elsewhere.found.chunk_by(|a, b| a.rule == b.rule && a.taken_by == b.taken_by) {
        let Some(first) = of_pair.first() else { continue };
        let (Some((index, _)), Some((_, other))) = (route(first.rule), route(first.taken_by)) else { continue };
        if !other.public {
            continue;
        }
        let methods: Vec<_> = of_pair.iter().map(|one| one.method.as_str()).collect();
        let message = format!(
            "{} of {} are not named here and go to route \"{}\", which is public; name them here, or in a route that refuses them",
            methods.join(", "),
            first.path,
            other.name
        );
        errors.warn(&ConfigPath::from("routes").index(index).key("match").key("methods"), message);
    }
}

/// Whether the file has a `match` here in which nothing is wrong.
fn has_sound_match(route: &ConfigPath, errors: &Errors<'_>) -> bool {
    let at = route.key("match");
    errors.doubts.is_sound(&at) && errors.sources.place(&at).is_some()
}

/// Whether the file writes one text here rather than a list of one.
fn is_one_text(path: &ConfigPath, sources: &portreeve_config::Sources) -> bool {
    sources.place(&path.index(0)).is_none()
}

fn parsed<T>(outcome: Result<T, PatternError>, at: &ConfigPath, errors: &mut Errors<'_>) -> Option<T> {
    match outcome {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            errors.within(at, error.offset(), error.message());
            None
        }
    }
}

fn value_match(value: &ValueMatchConfig, at: &ConfigPath, errors: &mut Errors<'_>) -> Option<ValueMatch> {
    Some(match value {
        ValueMatchConfig::Exact(text) => ValueMatch::Exact(text.clone()),
        ValueMatchConfig::Present(true) => ValueMatch::Present,
        ValueMatchConfig::Present(false) => ValueMatch::Absent,
        ValueMatchConfig::Prefix(text) => ValueMatch::Prefix(text.clone()),
        ValueMatchConfig::OneOf(texts) => ValueMatch::OneOf(texts.clone()),
        ValueMatchConfig::Regex(_) if !errors.has_room() => return None,
        ValueMatchConfig::Regex(text) => {
            let regex = parsed(ValueRegex::parse(text), &at.key("regex"), errors);
            errors.take(regex.as_ref().map_or(TOO_LARGE, ValueRegex::compiled_size), at);
            ValueMatch::Regex(regex?)
        }
    })
}

fn end(route: &RouteConfig, path: &ConfigPath, pools: &Pools, errors: &mut Errors<'_>) -> End {
    // The loader has seen to it that every name exists and that a route has at most one end.
    let pool = |name: &Name| pools.get(name.as_str()).cloned();
    if let Some(upstreams) = &route.upstream {
        if let [only] = &**upstreams
            && let Some(pool) = pool(&only.name)
        {
            return End::Upstream(pool);
        }
        return End::Split(split(route, upstreams, path, pools, errors));
    }
    if let Some(respond) = &route.respond {
        let at = path.key("respond");
        let header = |(name, value): (&FieldName, &String)| {
            let template = errors.template(&at.key("headers").key(name.as_str()), value);
            Some((HeaderName::try_from(name.as_str()).ok()?, template))
        };
        let headers = respond.headers.into_iter().filter_map(header).collect();
        let body = errors.template(&at.key("body"), &respond.body);
        let status = http::StatusCode::from_u16(respond.status.get()).unwrap_or_default();
        return End::Respond(Respond { status, headers, body });
    }
    if let Some(redirect) = &route.redirect {
        let status = http::StatusCode::from_u16(redirect.status.get()).unwrap_or(http::StatusCode::PERMANENT_REDIRECT);
        return End::Redirect(Redirect { status, to: errors.template(&path.key("redirect").key("to"), &redirect.to) });
    }
    End::Plugin
}

fn split(
    route: &RouteConfig,
    upstreams: &[WeightedUpstream],
    path: &ConfigPath,
    pools: &Pools,
    errors: &mut Errors<'_>,
) -> Split {
    let mut shares = Vec::with_capacity(upstreams.len());
    for (index, share) in upstreams.iter().enumerate() {
        let at = path.key("upstream").index(index).key("when");
        let when: Option<Expression<AtRequest>> =
            share.when.as_deref().and_then(|when| errors.expression(&at, when, AtRequest::ROOTS));
        errors.read.extend(when.iter().flat_map(|when| headers_of(when.references())));
        if let Some(pool) = pools.get(share.name.as_str()).cloned() {
            shares.push(Share { pool, weight: share.share(), when });
        }
    }
    let by = route.split_by.as_ref().map(|by| errors.varying(&path.key("split_by"), by));
    Split::new(shares, by)
}

fn mirror(route: &RouteConfig, pools: &Pools, shared: &Shared) -> Option<Mirror> {
    let mirror = route.mirror.as_ref()?;
    Some(Mirror {
        // The loader has seen to it that the name exists.
        pool: pools.get(mirror.upstream.as_str())?.clone(),
        sample: mirror.sample.fraction(),
        max_body: usize::try_from(mirror.max_body.bytes()).unwrap_or(usize::MAX),
        room: Arc::new(Semaphore::new(usize::try_from(mirror.concurrency).unwrap_or(usize::MAX))),
        timeout: route.timeout.get(),
        metrics: shared.metrics.mirror(route.name.as_str()),
    })
}

/// A conflict in the words of the file. `of_file` gives the place of a rule in the list of routes.
fn tell(
    conflict: &Conflict,
    of_file: &dyn Fn(RuleId) -> usize,
    config: &Config,
    sources: &portreeve_config::Sources,
) -> Diagnostic {
    let name = |rule: RuleId| config.routes.get(of_file(rule)).map_or("?", |route| route.name.as_str());
    let path = |rule: RuleId| ConfigPath::from("routes").index(of_file(rule)).key("match");
    let (at, other, message) = match conflict {
        Conflict::Tie { a, b, witness } => {
            let message = format!(
                "as specific as route \"{}\", and both would take {witness}; \
                 make one of them more specific, or give one a higher `priority`",
                name(*a)
            );
            (*b, Some(*a), message)
        }
        Conflict::Undecided { a, b } => {
            let message = "as specific as route \"{}\", and whether a request could fit both cannot be told; \
                           make one of them more specific, or give one a higher `priority`";
            (*b, Some(*a), message.replace("{}", name(*a)))
        }
        Conflict::Unreachable { rule, by, witness } => {
            let takers: Vec<_> = by.iter().map(|rule| format!("\"{}\"", name(*rule))).collect();
            let message = format!("can never match: {witness} is always taken by {}", takers.join(" or "));
            (*rule, by.first().copied(), message)
        }
        Conflict::Impossible { rule } => (*rule, None, "can never match: its conditions exclude each other".to_owned()),
        Conflict::NoPath { rule } => {
            (*rule, None, "can never match: no path that a request can have fits its expression".to_owned())
        }
        other => (other.rule(), None, other.to_string()),
    };
    let diagnostic = sources.diagnostic(&path(at), message);
    match other.and_then(|other| sources.place(&path(other))) {
        Some(place) => diagnostic.with_place("the other route", &place),
        None => diagnostic,
    }
}

/// The `if` of a route, evaluated on what the router knows of a request.
#[derive(Debug)]
struct Condition(Expression<AtMatch>);

impl Guard for Condition {
    fn admits(&self, request: &Lookup<'_>) -> bool {
        self.0.eval(&AtRouting(request))
    }

    fn excludes(&self, other: &dyn Guard) -> bool {
        let other = (other as &dyn Any).downcast_ref::<Self>();
        other.is_some_and(|other| self.0.excludes(&other.0))
    }
}

struct AtRouting<'l>(&'l Lookup<'l>);

impl Scope for AtRouting<'_> {
    fn resolve<'s>(&'s self, reference: &Reference) -> Option<Datum<'s>> {
        let request = self.0;
        Some(match reference {
            Reference::Method => Datum::text(request.method.as_str()),
            Reference::Path => Datum::text(request.path),
            Reference::Host => Datum::text(request.host),
            Reference::ClientIp => {
                let ip = request.facts?.downcast_ref::<IpAddr>()?;
                Datum::Text(ip.to_string().into())
            }
            Reference::Header(name) => Datum::header(request.headers.get(name)?),
            Reference::Query(name) => Datum::Text(portreeve_plugin::engine::query_value(request.query, name)?),
            Reference::Cookie(name) => Datum::text(portreeve_plugin::engine::cookie(request.headers, name)?),
            _ => return None,
        })
    }
}
