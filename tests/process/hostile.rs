//! Files that are wrong, or only large, on purpose: checking one ends soon and takes no more memory than any gateway has, since
//! the gateway that serves is the one that reads them.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_portreeve-under-test");

/// What checking a file of a megabyte may take.
const MEMORY: u64 = 256 << 20;
/// Generous: a build without optimisation, beside other tests on two cores. Without bounds it is minutes.
const SOON: Duration = Duration::from_mins(1);

const HEAD: &str = "version: 1\nlisteners: [{ name: public, bind: '127.0.0.1:0' }]\n";

/// What checking came to.
struct Checked {
    status: Option<i32>,
    told: String,
    took: Duration,
    /// The most memory it had, in bytes, looked at every two milliseconds.
    memory: u64,
}

fn check(yaml: &str, more: &[(&str, &str)]) -> Checked {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, yaml).unwrap();
    for (name, text) in more {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let told = folder.path().join("told");
    let begun = Instant::now();
    let mut child = Command::new(PROGRAM)
        .args(["check", "-c", path.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&told).unwrap())
        .spawn()
        .unwrap();
    let mut memory = 0;
    let status = loop {
        memory = memory.max(peak(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
        if begun.elapsed() > SOON || memory > 4 * MEMORY {
            child.kill().unwrap();
        }
    };
    Checked { status: status.code(), told: std::fs::read_to_string(&told).unwrap(), took: begun.elapsed(), memory }
}

/// The most memory that a process has had so far, in bytes.
fn peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[track_caller]
fn is_bounded(name: &str, yaml: &str) -> Checked {
    let checked = check(yaml, &[]);
    let Checked { status, told, took, memory } = &checked;
    let shown: String = told.chars().take(2_000).collect();
    assert!(matches!(status, Some(0 | 2)), "{name}: {status:?} after {took:?}, {} MiB\n{shown}", memory >> 20);
    assert!(*memory <= MEMORY, "{name}: {} MiB, {} KiB of file\n{shown}", memory >> 20, yaml.len() >> 10);
    assert!(told.len() < 400_000, "{name}: {} KiB are told", told.len() >> 10);
    println!("{name}: {} KiB, {took:?}, {} MiB, {status:?}", yaml.len() >> 10, memory >> 20);
    checked
}

/// `count` texts, one after the other.
fn many(count: usize, of: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut all, n| {
        write!(all, "{}", of(n)).unwrap();
        all
    })
}

#[test]
fn six_thousand_typos_in_one_line_are_told_as_a_hundred_and_a_count() {
    let routes = many(6_000, |n| {
        format!("{{ name: r{n}, mach: {{ path: /a/{n} }}, public: true, upstraem: users, respnd: {{ x: 1 }} }}, ")
    });
    let checked = is_bounded("typos", &format!("{HEAD}routes: [{routes}]\n"));
    assert_eq!(checked.status, Some(2));
    assert!(checked.told.contains("and ") && checked.told.contains(" more errors"), "{}", checked.told);
    let lines: Vec<&str> = checked.told.lines().collect();
    assert!(lines.iter().all(|line| line.chars().count() < 400), "a line is cut around what it is about");
    assert_eq!(lines.iter().filter(|line| line.contains("unknown key")).count(), 100);
}

#[test]
fn broken_files_of_a_megabyte_are_bounded() {
    let keys = many(100_000, |n| format!("  key{n}: {n}\n"));
    is_bounded("unknown keys", &format!("{HEAD}admin:\n{keys}"));
    is_bounded("unknown keys at the top", &format!("{HEAD}{}", many(100_000, |n| format!("key{n}: 1\n"))));
    is_bounded(
        "unknown plugins",
        &format!("{HEAD}chains: {{ a: [{}] }}\n", many(100_000, |n| format!("request-i{n}, "))),
    );
    is_bounded(
        "one step of many",
        &format!("{HEAD}chains: {{ a: [{{{}}}] }}\n", many(90_000, |n| format!("jwt{n}: 1, "))),
    );
    is_bounded("the same key", &format!("{HEAD}{}", many(100_000, |_| "routes: [1]\n".to_owned())));
    is_bounded("nested lists", &format!("{HEAD}routes: {}", "[".repeat(1_000_000)));
    is_bounded("nested maps", &format!("{HEAD}routes: {}", "{a: ".repeat(250_000)));
    is_bounded("nested blocks", &format!("{HEAD}routes:\n{}", many(1_400, |n| format!("{}- \n", " ".repeat(n)))));
    is_bounded("a quote that is never closed", &format!("{HEAD}routes: [\"{}", "x ".repeat(500_000)));
    is_bounded("a long key", &format!("{HEAD}{}: 1\n", "k".repeat(1_000_000)));
    is_bounded("a long line of nothing", &format!("{HEAD}routes: [{}}}", "~, ".repeat(330_000)));
    is_bounded("only line breaks", &format!("{HEAD}{}x", "\n".repeat(1_000_000)));
    let secrets = many(30_000, |n| format!("{{ name: c{n}, keys: [hunter{n}] }}, "));
    let told = is_bounded("literal secrets in one line", &format!("{HEAD}consumers: [{secrets}]\n")).told;
    assert!(!told.contains("hunter"), "{told}");
    let routes = many(10_000, |n| {
        format!(
            "  - {{ name: r{n}, match: {{ path: /a/{n} }}, public: true, upstream: servise-with-a-long-name-{n} }}\n"
        )
    });
    let upstreams = many(9_000, |n| format!("  service-with-a-long-name-{n}-x: {{ targets: ['127.0.0.1:1'] }}\n"));
    is_bounded("unknown names", &format!("{HEAD}upstreams:\n{upstreams}routes:\n{routes}"));
}

#[test]
fn what_builds_on_each_other_is_bounded() {
    let tiers = many(20_000, |n| format!("  t{n}: {{ extends: t{}, rate: 1/s }}\n", n + 1));
    is_bounded("a tower of tiers", &format!("{HEAD}tiers:\n{tiers}  t20000: {{ rate: 1/s }}\n"));
    let ring = many(20_000, |n| format!("  t{n}: {{ extends: t{} }}\n", (n + 1) % 20_000));
    is_bounded("a ring of tiers", &format!("{HEAD}tiers:\n{ring}"));
    let down = many(20_000, |n| format!("  c{n}: [{{ use: c{} }}]\n", n + 1));
    is_bounded("a tower of chains", &format!("{HEAD}chains:\n{down}  c20000: [request-id]\n"));
    let up = many(20_000, |n| format!("  c{}: [{{ use: c{n} }}]\n", n + 1));
    is_bounded("a tower of chains from below", &format!("{HEAD}chains:\n  c0: [request-id]\n{up}"));
    let ring = many(20_000, |n| format!("  c{n}: [{{ use: c{} }}]\n", (n + 1) % 20_000));
    is_bounded("a ring of chains", &format!("{HEAD}chains:\n{ring}"));
    let twice = many(30, |n| format!("  c{n}: [{{ use: c{0} }}, {{ use: c{0} }}]\n", n + 1));
    let routes = many(5_000, |n| {
        format!(
            "  - {{ name: r{n}, match: {{ path: /{n} }}, public: true, plugins: [use: c0], respond: {{ status: 200 }} }}\n"
        )
    });
    is_bounded("chains twice each", &format!("{HEAD}chains:\n{twice}  c30: [request-id]\nroutes:\n{routes}"));
}

#[test]
fn aliases_are_bounded() {
    let ten = |name: &str, of: &str| format!("{name}: &{name} [{}]\n", vec![format!("*{of}"); 10].join(", "));
    let mut yaml = format!("{HEAD}a: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (name, before) in "bcdefghi".chars().zip("abcdefgh".chars()) {
        yaml.push_str(&ten(&name.to_string(), &before.to_string()));
    }
    is_bounded("an alias bomb", &yaml);
    // Templates that are written once and stand half a million times.
    let leaf = format!("&l [{}]", vec!["'${params.id}'"; 300].join(", "));
    let body = format!("[{leaf}, {}]", vec!["*l"; 1_400].join(", "));
    let route = |body: &str| {
        format!(
            "{HEAD}upstreams: {{ u: {{ targets: ['127.0.0.1:1'] }} }}\nroutes:\n  - name: r\n    match: {{ path: '/{{id}}' }}\n    public: true\n    plugins:\n      - aggregate:\n          calls: {{ a: {{ upstream: u, path: / }} }}\n          body: {body}\n"
        )
    };
    is_bounded("templates by alias", &route(&body));
    let deep = format!("{}{body}{}", "[".repeat(50), "]".repeat(50));
    is_bounded("deep templates by alias", &route(&deep));
    let wide = format!("[{}]", vec!["'${params.id}'"; 65_000].join(", "));
    is_bounded("many templates", &route(&wide));
    is_bounded("one long template", &route(&format!("'{}'", "${params.id}".repeat(80_000))));
}

#[test]
fn many_routes_are_bounded() {
    let routes = |count: usize, path: &dyn Fn(usize) -> String| {
        many(count, |n| {
            let path = path(n);
            format!("  - {{ name: r{n}, match: {{ path: '{path}' }}, public: true, respond: {{ status: 200 }} }}\n")
        })
    };
    is_bounded("ten thousand routes", &format!("{HEAD}routes:\n{}", routes(10_000, &|n| format!("/a{n}/{{id}}/**"))));
    is_bounded(
        "ten thousand routes with one path",
        &format!("{HEAD}routes:\n{}", routes(10_000, &|_| "/a".to_owned())),
    );
    is_bounded(
        "expressions",
        &format!("{HEAD}routes:\n{}", routes(500, &|n| format!("regex:^/(items-{n}-|a{n}-)[0-9]+$"))),
    );
    is_bounded(
        "large expressions",
        &format!("{HEAD}routes:\n{}", routes(10_000, &|n| format!("regex:/x{n}\\pL{{9}}"))),
    );
    is_bounded("expressions alike", &format!("{HEAD}routes:\n{}", routes(8_000, &|n| format!("regex:/.*[ab]{n}"))));
    let headers = many(9_000, |n| {
        format!(
            "  - {{ name: r{n}, match: {{ path: /a, headers: {{ x: {{ prefix: '{n:05}' }} }} }}, public: true, respond: {{ status: 200 }} }}\n"
        )
    });
    is_bounded("routes that differ in a header", &format!("{HEAD}routes:\n{headers}"));
    let upstreams = many(15_000, |n| format!("  u{n}: {{ targets: ['10.0.0.1:{}'] }}\n", 1 + n % 65_000));
    is_bounded("many upstreams", &format!("{HEAD}upstreams:\n{upstreams}"));
    let steps = many(20_000, |n| format!("      - {{ request-id: {{}}, name: s{n} }}\n"));
    is_bounded("a long chain that nobody uses", &format!("{HEAD}chains:\n    a:\n{steps}"));
    let consumers = many(15_000, |n| format!("  - {{ name: c{n}, tier: free, groups: [a, b] }}\n"));
    is_bounded("many consumers", &format!("{HEAD}tiers: {{ free: {{ rate: 1/s }} }}\nconsumers:\n{consumers}"));
}

#[test]
fn many_regular_expressions_are_bounded_wherever_they_stand() {
    let route = |n: usize, rest: &str| {
        format!("  - {{ name: r{n}, match: {{ path: /{n} }}, public: true, respond: {{ status: 200 }}, {rest} }}\n")
    };
    // Each fits what others fit, and is a little different.
    let overlapping = |n: usize| format!("(a|b|.*[ab]{{0,{}}})x{n}", n % 100);
    let large = |n: usize| format!(r"x{n}\pL{{5}}");
    for (kind, pattern) in [("overlapping", &overlapping as &dyn Fn(usize) -> String), ("large", &large)] {
        let when = |n: usize| format!("when: 'request.host matches ''{}'''", pattern(n));
        let shapes: [(&str, &dyn Fn(usize) -> String); 3] = [
            ("when", &|n| format!("plugins: [{{ request-id: {{}}, {} }}]", when(n))),
            ("when of use", &|n| format!("plugins: [{{ use: c, {} }}]", when(n))),
            ("settings", &|n| format!("plugins: [rewrite: {{ regex: {{ match: '{}', to: /x }} }}]", pattern(n))),
        ];
        for (name, of) in shapes {
            let routes = many(8_000, |n| route(n, &of(n)));
            let yaml = format!("{HEAD}chains: {{ c: [request-id] }}\nroutes:\n{routes}");
            is_bounded(&format!("{kind} expressions in {name}"), &yaml);
        }
        // Those of one path have to be told apart.
        let matching = |n: usize, of: String| {
            format!("  - {{ name: r{n}, match: {{ path: /a, {of} }}, public: true, respond: {{ status: 200 }} }}\n")
        };
        let ifs = many(8_000, |n| matching(n, format!("if: 'request.headers.x matches ''{}'''", pattern(n))));
        is_bounded(&format!("{kind} expressions in if"), &format!("{HEAD}routes:\n{ifs}"));
        let headers = many(8_000, |n| matching(n, format!("headers: {{ x: {{ regex: '{}' }} }}", pattern(n))));
        is_bounded(&format!("{kind} expressions of headers"), &format!("{HEAD}routes:\n{headers}"));
        let health = |n| format!("health: {{ http: /, expect: {{ body: 'regex:{}' }} }}", pattern(n));
        let upstreams = many(8_000, |n| format!("  u{n}: {{ targets: ['127.0.0.1:1'], {} }}\n", health(n)));
        is_bounded(&format!("{kind} expressions in checks"), &format!("{HEAD}upstreams:\n{upstreams}"));
    }
    // As much as fits into one condition, again and again.
    let long = r"request.host matches ''\pL{5}'' or ".repeat(100) + "true";
    let routes = many(250, |n| route(n, &format!("plugins: [{{ request-id: {{}}, when: '{long}' }}]")));
    is_bounded("long conditions", &format!("{HEAD}routes:\n{routes}"));
    let steps = r"{ request-id: {}, when: 'request.host matches ''\pL{5}''' }, ".repeat(60);
    let ways = many(5_000, |n| route(n, &format!("plugins: [{{ use: c, when: 'request.host matches ''a{n}+''' }}]")));
    is_bounded("ways to a chain with conditions", &format!("{HEAD}chains: {{ c: [{steps}] }}\nroutes:\n{ways}"));
}

#[test]
fn a_broken_file_of_targets_is_bounded_where_it_is_read_again_and_again() {
    let targets = many(20_000, |n| format!("{{ adress: 10.0.0.{n} }}, "));
    let yaml = format!("{HEAD}upstreams: {{ u: {{ discover: {{ file: targets.yaml }} }} }}\n");
    let checked = check(&yaml, &[("targets.yaml", &format!("[{targets}]"))]);
    assert!(matches!(checked.status, Some(0 | 2)) && checked.memory <= MEMORY, "{} MiB", checked.memory >> 20);
    assert!(checked.told.len() < 100_000, "{}", checked.told.len());
}

#[test]
fn files_that_are_too_large_are_refused_by_name() {
    let large = format!("routes: [{}]\n", "'x', ".repeat(2_000_000));
    let checked = check(&format!("{HEAD}{large}"), &[]);
    assert_eq!(checked.status, Some(2));
    assert!(checked.told.contains("gateway.yaml: the file is larger than 8 MiB"), "{}", checked.told);
    // Each is small enough, and all together are not.
    let part = format!("# {}\nroutes: []\n", "x".repeat(7 << 20));
    let parts = ["a.yaml", "b.yaml", "c.yaml", "d.yaml", "e.yaml"].map(|name| (name, part.as_str()));
    let checked = check(&format!("{HEAD}include: [a.yaml, b.yaml, c.yaml, d.yaml, e.yaml]\n"), &parts);
    assert!(checked.told.contains("larger than 32 MiB together"), "{}", checked.told);
    assert!(checked.memory <= MEMORY, "{} MiB", checked.memory >> 20);
}
