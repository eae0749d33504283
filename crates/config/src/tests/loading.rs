//! Loading: what a caller gets besides messages.

use std::fs;
use std::path::Path;

use super::{catalog, env};
use crate::{Action, ConfigPath, Loaded, load, load_str};

const FILE: &str = r#"version: 1
listeners:
  - { name: public, bind: 0.0.0.0:8080 }
admin: { bind: 0.0.0.0:9901, token: "env:ADMIN_TOKEN" }
upstreams:
  users: { targets: ["127.0.0.1:${env.UPSTREAM_PORT}"] }
chains:
  outer:
    - use: inner
      when: "request.method == 'GET'"
  inner:
    - request-id
    - key-auth: { header: x-api-key }
routes:
  - name: users
    match: { path: "/users/{id}" }
    plugins:
      - use: outer
      - key-auth: { header: x-api-key }
    upstream: users
  - name: words
    public: true
    match: {}
    respond:
      headers: { x-password: hunter2, x-upstream: "port ${env.UPSTREAM_PORT}" }
      body: |
        first ${params.id}
        second ${params.nope}
consumers:
  - { name: ada, keys: ["env:ADA_KEY"] }
"#;

fn loaded() -> Loaded {
    load_str("gateway.yaml", FILE, &catalog(), &env).map_err(|errors| errors.to_string()).unwrap()
}

#[test]
fn steps_and_routes_know_where_they_stand() {
    let loaded = loaded();
    let step = &loaded.config.chains["inner"][1];
    assert_eq!(step.at.to_string(), "gateway.yaml:13:7");
    assert_eq!(step.at.path.to_string(), "chains.inner[1]");
    assert_eq!(loaded.config.routes[1].at.to_string(), "gateway.yaml:21:5");
}

#[test]
fn flattening_follows_every_use_and_remembers_the_way() {
    let config = loaded().config;
    let flat = config.flatten(&config.routes[0].plugins);
    let plugins: Vec<&str> = flat.iter().map(|step| step.plugin).collect();
    assert_eq!(plugins, ["request-id", "key-auth", "key-auth"]);
    let names = |position: usize| {
        let uses = flat[position].uses.iter();
        uses.map(|step| if let Action::Use(chain) = &step.action { chain.as_str() } else { "" }).collect::<Vec<_>>()
    };
    assert_eq!(names(0), ["outer", "inner"]);
    assert!(names(2).is_empty());
}

#[test]
fn secrets_are_read_at_load() {
    let config = loaded().config;
    assert_eq!(config.admin.and_then(|admin| admin.token).unwrap().expose(), "open sesame");
    assert_eq!(config.consumers[0].keys[0].expose(), "ada's key");
}

#[test]
fn the_redacted_configuration_shows_neither_secrets_nor_the_environment() {
    let shown = loaded().redacted().to_string();
    assert!(shown.contains("${env.UPSTREAM_PORT}") && !shown.contains("9001"), "{shown}");
    assert!(shown.contains("env:ADA_KEY") && !shown.contains("ada's key"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("open sesame"), "{shown}");
}

#[test]
fn what_is_no_secret_is_shown_though_its_key_sounds_so() {
    let text = r#"
version: 1
listeners:
  - { name: tls, bind: "127.0.0.1:0", tls: { certificates: [{ cert: visible.crt, key: visible.key }] } }
upstreams:
  token-service: { targets: ["127.0.0.1:1"], tls: { cert: a.crt, key: visible-client.key }, sticky: { cookie: visible-sid } }
chains: { private: [request-id] }
routes:
  - { name: all, match: { path: /x }, public: true, plugins: [use: private], upstream: token-service }
  - name: told
    match: { path: /y }
    public: true
    respond: { headers: { authorization: "Basic hunter2", x-token: hunter2, x-plain: visible } }
"#;
    let loaded = load_str("gateway.yaml", text, &catalog(), &|_| None).unwrap();
    let shown = loaded.redacted().to_string();
    for plain in
        ["visible.crt", "visible.key", "visible-client.key", "visible-sid", "127.0.0.1:1", "\"x-plain\":\"visible\""]
    {
        assert!(shown.contains(plain), "{plain}: {shown}");
    }
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn no_debug_output_of_a_configuration_holds_a_secret() {
    let shown = format!("{:?}", loaded().config);
    assert!(!shown.contains("ada's key") && !shown.contains("open sesame"));
}

#[test]
fn a_later_stage_points_into_a_quoted_text() {
    let sources = loaded().sources;
    let path = ConfigPath::from("routes[0].match.path");
    let shown = sources.diagnostic_within(&path, 7, "params has no \"id\"").to_string();
    assert_eq!(
        shown,
        "gateway.yaml:16:28: routes[0].match.path: params has no \"id\"\n   16 |     match: { path: \"/users/{id}\" }\n      |                            ^"
    );
}

#[test]
fn a_later_stage_points_into_a_block_text() {
    let sources = loaded().sources;
    let path = ConfigPath::root().key("routes").index(1).key("respond").key("body");
    let offset = "first ${params.id}\nsecond ${params.".len();
    let shown = sources.diagnostic_within(&path, offset, "no \"nope\"");
    assert_eq!((shown.place().line, shown.place().column), (28, 25));
}

#[test]
fn where_the_text_was_changed_the_caret_stands_at_its_beginning() {
    let sources = loaded().sources;
    let path = ConfigPath::from("routes[1].respond.headers.x-upstream");
    let shown = sources.diagnostic_within(&path, 6, "port 9001 is wrong");
    assert_eq!((shown.place().line, shown.place().column), (25, 51));
    assert!(!shown.to_string().contains("9001"), "{shown}");
}

#[test]
fn what_the_file_leaves_out_is_shown_at_what_is_around_it() {
    let sources = loaded().sources;
    let path = ConfigPath::from("routes[0].timeouts.idle");
    assert_eq!(sources.place(&path), None);
    assert_eq!(sources.diagnostic(&path, "too long").place().line, 15);
}

#[test]
fn a_second_place_stands_below_the_caret() {
    let sources = loaded().sources;
    let first = sources.place(&"routes[0]".into()).unwrap();
    let shown =
        sources.diagnostic_at_key(&"routes[1].match".into(), "overlaps").with_place("first defined here", &first);
    assert!(
        shown
            .to_string()
            .ends_with("   23 |     match: {}\n      |     ^^^^^\n      = first defined here: gateway.yaml:15:5"),
        "{shown}"
    );
}

#[test]
fn included_files_are_united_and_keep_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    let main = "version: 1\ninclude: [\"parts/*.yaml\"]\nlisteners: [{ name: public, bind: \"0.0.0.0:80\" }]\nroutes:\n  - { name: main, match: {}, public: true, upstream: users }\n";
    fs::create_dir(folder.path().join("parts")).unwrap();
    fs::write(&path, main).unwrap();
    fs::write(folder.path().join("parts/a.yaml"), "upstreams: { users: { targets: [\"u:1\"] } }\n").unwrap();
    fs::write(
        folder.path().join("parts/b.yaml"),
        "consumers:\n  - { name: ada, keys: [\"file:ada.key\"] }\nroutes:\n  - { name: part, match: {}, public: true, upstream: users }\n",
    )
    .unwrap();
    fs::write(folder.path().join("parts/ada.key"), "secret\n").unwrap();
    let loaded = load(&path, &catalog(), &env).map_err(|errors| errors.to_string()).unwrap();
    let names: Vec<&str> = loaded.config.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["main", "part"]);
    // A relative secret counts from the file that names it.
    assert_eq!(loaded.config.consumers[0].keys[0].expose(), "secret");
    assert_eq!(loaded.sources.paths().count(), 3);
    // The whole counts two routes, the part counts one.
    let shown = loaded.sources.diagnostic(&"routes[1].upstream".into(), "x");
    assert_eq!((shown.path().to_string().as_str(), shown.place().line), ("routes[1].upstream", 4));
    assert!(shown.headline().contains("parts/b.yaml:4:54: routes[0].upstream: x"), "{shown}");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_without_a_place() {
    let errors = load(Path::new("/no/such/gateway.yaml"), &catalog(), &env).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "/no/such/gateway.yaml: cannot read the file: no such file\n\n1 error in /no/such/gateway.yaml"
    );
}

#[test]
fn a_file_that_is_too_large_or_not_utf8_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    fs::write(&path, vec![b'#'; 8 * 1024 * 1024 + 1]).unwrap();
    assert!(load(&path, &catalog(), &env).unwrap_err().to_string().contains("larger than 8 MiB"));
    fs::write(&path, b"version: 1\nx: \xff\n").unwrap();
    assert!(load(&path, &catalog(), &env).unwrap_err().to_string().contains("first wrong byte in line 2"));
}

#[test]
fn only_the_first_hundred_errors_are_printed() {
    let keys = (0..150).map(|n| format!("key-{n}: 1")).collect::<Vec<_>>().join("\n");
    let errors = load_str("gateway.yaml", &keys, &catalog(), &env).unwrap_err();
    let shown = errors.to_string();
    assert!(shown.contains("… and 51 more") && shown.ends_with("151 errors in gateway.yaml"), "{shown}");
}

#[test]
fn an_aliased_mistake_is_reported_once() {
    let text =
        FILE.replace("    upstream: users\n", "    upstream: users\n    timeout: &t 5\n    timeouts: { idle: *t }\n");
    let errors = load_str("gateway.yaml", &text, &catalog(), &env).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors}");
}

#[test]
fn a_file_cannot_steer_the_terminal() {
    let errors = load_str("gateway.yaml", "version: \"\u{1b}[2J\\e[2J\"\n", &catalog(), &env).unwrap_err();
    assert!(!errors.to_string().contains('\u{1b}'), "{errors:?}");
}

#[test]
fn ten_thousand_routes_load() {
    use std::fmt::Write as _;
    let mut text = FILE.to_owned().replace("consumers:\n  - { name: ada, keys: [\"env:ADA_KEY\"] }\n", "");
    for n in 0..10_000 {
        let _ok = writeln!(
            text,
            "  - {{ name: r{n}, match: {{ path: /r{n} }}, plugins: [{{ use: inner }}], upstream: users }}"
        );
    }
    let loaded = load_str("gateway.yaml", &text, &catalog(), &env).map_err(|errors| errors.to_string()).unwrap();
    assert_eq!(loaded.config.routes.len(), 10_002);
}

#[test]
fn ten_thousand_tiers_load_and_a_tower_or_a_ring_of_them_is_refused_at_once() {
    use std::fmt::Write as _;
    let with = |tier: &dyn Fn(u32) -> String| {
        let mut text = format!("{FILE}tiers:\n");
        for n in 0..10_000 {
            let _ok = writeln!(text, "  t{n}: {}", tier(n));
        }
        load_str("gateway.yaml", &text, &catalog(), &env).map_err(|errors| errors.to_string())
    };
    // All of them stand on the last one.
    let broad = with(&|n| if n == 9_999 { "{ rate: 1/s }".into() } else { "{ extends: t9999 }".into() });
    let tiers = crate::Tier::resolve_all(&broad.unwrap().config.tiers);
    assert_eq!(tiers.values().filter(|tier| tier.rate.len() == 1).count(), 10_000);
    let tower = with(&|n| if n == 0 { "{ rate: 1/s }".into() } else { format!("{{ extends: t{} }}", n - 1) });
    let tower = tower.err().unwrap();
    assert!(tower.contains("tiers.t16.extends: tiers build on each other more than 16 deep"), "{tower}");
    assert!(tower.ends_with("1 error in gateway.yaml"), "{tower}");
    let ring = with(&|n| format!("{{ extends: t{}, rate: 1/s }}", (n + 1) % 10_000)).err().unwrap();
    assert!(ring.contains("tiers.t0.extends: these tiers build on each other in a circle"), "{ring}");
}
