//! Both logs: nobody waits for whoever reads them, no stranger can fill them, and what they tell is enough.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portreeve_tests::{Authority, Beat, Certificates, Origin, Process, Wire, at, log_line, until, within};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::pipe::fcntl_setpipe_size;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

const PROGRAM: &str = env!("CARGO_BIN_EXE_portreeve-under-test");
const HEAD: &str = "version: 1\nlisteners: [{ name: public, bind: '127.0.0.1:0' }]\nadmin: { bind: '127.0.0.1:0' }\n";
const OK: &str = "routes: [{ name: all, match: { path: '/**' }, public: true, respond: { status: 200, body: ok } }]\n";
const QUIET: &str = "access_log: { to: off }\n";

fn file(yaml: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, yaml).unwrap();
    (folder, path)
}

fn run(path: &Path) -> Process {
    Process::start(PROGRAM, &arguments(path))
}

fn arguments(path: &Path) -> [&str; 10] {
    let path = path.to_str().unwrap();
    ["run", "--no-watch", "--workers", "2", "--grace", "0s", "--drain", "5s", "-c", path]
}

async fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut wire = Wire::connect(address).await;
    wire.send(format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")).await;
    let answer = wire.answer().await;
    (answer.status, answer.text())
}

async fn metric(admin: SocketAddr, name: &str) -> f64 {
    let (_, text) = ask(admin, "GET", "/metrics").await;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name}"))
}

/// A gateway whose logs nobody reads any more, once it has said where it listens.
struct Unread {
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
    // Held open, and never read.
    _log: std::io::PipeReader,
    _out: std::io::PipeReader,
}

impl Unread {
    fn start(path: &Path) -> Self {
        let ((mut log, to_log), (out, to_out)) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        // As small as they can be: full at once.
        for pipe in [&to_log, &to_out] {
            fcntl_setpipe_size(pipe, 4096).unwrap();
        }
        let mut command = Command::new(PROGRAM);
        command.args(arguments(path)).stdout(to_out).stderr(to_log).kill_on_drop(true);
        let child = command.env_remove("PORTREEVE_LOG").spawn().unwrap();
        drop(command);
        let mut text = String::new();
        let said = |text: &str, message: &str| {
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let line = whole.map(log_line).find(|line| line["message"] == message)?;
            line["address"].as_str().unwrap().parse().ok()
        };
        loop {
            let mut some = [0; 512];
            let read = log.read(&mut some).unwrap();
            assert!(read > 0, "it ended: {text}");
            text.push_str(std::str::from_utf8(&some[..read]).unwrap());
            if let (Some(public), Some(admin)) = (said(&text, "Listening."), said(&text, "The admin port is open.")) {
                return Self { child, public, admin, _log: log, _out: out };
            }
        }
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Stops it, and says how long that took.
    async fn stop(mut self) -> Duration {
        let begun = Instant::now();
        self.signal("TERM").await;
        let status = within("the end of the process", self.child.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0));
        begun.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_operators_log_that_stalls_stops_neither_serving_nor_reloads_nor_stopping() {
    let (_folder, path) = file(&format!("{HEAD}{QUIET}{OK}"));
    let gateway = Unread::start(&path);
    // Each is a line of some two hundred bytes: the pipe is full, and whoever writes into it stands still.
    for generation in 2..42 {
        gateway.signal("HUP").await;
        let name = "portreeve_config_generation";
        until("the reload", async || (metric(gateway.admin, name).await >= f64::from(generation)).then_some(())).await;
    }
    for _ in 0..20 {
        assert_eq!(ask(gateway.public, "GET", "/").await, (200, "ok".to_owned()));
    }
    // One second for the last words, which nobody hears.
    let took = gateway.stop().await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_access_log_that_stalls_stops_neither_serving_nor_signals_and_what_is_lost_is_counted() {
    let (_folder, path) = file(&format!("{HEAD}{OK}"));
    let gateway = Unread::start(&path);
    let long = format!("/{}", "x".repeat(7_000));
    let dropped = "portreeve_access_log_dropped_total";
    // Until the queue is full, and far beyond.
    until("lines are dropped", async || {
        for _ in 0..50 {
            assert_eq!(ask(gateway.public, "GET", &long).await.0, 200);
        }
        (metric(gateway.admin, dropped).await > 100.0).then_some(())
    })
    .await;
    // Opening the log anew waits for nobody either.
    gateway.signal("HUP").await;
    let name = "portreeve_config_generation";
    until("the reload", async || (metric(gateway.admin, name).await >= 2.0).then_some(())).await;
    assert_eq!(ask(gateway.public, "GET", "/").await.0, 200);
    let took = gateway.stop().await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_became_a_pipe_is_refused_a_later_reload_follows_and_signals_are_heard() {
    let (folder, path) = file(&format!("{HEAD}{QUIET}include: [part.yaml]\n"));
    let part = folder.path().join("part.yaml");
    std::fs::write(&part, OK).unwrap();
    let gateway = run(&path);
    let public = gateway.listener("public").await;
    std::fs::remove_file(&part).unwrap();
    mknodat(CWD, &part, FileType::Fifo, Mode::RWXU, 0).unwrap();
    gateway.signal("HUP").await;
    let refused = gateway.event(|event| event["level"] == "ERROR").await;
    assert!(refused["error"].as_str().unwrap().contains("it is a named pipe, and not a regular file"), "{refused}");
    std::fs::remove_file(&part).unwrap();
    std::fs::write(&part, OK.replace("body: ok", "body: new")).unwrap();
    gateway.signal("HUP").await;
    until("the file is in effect", async || (ask(public, "GET", "/").await.1 == "new").then_some(())).await;
    gateway.signal("TERM").await;
    assert_eq!(gateway.exit().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_takes_its_time_hears_that_it_is_to_stop() {
    // Nobody answers the first check, which a start waits for.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = silent.local_addr().unwrap();
    let (_folder, path) = file(&format!(
        "{HEAD}{QUIET}upstreams: {{ a: {{ targets: ['{target}'], health: {{ http: /, timeout: 9s, interval: 9s }} }} }}\nroutes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: a }}]\n"
    ));
    let gateway = run(&path);
    let (mut check, _) = tokio::task::spawn_blocking(move || silent.accept().unwrap()).await.unwrap();
    gateway.signal("TERM").await;
    let begun = Instant::now();
    let exit = gateway.exit().await;
    assert!(exit.code == Some(0) && begun.elapsed() < Duration::from_secs(6), "{exit:?}");
    check.read_to_end(&mut Vec::new()).ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_reload_changes_is_told_by_name_and_new_listeners_are_told() {
    let (folder, path) = file(&format!("{HEAD}{QUIET}{OK}"));
    let gateway = run(&path);
    gateway.listener("public").await;
    let more = "{ name: more, match: { path: /more }, public: true, upstream: a }";
    let yaml = format!("{HEAD}{QUIET}{OK}upstreams: {{ a: {{ targets: ['127.0.0.1:1'] }} }}\n")
        .replace("'127.0.0.1:0' }]", "'127.0.0.1:0' }, { name: second, bind: '127.0.0.1:0' }]")
        .replace("body: ok } }", &format!("body: new }} }}, {more}"));
    std::fs::write(folder.path().join("gateway.yaml"), yaml).unwrap();
    gateway.signal("HUP").await;
    let told = gateway.event(|event| event["generation"] == 2).await;
    for (field, value) in [
        ("listeners_added", "second"),
        ("routes_added", "more"),
        ("routes_changed", "all"),
        ("upstreams_added", "a"),
        ("reason", "signal"),
    ] {
        assert_eq!(told[field], value, "{told}");
    }
    assert!(told.get("routes_removed").is_none(), "{told}");
    let second = gateway.listener("second").await;
    assert_eq!(ask(second, "GET", "/").await.1, "new");
    std::fs::write(folder.path().join("gateway.yaml"), format!("{HEAD}{QUIET}{OK}")).unwrap();
    gateway.signal("HUP").await;
    let told = gateway.event(|event| event["message"] == "No longer listening.").await;
    assert_eq!((&told["listener"], &told["address"]), (&"second".into(), &second.to_string().into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_operators_orders_name_upstream_and_target() {
    let a = Origin::start("a").await.playing(|_| vec![Beat::answer(500, &[], "")]);
    let routes = "upstreams: { a: { targets: ['@a'], health: { http: /up, interval: 1s } } }\nroutes: [{ name: all, match: { path: '/**' }, public: true, upstream: a }]\n";
    let (_folder, path) = file(&at(&[&a], &format!("{HEAD}{QUIET}{routes}")));
    let gateway = run(&path);
    let admin = gateway.admin().await;
    let names = |event: &Value| {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        (text("upstream"), text("target"))
    };
    let wanted = ("a".to_owned(), a.address().to_string());
    let health = gateway.event(|event| event["message"].as_str().is_some_and(|text| text.contains("check"))).await;
    assert_eq!(names(&health), wanted, "{health}");
    let order = format!("/api/v1/upstreams/a/targets/{}/drain", a.address());
    assert_eq!(ask(admin, "POST", &order).await.0, 200);
    let order = gateway.event(|event| event["message"] == "An operator's order takes effect.").await;
    assert_eq!((names(&order), &order["module"]), (wanted, &"portreeve_upstream::status".into()), "{order}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_taken_is_a_line_of_the_log() {
    let (_folder, path) = file(&format!("{HEAD}{QUIET}{OK}"));
    let first = run(&path);
    let public = first.listener("public").await;
    let (_folder, path) = file(&format!("{HEAD}{QUIET}{OK}").replacen("127.0.0.1:0", &public.to_string(), 1));
    let exit = run(&path).exit().await;
    let line = log_line(exit.log.lines().last().unwrap());
    assert_eq!((exit.code, &line["level"]), (Some(1), &"ERROR".into()));
    assert!(line["error"].as_str().unwrap().contains(&format!("cannot listen on {public}")), "{line}");
}

/// A `ClientHello` (RFC 8446 §4.1.2) that asks for a name of so many control characters, in records of at most 16,384 bytes.
fn hello(name: usize) -> Vec<u8> {
    let sized = |bytes: Vec<u8>, width: usize| [&bytes.len().to_be_bytes()[8 - width..], &bytes].concat();
    let name = [vec![0], sized(vec![0x1b; name], 2)].concat();
    let extension = [vec![0, 0], sized(sized(name, 2), 2)].concat();
    let body = [vec![3, 3], vec![7; 32], vec![0], vec![0, 2, 0x13, 1], vec![1, 0], sized(extension, 2)].concat();
    let message = [vec![1], sized(body, 3)].concat();
    message.chunks(16_384).flat_map(|part| [vec![22, 3, 1], sized(part.to_vec(), 2)].concat()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stranger_causes_lines_at_will() {
    let (authority, files) = (Authority::new("root"), Certificates::new());
    let tls = files.put("public", &authority.certify(&["api.example.com"]));
    let tls = format!("{{ name: secure, bind: '127.0.0.1:0', tls: {{ certificates: [{tls}] }} }}");
    let (_folder, path) =
        file(&format!("{HEAD}{QUIET}{OK}").replace("'127.0.0.1:0' }]", &format!("'127.0.0.1:0' }}, {tls}]")));
    let gateway = run(&path);
    let (public, secure) = (gateway.listener("public").await, gateway.listener("secure").await);
    let before = gateway.events().len();
    for _ in 0..50 {
        let mut wire = Wire::connect(secure).await;
        wire.send(hello(60_000)).await;
        wire.rest().await;
        let mut wire = Wire::connect(secure).await;
        wire.send("GET / HTTP/1.1\r\n\r\n").await;
        wire.rest().await;
    }
    // PINGs that answer none of ours (RFC 9113 §6.7), resets of streams that never were, and a window that overflows.
    for frame in
        [&[0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8][..], &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]]
    {
        let mut wire = Wire::connect(public).await;
        wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
        // It may be cut off in the middle.
        wire.send(frame.repeat(20_000)).await;
    }
    assert_eq!(ask(public, "GET", "/").await.0, 200);
    gateway.signal("TERM").await;
    let exit = gateway.exit().await;
    let lines: Vec<&str> = exit.log.lines().skip(before).collect();
    assert!(
        lines.len() < 10 && exit.log.len() < 10_000,
        "{} lines, {} bytes: {:?}",
        lines.len(),
        exit.log.len(),
        lines.first()
    );
}
