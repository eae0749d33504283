//! Secrets: planted wherever a file can hold one, and looked for in all that the gateway shows.

use std::path::Path;

use portreeve_tests::{Process, Wire};

const PROGRAM: &str = env!("CARGO_BIN_EXE_portreeve-under-test");

/// Every secret has this in it.
const CANARY: &str = "canary";

/// Secrets that come from the environment.
fn environment() -> Vec<(String, String)> {
    let secrets = [
        ("C_ADMIN", "canary-admin-token"),
        ("C_KEY", "canary-key-of-ada"),
        ("C_STICKY", "canary-sticky-key-0123456789"),
        ("C_JWT", "canary-jwt-secret-0123456789-0123456789"),
        ("C_REDIS", "canary-redis-password"),
        ("C_HEADER", "canary-header"),
        ("C_JWKS", "http://127.0.0.1:1/jwks.json?sig=canary-sig"),
        ("C_REDIS_URL", "redis://:canary-redis-in-url@127.0.0.1:1"),
        ("C_JWKS_URL", "https://canary-user:canary-password@127.0.0.1:1/jwks.json"),
    ];
    secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

const GOOD: &str = r#"version: 1
listeners: [{ name: public, bind: "127.0.0.1:0" }]
admin: { bind: "127.0.0.1:0", token: "env:C_ADMIN" }
consumers: [{ name: ada, keys: ["env:C_KEY", "file:key"] }]
upstreams:
  private-api: { targets: ["127.0.0.1:1"], sticky: { cookie: visible-cookie, key: "env:C_STICKY" } }
chains:
  with-token:
    - jwt: { algorithms: [HS256], keys: [{ secret: "env:C_JWT", kid: visible-kid }, { secret: "file:jwt" }] }
routes:
  - name: keys
    match: { path: /keys }
    plugins:
      - key-auth
      - headers: { request: { set: { authorization: "Basic canary-basic", cookie: "sid=canary-cookie", x-env: "${env.C_HEADER}" } } }
      - rate-limit: { by: "${consumer.id}", limit: { rate: 9/s }, store: { redis: { url: "redis://127.0.0.1:1/0", password: "env:C_REDIS" } } }
    upstream: private-api
  - { name: token, match: { path: /token }, plugins: [use: with-token], upstream: private-api }
  - name: fetched
    match: { path: /fetched }
    plugins: [jwt: { algorithms: [RS256], jwks: { url: "http://127.0.0.1:1/jwks.json?key=canary-query", refresh: 1s } }]
    upstream: private-api
  - name: fetched-too
    match: { path: /fetched-too }
    plugins: [jwt: { algorithms: [RS256], jwks: { url: "${env.C_JWKS}", refresh: 1s } }]
    upstream: private-api
"#;

/// What people write where it does not belong, in the place of a line of the good file.
const WRONG: [(&str, &str); 13] = [
    ("redis://127.0.0.1:1/0", "redis://:canary-pw@127.0.0.1:1/0"),
    ("redis://127.0.0.1:1/0", "redis://:canary/pw@127.0.0.1:1/0"),
    (r#""redis://127.0.0.1:1/0""#, r#""${env.C_REDIS_URL}""#),
    (r#"url: "redis://127.0.0.1:1/0""#, r#"urls: "redis://u:canary-pw@127.0.0.1:1/0""#),
    (r#"url: "redis://127.0.0.1:1/0""#, r#"cluster: ["redis://u:canary-pw@127.0.0.1:1/0"]"#),
    (r#"url: "redis://127.0.0.1:1/0""#, r#"sentinel: { master: m, urls: ["redis://u:canary-pw@127.0.0.1:1"] }"#),
    (r#"password: "env:C_REDIS""#, "password: canary-literal"),
    (r#"password: "env:C_REDIS""#, "passwd: canary-literal"),
    (r#""http://127.0.0.1:1/jwks.json?key=canary-query""#, r#""https://canary-user@127.0.0.1:1/jwks.json""#),
    (r#""http://127.0.0.1:1/jwks.json?key=canary-query""#, r#""${env.C_JWKS_URL}""#),
    (r#"token: "env:C_ADMIN""#, "token: canary-token"),
    (r#"targets: ["127.0.0.1:1"]"#, r#"targets: ["http://u:canary-pw@127.0.0.1:1"]"#),
    (r#""redis://127.0.0.1:1/0", password"#, r#"redis://:canary-pw@127.0.0.1:1/0" }, password"#),
];

fn clean(what: &str, shown: &str) {
    let told = shown.lines().find(|line| line.contains(CANARY));
    assert!(told.is_none(), "{what} shows a secret: {told:?}");
}

async fn run(file: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["-c", file.to_str().unwrap()]).collect();
    let exit = Process::start_with(PROGRAM, &arguments, &environment()).exit().await;
    (exit.code, format!("{}\n{}", exit.out, exit.log))
}

async fn ask(admin: std::net::SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut wire = Wire::connect(admin).await;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer canary-admin-token\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    wire.send(head).await;
    let answer = wire.answer().await;
    (answer.status, answer.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_no_command_no_line_and_no_error_shows_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "canary-key-in-a-file").unwrap();
    std::fs::write(folder.path().join("jwt"), "canary-jwt-in-a-file-0123456789-0123456789").unwrap();
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, GOOD).unwrap();
    let path = file.to_str().unwrap();
    let gateway = Process::start_with(PROGRAM, &["run", "--no-watch", "-c", path], &environment());
    let admin = gateway.admin().await;
    for page in [
        "/",
        "/metrics",
        "/api/v1/status",
        "/api/v1/config",
        "/api/v1/routes",
        "/api/v1/upstreams",
        "/api/v1/consumers",
        "/api/v1/usage",
        "/api/v1/plugins",
    ] {
        let (status, shown) = ask(admin, "GET", page).await;
        assert!(status == 200 || status == 404, "{page}: {status}");
        clean(page, &shown);
        if page == "/api/v1/config" {
            // What is no secret is shown, whatever its key sounds like.
            for plain in [
                "visible-cookie",
                "visible-kid",
                "env:C_STICKY",
                "env:C_JWT",
                "file:key",
                "${env.C_HEADER}",
                "${env.C_JWKS}",
                "redis://127.0.0.1:1/0",
                "http://127.0.0.1:1/jwks.json?key=***",
                "\"127.0.0.1:1\"",
                "HS256",
            ] {
                assert!(shown.contains(plain), "{plain} is not shown: {shown}");
            }
        }
    }
    // Fetches fail, and are told.
    for _ in 0..2 {
        gateway.event(|event| event["message"] == "Key set not fetched.").await;
    }
    for command in ["check", "routes", "plugins", "schema"] {
        let (code, shown) = run(&file, &[command]).await;
        assert!(code == Some(0) || command != "check", "{shown}");
        clean(command, &shown);
    }
    for (right, wrong) in WRONG {
        let broken = GOOD.replace(right, wrong);
        assert_ne!(broken, GOOD, "{right} is not in the file");
        std::fs::write(&file, broken).unwrap();
        let (status, shown) = ask(admin, "POST", "/api/v1/reload").await;
        assert_eq!(status, 422, "{wrong}: {shown}");
        assert!(shown.contains("gateway.yaml:"), "{wrong}: {shown}");
        clean(&format!("the refusal of {wrong}"), &shown);
        for page in ["/api/v1/status", "/api/v1/config"] {
            clean(page, &ask(admin, "GET", page).await.1);
        }
        let (code, shown) = run(&file, &["check"]).await;
        assert_eq!(code, Some(2), "{wrong}: {shown}");
        clean(&format!("check of {wrong}"), &shown);
    }
    gateway.signal("TERM").await;
    let exit = gateway.exit().await;
    clean("the log", &exit.log);
    clean("standard output", &exit.out);
}
