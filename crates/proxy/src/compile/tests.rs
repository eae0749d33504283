//! What compiling says of a file, what it calls the steps, and what a route weighs.

mod expressions;
mod memory;
mod tcp;
mod texts;

use std::fmt::Write as _;

use portreeve_config::{Catalog, PluginInfo, load_str};
use portreeve_plugin::Registry;
use portreeve_plugin::prelude::*;

use super::*;

/// A plugin with a template and nothing to do.
struct Notes;

/// Settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// A text.
    #[serde(default)]
    #[expect(dead_code, reason = "it is only read")]
    text: Option<portreeve_plugin::Template>,
    /// A condition.
    #[serde(default)]
    #[expect(dead_code, reason = "it is only read")]
    only: Option<portreeve_plugin::Expression>,
    /// A regular expression.
    #[serde(default)]
    #[schemars(extend("x-regex" = true))]
    #[expect(dead_code, reason = "it is only read")]
    pattern: Option<String>,
    /// The name of an upstream.
    #[serde(default)]
    #[schemars(extend("x-refers-to" = "upstream"))]
    #[expect(dead_code, reason = "it is only read")]
    upstream: Option<String>,
}

impl Plugin for Notes {}

impl Build for Notes {
    const NAME: &'static str = "notes";
    type Config = Settings;

    fn build(_: Settings, _: &Host) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

/// Another.
struct Other;

impl Plugin for Other {}

impl Build for Other {
    const NAME: &'static str = "other";
    type Config = Settings;

    fn build(_: Settings, _: &Host) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

/// One that knows who calls.
struct Guard;

impl Plugin for Guard {}

impl Build for Guard {
    const NAME: &'static str = "guard";
    const AUTHENTICATES: bool = true;
    type Config = Settings;

    fn build(_: Settings, _: &Host) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

fn registry() -> Registry {
    Registry::new().with::<Notes>().with::<Other>().with::<Guard>()
}

fn load(rest: &str) -> Loaded {
    load_whole(&format!("version: 1\nlisteners: [{{ name: public, bind: '127.0.0.1:0' }}]\n{rest}"))
}

fn load_whole(text: &str) -> Loaded {
    let plugins = registry();
    let plugins = plugins.iter().map(|plugin| {
        let info = PluginInfo {
            schema: plugin.schema.clone(),
            authenticates: plugin.authenticates,
            ends_chain: plugin.ends_chain,
            summary: String::new(),
        };
        (plugin.name.to_owned(), info)
    });
    let catalog = Catalog { plugins: plugins.collect() };
    load_str("gateway.yaml", text, &catalog, &|_| None).map_err(|errors| errors.to_string()).unwrap()
}

/// Something to compile with, and what keeps it alive.
fn shared() -> (tokio::runtime::Runtime, Arc<Shared>) {
    let idle = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let shared = Arc::new(Shared::new(idle.handle().clone()).unwrap());
    (idle, shared)
}

fn compiled(rest: &str) -> Result<Snapshot, String> {
    compiled_of(&load(rest))
}

fn compiled_whole(text: &str) -> Result<Snapshot, String> {
    compiled_of(&load_whole(text))
}

fn compiled_of(loaded: &Loaded) -> Result<Snapshot, String> {
    let (_idle, shared) = shared();
    let compiled = compile(loaded, &registry(), &shared, None, &[0], Purpose::Check);
    compiled.map_err(|errors| errors.to_string())
}

/// Two routes of one path with these conditions.
fn split(one: &str, two: &str) -> Result<Snapshot, String> {
    compiled(&format!(
        "routes:\n  - {{ name: a, match: {{ path: /x, if: \"{one}\" }}, public: true, respond: {{}} }}\n  - {{ name: b, match: {{ path: /x, if: \"{two}\" }}, public: true, respond: {{}} }}\n"
    ))
}

#[test]
fn routes_whose_conditions_exclude_each_other_stand_side_by_side() {
    assert!(split("request.headers.x == 'a'", "request.headers.x == 'b'").is_ok());
    assert!(split("has(request.query.beta)", "not has(request.query.beta)").is_ok());
    assert!(split("request.method in ['GET', 'PUT']", "request.method == 'POST'").is_ok());
}

#[test]
fn methods_of_a_protected_path_that_are_open_are_told_at_load() {
    let warned = |first: &str, second: &str| {
        let snapshot = compiled(&format!(
            "routes:\n  - {{ name: admin, match: {{ path: /admin, methods: [GET, POST, PUT] }}, {first}, respond: {{}} }}\n  - {{ name: all, match: {{ path: '/**' }}, {second}, respond: {{}} }}\n"
        ));
        snapshot.unwrap().warnings.to_string()
    };
    let warning = warned("plugins: [guard]", "public: true");
    let said =
        "routes[0].match.methods: PATCH, DELETE of /admin are not named here and go to route \"all\", which is public";
    assert!(warning.contains(said), "{warning}");
    for (first, second) in [("public: true", "public: true"), ("plugins: [guard]", "plugins: [guard]")] {
        let warning = warned(first, second);
        assert!(!warning.contains("PATCH"), "{warning}");
    }
}

#[test]
fn methods_of_a_protected_expression_that_are_open_are_told_at_load_or_that_they_cannot_be_told() {
    let warned = |path: &str, public: &str| {
        let snapshot = compiled(&format!(
            "routes:\n  - {{ name: admin, match: {{ path: 'regex:{path}', methods: [GET, POST, PUT] }}, plugins: [guard], respond: {{}} }}\n  - {{ name: all, match: {{ path: '{public}' }}, public: true, respond: {{}} }}\n"
        ));
        snapshot.unwrap().warnings.to_string()
    };
    let warning = warned("^/(de|fr)/admin(/.*)?$", "/**");
    let said = "routes[0].match.methods: PATCH, DELETE of /de/admin are not named here and go to route \"all\", which is public";
    assert!(warning.contains(said), "{warning}");
    // Too many states to find a path that fits.
    let warning = warned("^/(?:[a-z0-9]*[a-m0-4])[a-z0-9]{24}x$", "/**");
    let said =
        "routes[0].match.methods: whether methods that are not named here go to a route that is public cannot be told";
    assert!(warning.contains(said), "{warning}");
    let warning = warned("^/(de|fr)/admin(/.*)?$", "/public/**");
    assert!(!warning.contains("methods"), "{warning}");
}

#[test]
fn routes_whose_conditions_may_both_hold_tie() {
    for (one, two) in [("request.headers.x == 'a'", "request.headers.y == 'b'"), ("true", "request.host == 'a'")] {
        let error = split(one, two).unwrap_err();
        assert!(
            error.contains("as specific as route \"a\"") && error.contains("give one a higher `priority`"),
            "{error}"
        );
    }
}

#[test]
fn a_route_with_a_condition_stands_before_the_same_route_without() {
    let routes = "routes:\n  - { name: a, match: { path: /x }, public: true, respond: {} }\n  - { name: b, match: { path: /x, if: \"has(request.query.b)\" }, public: true, respond: {} }\n";
    assert!(compiled(routes).is_ok());
}

/// The names of the steps of a route, in order.
fn steps(snapshot: &Snapshot, route: usize) -> Vec<String> {
    snapshot.routes[route].chain.steps().iter().map(|step| step.name.to_string()).collect()
}

const NAMES: &str = "chains:
  api: [notes, other, notes, { notes: {}, name: mine }, notes]
routes:
  - { name: r, match: { path: /r }, public: true, plugins: [use: api, notes], respond: {} }
  - { name: api, match: { path: /s }, public: true, plugins: [notes, use: api], respond: {} }
";

#[test]
fn steps_are_named_by_their_chain_and_plugin_and_repeated_ones_are_numbered() {
    let snapshot = compiled(NAMES).unwrap();
    let of_chain = ["api/notes", "api/other", "api/notes#2", "mine", "api/notes#3"];
    assert_eq!(steps(&snapshot, 0), [&of_chain[..], &["r/notes"]].concat());
    // A route of the same name as a chain is told apart from it.
    assert_eq!(steps(&snapshot, 1), [&["route:api/notes"], &of_chain[..]].concat());
}

#[test]
fn routes_that_use_a_chain_alike_share_it() {
    let route = |name: &str, step: &str| {
        format!("  - {{ name: {name}, match: {{ path: /{name} }}, public: true, plugins: [{step}], respond: {{}} }}\n")
    };
    let plain = [route("a", "use: api"), route("b", "{ use: api }"), route("c", "use: more")].concat();
    let chains = "chains: { api: [notes, other], more: [use: api] }\nroutes:\n";
    let more = format!("{plain}{}", route("d", "{ use: api, when: 'has(request.query.x)' }"));
    let snapshot = compiled(&format!("{chains}{more}")).unwrap();
    let chain = |number: usize| &snapshot.routes[number].chain;
    assert!(Arc::ptr_eq(chain(0), chain(1)) && Arc::ptr_eq(chain(0), chain(2)));
    assert!(!Arc::ptr_eq(chain(0), chain(3)) && chain(3).steps()[0].conditions().len() == 1);
}

#[test]
fn a_name_that_a_step_of_another_list_has_is_told_apart_by_the_list() {
    let snapshot = compiled(&NAMES.replace("[use: api, notes]", "[use: api, { notes: {}, name: mine }]")).unwrap();
    assert_eq!(steps(&snapshot, 0)[3..], ["mine", "api/notes#3", "r:mine"]);
    assert_eq!(steps(&snapshot, 1)[4], "mine", "the same step as in the other route");
}

#[test]
fn a_step_of_another_plugin_that_is_put_in_renames_nothing() {
    let names = steps(&compiled(&NAMES.replace("[notes, other, notes,", "[other, notes, notes,")).unwrap(), 0);
    assert_eq!(names, ["api/other", "api/notes", "api/notes#2", "mine", "api/notes#3", "r/notes"]);
}

#[test]
fn the_burst_of_a_tier_comes_to_the_plugins() {
    let loaded = load("tiers: { free: { rate: 10/s, burst: 30 }, paid: { rate: 20/s } }\n");
    let tiers: Vec<_> = tiers(&loaded.config).into_iter().map(|tier| tier.allowance.spread).collect();
    assert_eq!(tiers, [Spread::Burst(NonZeroU32::new(30).unwrap()), Spread::Window]);
}

/// So many routes as a file of that size has them: a path with a parameter and a chain of five steps.
fn many_routes(count: usize) -> String {
    let mut text = "upstreams: { users: { targets: ['127.0.0.1:1'] } }
chains:
  api: [notes, other, { notes: { text: '${request.path}' } }, other, notes]
routes:
"
    .to_owned();
    for n in 0..count {
        writeln!(
            text,
            "  - {{ name: route-{n}, match: {{ path: '/v1/resource-{n}/{{id}}', methods: [GET] }}, public: true, plugins: [use: api], upstream: users }}"
        )
        .unwrap();
    }
    text
}

#[test]
fn a_check_or_a_file_of_targets_that_cannot_be_used_is_told_at_its_place() {
    let routes = "routes: [{ name: all, match: { path: / }, public: true, upstream: a }]";
    let health = "health: { http: /up, headers: { connection: x }, expect: { body: 'regex:(' } }";
    let upstream = format!("upstreams: {{ a: {{ targets: ['127.0.0.1:1'], {health} }} }}\n{routes}");
    let refused = compiled(&upstream).unwrap_err();
    assert!(refused.contains("gateway.yaml:3:") && refused.contains("2 errors"), "{refused}");
    assert!(
        refused.contains("upstreams.a.health.headers.connection: this header belongs to the connection"),
        "{refused}"
    );
    assert!(refused.contains("upstreams.a.health.expect.body: regex parse error"), "{refused}");
    for (discover, at) in [("{ file: none.yaml }", "discover.file"), ("[{ file: none.yaml }]", "discover[0].file")] {
        let refused = compiled(&format!("upstreams: {{ a: {{ discover: {discover} }} }}\n{routes}")).unwrap_err();
        assert!(
            refused.contains(&format!("upstreams.a.{at}: none.yaml: cannot read the file: no such file")),
            "{refused}"
        );
    }
}
