//! What regular expressions take together is bounded wherever they stand: some hundred large ones are refused once, and told
//! where.

use std::fmt::Write as _;

use super::compiled;

/// Takes more than 100 KiB, compiled.
const LARGE: &str = r"\pL{5}";
/// A condition with it, as YAML.
const WHEN: &str = r"'request.host matches ''\pL{5}'''";
/// More of them than there is room for.
const MANY: usize = 700;

/// As many lines.
fn many(of: impl Fn(usize) -> String) -> String {
    (0..MANY).fold(String::new(), |mut all, n| {
        writeln!(all, "{}", of(n)).unwrap();
        all
    })
}

/// As many routes, with this in each beside its path.
fn routes(rest: &str) -> String {
    let route = |n| format!("  - {{ name: r{n}, match: {{ path: /{n} }}, public: true, {rest} }}");
    format!("routes:\n{}", many(route))
}

#[track_caller]
fn is_refused_once(rest: &str, at: &str) {
    let error = compiled(rest).err().unwrap_or_default();
    assert!(error.contains("1 error in gateway.yaml"), "{at} {error}");
    assert!(error.contains(at) && error.contains("take more than 64 MiB compiled"), "{at} {error}");
}

#[test]
fn regular_expressions_are_bounded_together_wherever_they_stand() {
    let matching = |of: &dyn Fn(usize) -> String| {
        let route = |n| format!("  - {{ name: r{n}, match: {{ {} }}, public: true, respond: {{}} }}", of(n));
        format!("routes:\n{}", many(route))
    };
    is_refused_once(&matching(&|n| format!("path: 'regex:/{n}{LARGE}'")), ".match.path: ");
    is_refused_once(
        &matching(&|n| format!("path: /{n}, headers: {{ x: {{ regex: '{LARGE}' }} }}")),
        ".match.headers.x: ",
    );
    is_refused_once(&matching(&|n| format!("path: /{n}, if: {WHEN}")), ".match.if: ");
    let step = |step: &str| routes(&format!("plugins: [{{ {step} }}], respond: {{}}"));
    is_refused_once(&step(&format!("notes: {{}}, when: {WHEN}")), ".plugins[0].when: ");
    is_refused_once(&step(&format!("notes: {{ only: {WHEN} }}")), ".plugins[0].notes.only: ");
    is_refused_once(&step(&format!("notes: {{ pattern: '{LARGE}' }}")), ".plugins[0].notes.pattern: ");
    let pools = "upstreams: { a: { targets: ['127.0.0.1:1'] }, b: { targets: ['127.0.0.1:2'] } }\n";
    let shares = format!("upstream: [{{ name: a }}, {{ name: b, when: {WHEN} }}]");
    is_refused_once(&format!("{pools}{}", routes(&shares)), ".upstream[1].when: ");
    let health = format!("health: {{ http: /, expect: {{ body: 'regex:{LARGE}' }} }}");
    let upstreams = many(|n| format!("  u{n}: {{ targets: ['127.0.0.1:1'], {health} }}"));
    is_refused_once(&format!("upstreams:\n{upstreams}"), ".health.expect.body: ");
}

#[test]
fn a_condition_is_compiled_once_however_many_routes_come_to_it() {
    let chain = format!("chains: {{ api: [{{ notes: {{}}, when: {WHEN} }}] }}");
    let compiled = compiled(&format!("{chain}\n{}", routes("plugins: [use: api], respond: {}")));
    assert!(compiled.is_ok(), "{}", compiled.unwrap_err());
}

#[test]
fn a_file_has_a_bound_of_steps_however_they_come_to_be_so_many() {
    // A `use` with a condition of its own makes each step of its chain anew: 1,700 times 60.
    let of = |uses: usize| {
        let chain = format!("chains: {{ api: [{}] }}", ["notes: {}"; 60].join(", "));
        let routes = (0..uses).fold(String::from("routes:\n"), |mut all, n| {
            let step = "{ use: api, when: 'request.method == \"GET\"' }";
            writeln!(
                all,
                "  - {{ name: r{n}, match: {{ path: /{n} }}, public: true, plugins: [{step}], respond: {{}} }}"
            )
            .unwrap();
            all
        });
        compiled(&format!("{chain}\n{routes}"))
    };
    let error = of(1_700).unwrap_err();
    assert!(error.contains("1 error in gateway.yaml") && error.contains("more than 100000 steps"), "{error}");
    assert!(of(10).is_ok());
}

#[test]
fn a_regular_expression_in_settings_that_is_wrong_is_told_at_its_place() {
    let of = |notes: &str| {
        let route =
            format!("name: a, match: {{ path: / }}, public: true, plugins: [notes: {{ {notes} }}], respond: {{}}");
        compiled(&format!("routes: [{{ {route} }}]")).unwrap_err()
    };
    let error = of("pattern: '(a'");
    assert!(error.contains("routes[0].plugins[0].notes.pattern: not a regular expression: unclosed group"), "{error}");
    let error = of(&format!("only: '{}true'", r"request.host matches ''\pL{5}'' or ".repeat(9)));
    assert!(error.contains("notes.only: with this one the regular expressions take more than 512 KiB"), "{error}");
}
