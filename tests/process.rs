//! What only a process shows: signals, exit statuses, its logs, its memory, and a thousand reloads under load.

#[cfg(test)]
#[path = "process/fetched.rs"]
mod fetched;

#[cfg(test)]
#[path = "process/hostile.rs"]
mod hostile;

#[cfg(test)]
#[path = "process/secrets.rs"]
mod secrets;

#[cfg(test)]
mod process {
    use std::net::SocketAddr;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use futures::{SinkExt, StreamExt};
    use portreeve_tests::{Beat, Origin, Process, RawOrigin, Wire, at, until, within};
    use tempfile::TempDir;
    use tokio::net::TcpListener;
    use tokio_tungstenite::tungstenite::Message;

    const PROGRAM: &str = env!("CARGO_BIN_EXE_portreeve-under-test");

    /// A folder with a configuration.
    struct File(TempDir);

    impl File {
        fn new(yaml: &str) -> Self {
            let file = Self(tempfile::tempdir().unwrap());
            file.write(yaml);
            file
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("gateway.yaml")
        }

        /// Replaces the whole file at once, as editors and Kubernetes do.
        fn write(&self, yaml: &str) {
            let new = self.0.path().join("new");
            std::fs::write(&new, yaml).unwrap();
            std::fs::rename(&new, self.path()).unwrap();
        }

        fn command(&self, name: &str, more: &[&str]) -> Process {
            let path = self.path();
            let arguments: Vec<&str> = [name, "-c", path.to_str().unwrap()].iter().chain(more).copied().collect();
            Process::start(PROGRAM, &arguments)
        }

        fn run(&self, more: &[&str]) -> Process {
            self.command("run", &[&["--no-watch", "--workers", "2"], more].concat())
        }
    }

    const HEAD: &str =
        "version: 1\nlisteners: [{ name: public, bind: '127.0.0.1:0' }]\nadmin: { bind: '127.0.0.1:0' }\n";

    fn saying(body: &str) -> String {
        format!(
            "{HEAD}routes: [{{ name: all, match: {{ path: '/**' }}, public: true, respond: {{ status: 200, body: {body} }} }}]\n"
        )
    }

    fn waiting(origin: &Origin) -> String {
        let routes = "upstreams: { a: { targets: ['@a'] } }\nroutes: [{ name: all, match: { path: '/**' }, public: true, upstream: a }]\n";
        at(&[origin], &format!("{HEAD}{routes}"))
    }

    async fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
        let mut wire = Wire::connect(address).await;
        wire.send(format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
            .await;
        let answer = wire.answer().await;
        (answer.status, answer.text())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sigterm_turns_not_ready_goes_on_accepting_finishes_what_is_in_flight_and_exits_0() {
        let a = Origin::start("a").await.playing(|received| match received.target() {
            "/slow" => vec![Beat::Await(1), Beat::answer(200, &[], "whole")],
            _ => vec![Beat::answer(200, &[], "ok")],
        });
        let file = File::new(&waiting(&a));
        let gateway = file.run(&["--grace", "1500ms", "--drain", "20s"]);
        let (public, admin) = (gateway.listener("public").await, gateway.admin().await);
        let mut slow = Wire::connect(public).await;
        slow.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
        until("the slow request is in flight", async || (a.count() == 1).then_some(())).await;
        assert_eq!(ask(admin, "GET", "/readyz").await.0, 200);
        gateway.signal("TERM").await;
        until("it is not ready", async || (ask(admin, "GET", "/readyz").await.0 == 503).then_some(())).await;
        assert_eq!(ask(public, "GET", "/").await, (200, "ok".to_owned()));
        assert_eq!(ask(admin, "GET", "/livez").await.0, 200);
        until("it accepts no more", async || tokio::net::TcpStream::connect(public).await.is_err().then_some(())).await;
        a.cue();
        assert_eq!(slow.answer().await.text(), "whole");
        let exit = gateway.exit().await;
        assert_eq!(exit.code, Some(0), "{}", exit.log);
        assert!(exit.log.contains("every connection had ended"), "{}", exit.log);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_drain_ends_at_its_limit_even_if_a_request_does_not() {
        let a = Origin::start("a").await.playing(|_| vec![Beat::Await(1)]);
        let file = File::new(&waiting(&a));
        let gateway = file.run(&["--grace", "1ms", "--drain", "100ms"]);
        let mut stuck = Wire::connect(gateway.listener("public").await).await;
        stuck.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        until("the request is in flight", async || (a.count() == 1).then_some(())).await;
        gateway.signal("TERM").await;
        let exit = gateway.exit().await;
        assert_eq!(exit.code, Some(0), "{}", exit.log);
        assert!(exit.log.contains("connections were cut"), "{}", exit.log);
        stuck.rest().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sigint_stops_at_once() {
        let file = File::new(&saying("ok"));
        let gateway = file.run(&["--grace", "1h"]);
        gateway.listener("public").await;
        gateway.signal("INT").await;
        assert_eq!(gateway.exit().await.code, Some(0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn as_many_descriptors_are_taken_as_the_system_gives() {
        let file = File::new(&saying("ok"));
        let path = file.path();
        let few =
            ["-c", "ulimit -Sn 64; exec \"$0\" \"$@\"", PROGRAM, "run", "--no-watch", "-c", path.to_str().unwrap()];
        let gateway = Process::start("sh", &few);
        gateway.listener("public").await;
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.id())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let limits: Vec<&str> = line.split_whitespace().collect();
        assert!(limits[0] == limits[1] && limits[0] != "64", "{limits:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sighup_reloads_and_a_bad_file_is_told_in_the_log() {
        let file = File::new(&saying("old"));
        let gateway = file.run(&[]);
        let public = gateway.listener("public").await;
        assert_eq!(ask(public, "GET", "/").await.1, "old");
        file.write(&saying("new"));
        gateway.signal("HUP").await;
        until("the new file is in effect", async || (ask(public, "GET", "/").await.1 == "new").then_some(())).await;
        file.write(&saying("worse").replace("respond", "respnod"));
        gateway.signal("HUP").await;
        let refused = gateway.event(|event| event["level"] == "ERROR").await;
        let error = refused["error"].as_str().unwrap();
        assert!(error.contains("gateway.yaml:4:") && error.contains("did you mean"), "{refused}");
        assert_eq!(ask(public, "GET", "/").await.1, "new");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_changed_file_takes_effect_by_itself() {
        let file = File::new(&saying("old"));
        let gateway = file.command("run", &["--workers", "1"]);
        let public = gateway.listener("public").await;
        assert_eq!(ask(public, "GET", "/").await.1, "old");
        file.write(&saying("changed"));
        until("the changed file is in effect", async || (ask(public, "GET", "/").await.1 == "changed").then_some(()))
            .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_wrong_file_or_command_line_is_exit_status_2() {
        let good = File::new(&saying("ok"));
        let fine = good.command("check", &[]).exit().await;
        assert_eq!(fine.code, Some(0), "{}", fine.log);
        assert!(fine.out.contains("is fine"), "{}", fine.out);
        let bad = File::new(&saying("ok").replace("public: true", "upstream: nobody, pubic: true"));
        for command in ["check", "run", "routes"] {
            let exit = bad.command(command, &[]).exit().await;
            assert_eq!(exit.code, Some(2), "{command}: {}", exit.log);
            // Each error with its place, its line and a caret.
            for part in ["gateway.yaml:4:", "nobody", "pubic", "^"] {
                assert!(exit.log.contains(part), "{command} says nothing of {part}: {}", exit.log);
            }
        }
        let missing = Process::start(PROGRAM, &["check", "-c", "/nowhere/gateway.yaml"]).exit().await;
        assert!(missing.code == Some(2) && missing.log.contains("/nowhere/gateway.yaml"), "{missing:?}");
        for words in [&["dance"][..], &["run", "--workers", "none"], &[]] {
            assert_eq!(Process::start(PROGRAM, words).exit().await.code, Some(2), "{words:?}");
        }
        assert_eq!(Process::start(PROGRAM, &["--help"]).exit().await.code, Some(0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn check_tells_what_is_worth_a_word_and_is_strict_when_asked() {
        let slip = File::new(&saying("ok").replace("path: '/**'", "path: '/**', methods: [GETT]"));
        let checked = slip.command("check", &[]).exit().await;
        assert_eq!(checked.code, Some(0), "{}", checked.log);
        for part in ["warning: ", "gateway.yaml:4:", "did you mean GET?", "^"] {
            assert!(checked.log.contains(part), "{part}: {}", checked.log);
        }
        assert!(checked.out.contains("is fine") && checked.out.contains("1 warning"), "{}", checked.out);
        let strict = slip.command("check", &["--strict"]).exit().await;
        assert!(strict.code == Some(2) && strict.log.contains("did you mean GET?"), "{strict:?}");
        let fine = File::new(&saying("ok")).command("check", &["--strict"]).exit().await;
        assert_eq!(fine.code, Some(0), "{}", fine.log);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn routes_shows_what_is_public_whatever_its_chain() {
        let file = File::new(&saying("ok").replace("public: true", "public: true, plugins: [request-id]"));
        let shown = file.command("routes", &[]).exit().await;
        assert!(shown.out.contains("request-id (public)"), "{}", shown.out);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_port_that_another_gateway_has_is_exit_status_1_with_its_address() {
        let first = File::new(&saying("ok"));
        let running = first.run(&[]);
        let (public, admin) = (running.listener("public").await, running.admin().await);
        let same_public = saying("ok").replacen("127.0.0.1:0", &public.to_string(), 1);
        let same_admin =
            saying("ok").replacen("admin: { bind: '127.0.0.1:0' }", &format!("admin: {{ bind: '{admin}' }}"), 1);
        for (yaml, address) in [(same_public, public), (same_admin, admin)] {
            let exit = File::new(&yaml).run(&[]).exit().await;
            assert_eq!(exit.code, Some(1), "{}", exit.log);
            assert!(exit.log.contains(&format!("cannot listen on {address}")), "{}", exit.log);
        }
        assert_eq!(ask(public, "GET", "/").await.1, "ok");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_commands_print_what_they_are_for() {
        let file = File::new(&saying("ok"));
        let routes = file.command("routes", &[]).exit().await;
        assert!(routes.code == Some(0) && routes.out.contains("all") && routes.out.contains("/**"), "{routes:?}");
        let plugins = Process::start(PROGRAM, &["plugins"]).exit().await;
        assert!(plugins.out.lines().any(|line| line.starts_with("rate-limit ")), "{plugins:?}");
        let schema = Process::start(PROGRAM, &["schema"]).exit().await;
        let schema: serde_json::Value = serde_json::from_str(&schema.out).unwrap();
        assert!(schema["$schema"].is_string(), "{schema}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_access_log_is_on_standard_output_and_the_operators_log_is_not() {
        let file = File::new(&saying("ok"));
        let gateway = file.run(&[]);
        ask(gateway.listener("public").await, "GET", "/seen").await;
        let line = until("the line", async || gateway.out().first().cloned()).await;
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["path"], &line["status"]), (&"/seen".into(), &200.into()));
        gateway.signal("INT").await;
        let exit = gateway.exit().await;
        assert!(!exit.log.contains("/seen") && exit.out.lines().count() == 1, "{exit:?}");
    }

    /// Asks, on a kept connection for as long as the gateway keeps it, until told to stop. Returns what was said, each answer
    /// once and in order, without repetition.
    async fn asking(address: SocketAddr, stop: Arc<AtomicBool>) -> Vec<String> {
        let mut said: Vec<String> = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let mut wire = Wire::connect(address).await;
            loop {
                wire.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
                let answer = wire.answer().await;
                assert_eq!(answer.status, 200, "{answer:?}");
                if said.last() != Some(&answer.text()) {
                    said.push(answer.text());
                }
                if answer.header("connection") == Some("close") || stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
        said
    }

    /// Asks on one connection until the gateway says that it closes it, and counts what is answered. Nothing may be lost.
    async fn asking_until_told(address: SocketAddr, answered: Arc<AtomicUsize>) {
        let mut wire = Wire::connect(address).await;
        loop {
            wire.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
            let answer = wire.answer().await;
            assert_eq!(answer.status, 200, "{answer:?}");
            answered.fetch_add(1, Ordering::Relaxed);
            if answer.header("connection") == Some("close") {
                return;
            }
        }
    }

    /// The same in HTTP/2.
    async fn asking_until_goaway(address: SocketAddr, answered: Arc<AtomicUsize>) {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        while let Ok(mut sender) = sender.clone().ready().await {
            let request = http::Request::get("http://x/").body(()).unwrap();
            let Ok((answer, _)) = sender.send_request(request, true) else { break };
            assert_eq!(within("an answer", answer).await.unwrap().status(), 200);
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_stop_under_load_fails_no_request() {
        let file = File::new(&saying("ok"));
        let gateway = file.run(&["--grace", "3s", "--drain", "20s"]);
        let (public, admin) = (gateway.listener("public").await, gateway.admin().await);
        let turned_away = Arc::<AtomicBool>::default();
        let fresh = (0..2).map(|_| {
            let turned_away = turned_away.clone();
            tokio::spawn(async move {
                while !turned_away.load(Ordering::Relaxed) {
                    assert_eq!(ask(public, "GET", "/").await, (200, "ok".to_owned()));
                }
            })
        });
        let fresh: Vec<_> = fresh.collect();
        let answered = [(); 6].map(|()| Arc::<AtomicUsize>::default());
        let kept = answered.iter().enumerate().map(|(n, answered)| match n % 2 {
            0 => tokio::spawn(asking_until_told(public, answered.clone())),
            _ => tokio::spawn(asking_until_goaway(public, answered.clone())),
        });
        let kept: Vec<_> = kept.collect();
        let counts = || answered.each_ref().map(|answered| answered.load(Ordering::Relaxed));
        until("all are served", async || counts().iter().all(|count| *count > 0).then_some(())).await;
        gateway.signal("TERM").await;
        // Whoever balances load sees it, and sends nobody any more; those who are there go on.
        until("it is not ready", async || (ask(admin, "GET", "/readyz").await.0 == 503).then_some(())).await;
        turned_away.store(true, Ordering::Relaxed);
        let before = counts();
        let go_on = async || counts().iter().zip(&before).all(|(now, before)| *now > before + 1).then_some(());
        until("all are served on", go_on).await;
        for client in fresh {
            client.await.unwrap();
        }
        for client in kept {
            within("the end of a connection", client).await.unwrap();
        }
        let exit = gateway.exit().await;
        assert!(exit.code == Some(0) && exit.log.contains("every connection had ended"), "{}", exit.log);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_upgrade_under_load_refuses_no_connection_and_fails_no_request() {
        let file = File::new(&saying("old"));
        let place = file.path().with_file_name("handover.sock");
        let place = place.to_str().unwrap();
        let old = file.run(&["--handover", place, "--drain", "20s"]);
        let (public, admin) = (old.listener("public").await, old.admin().await);
        let stop = Arc::<AtomicBool>::default();
        let clients: Vec<_> = (0..8).map(|_| tokio::spawn(asking(public, stop.clone()))).collect();
        file.write(&saying("new"));
        // More workers than before: sockets are added, none is lost.
        let new = file.command("run", &["--no-watch", "--handover", place, "--upgrade", "--workers", "3"]);
        assert_eq!((new.listener("public").await, new.admin().await), (public, admin));
        let exit = old.exit().await;
        assert!(exit.code == Some(0) && exit.log.contains("every connection had ended"), "{exit:?}");
        until("the new process answers", async || (ask(public, "GET", "/").await.1 == "new").then_some(())).await;
        // And once more, to fewer workers.
        file.write(&saying("newest"));
        let newest = file.command("run", &["--no-watch", "--handover", place, "--upgrade", "--workers", "1"]);
        newest.listener("public").await;
        assert_eq!(new.exit().await.code, Some(0));
        until("the newest answers", async || (ask(public, "GET", "/").await.1 == "newest").then_some(())).await;
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            let said = client.await.unwrap();
            assert_eq!(said.last().map(String::as_str), Some("newest"), "{said:?}");
        }
        assert_eq!(ask(admin, "GET", "/readyz").await.0, 200);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_tcp_connection_goes_on_through_an_upgrade() {
        let origin = RawOrigin::start().await;
        let file = File::new(&format!(
            "version: 1\nlisteners: [{{ name: public, bind: '127.0.0.1:0', tcp: {{ upstream: a }} }}]\nupstreams: {{ a: {{ targets: ['{}'] }} }}\n",
            origin.address()
        ));
        let place = file.path().with_file_name("handover.sock");
        let place = place.to_str().unwrap();
        let old = file.run(&["--handover", place, "--drain", "20s"]);
        let public = old.listener("public").await;
        let (mut client, mut server) = (Wire::connect(public).await, origin.accept().await);
        let new = file.run(&["--handover", place, "--upgrade"]);
        assert_eq!(new.listener("public").await, public);
        client.send("ping").await;
        assert_eq!(server.next().await, b"ping");
        server.send("pong").await;
        assert_eq!(client.next().await, b"pong");
        drop((client, server));
        let exit = old.exit().await;
        assert!(exit.code == Some(0) && exit.log.contains("every connection had ended"), "{exit:?}");
        let (mut client, mut server) = (Wire::connect(public).await, origin.accept().await);
        client.send("ping").await;
        assert_eq!(server.next().await, b"ping");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_upgrade_that_fails_changes_nothing() {
        let file = File::new(&saying("old"));
        let place = file.path().with_file_name("handover.sock");
        let place = place.to_str().unwrap();
        let alone = file.run(&["--handover", place, "--upgrade"]).exit().await;
        assert!(alone.code == Some(1) && alone.log.contains("without --upgrade"), "{alone:?}");
        let old = file.run(&["--handover", place]);
        let public = old.listener("public").await;
        file.write(&saying("new").replace("public: true", "pubic: true"));
        let wrong = file.run(&["--handover", place, "--upgrade"]).exit().await;
        assert!(wrong.code == Some(2) && wrong.log.contains("pubic"), "{wrong:?}");
        assert_eq!(ask(public, "GET", "/").await.1, "old");
        file.write(&saying("new"));
        let new = file.run(&["--handover", place, "--upgrade"]);
        assert_eq!(new.listener("public").await, public);
        assert_eq!(old.exit().await.code, Some(0));
        until("the new process answers", async || (ask(public, "GET", "/").await.1 == "new").then_some(())).await;
    }

    /// A configuration whose every part says `who`.
    fn generation(who: &str, origins: [&Origin; 2], ws: SocketAddr) -> String {
        let yaml = r#"
version: 1
listeners:
  - name: public
    bind: "127.0.0.1:0"
    plugins: [headers: { response: { set: { x-listener: WHO } } }]
admin: { bind: "127.0.0.1:0" }
access_log: { to: off }
upstreams:
  a: { targets: ["@a"] }
  b: { targets: ["@b"] }
  ws: { targets: ["WS"] }
routes:
  - name: all
    match: { path: "/**" }
    public: true
    plugins: [request-id, headers: { request: { set: { x-route: WHO } }, response: { set: { x-route: WHO } } }]
    upstream: WHO
  - { name: ws, match: { path: /ws }, public: true, upstream: ws }
"#;
        at(&origins, yaml).replace("WHO", who).replace("WS", &ws.to_string())
    }

    /// Asks on one connection until told to stop; every answer must come whole, from one generation.
    async fn load(address: SocketAddr, stop: Arc<AtomicBool>, served: Arc<AtomicUsize>) {
        let mut wire = Wire::connect(address).await;
        while !stop.load(Ordering::Relaxed) {
            wire.send("GET /x HTTP/1.1\r\nhost: x\r\n\r\n").await;
            let answer = wire.answer().await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let who = answer.origin();
            let said =
                [answer.header("x-listener"), answer.header("x-route"), answer.json()["headers"]["x-route"].as_str()]
                    .map(|said| said.unwrap_or_default().to_owned());
            assert_eq!(said, [who.clone(), who.clone(), who], "two generations in one answer");
            served.fetch_add(1, Ordering::Relaxed);
            if answer.header("connection") == Some("close") {
                // It has served as many as one may (`limits.requests_per_connection`).
                wire = Wire::connect(address).await;
            }
        }
    }

    /// Resident memory of a process in bytes.
    fn resident(id: u32) -> u64 {
        let text = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// A client of HTTP/2 asks for as much as it may on one connection, opens every window, and reads nothing.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn answers_that_nobody_takes_wait_in_bounded_memory() {
        const STREAMS: u32 = 128;
        let body = vec![b'x'; 4 << 20];
        let a = Origin::start("a").await.playing(move |_| vec![Beat::answer(200, &[], &body)]);
        let file = File::new(&waiting(&a));
        let gateway = file.run(&[]);
        let public = gateway.listener("public").await;
        assert_eq!(ask(public, "GET", "/").await.0, 200);
        let before = resident(gateway.id());
        let windows = b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff\0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0";
        let get = |n: u32| [b"\0\0\x06\x01\x05", &(2 * n + 1).to_be_bytes()[..], b"\x82\x86\x84\x41\x01x"].concat();
        let requests: Vec<u8> = (0..STREAMS).flat_map(get).collect();
        let mut greedy = Wire::connect_narrow(public).await;
        greedy.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &windows[..], &requests].concat()).await;
        until("all are asked for", async || (a.count() > STREAMS as usize).then_some(())).await;
        let mut last = 0;
        let settled = until("no more is held", async || {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            let now = resident(gateway.id());
            (now.abs_diff(std::mem::replace(&mut last, now)) < 1 << 20).then_some(now)
        });
        let held = settled.await.saturating_sub(before) >> 20;
        println!("{held} MiB");
        assert!(held < 88, "{held} MiB for one connection");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_thousand_reloads_under_load_mix_nothing_lose_nothing_and_leak_nothing() {
        const RELOADS: usize = 1_000;
        let (a, b) = (Origin::start("a").await, Origin::start("b").await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ws = listener.local_addr().unwrap();
        let echo = tokio::spawn(async move {
            let mut socket = tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                socket.send(message).await.ok();
            }
        });
        let sides = ["a", "b"].map(|who| generation(who, [&a, &b], ws));
        let file = File::new(&sides[0]);
        let gateway = file.run(&[]);
        let (public, admin) = (gateway.listener("public").await, gateway.admin().await);
        let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{public}/ws")).await.unwrap();

        let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let clients = (0..4).map(|_| tokio::spawn(load(public, stop.clone(), served.clone())));
        let clients: Vec<_> = clients.collect();
        let mut before = 0;
        let mut reloading = Wire::connect(admin).await;
        for reload in 1..=RELOADS {
            file.write(&sides[reload % 2]);
            reloading.send("POST /api/v1/reload HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
            let answer = reloading.answer().await;
            assert_eq!((answer.status, &answer.json()["generation"]), (200, &(reload + 1).into()), "{answer:?}");
            if reload % 100 == 0 {
                let message = Message::text(format!("still open after {reload}"));
                socket.send(message.clone()).await.unwrap();
                assert_eq!(within("the echo", socket.next()).await.unwrap().unwrap(), message);
            }
            // By then every buffer and cache has its size.
            if reload == RELOADS / 4 {
                before = resident(gateway.id());
            }
        }
        let after = resident(gateway.id());
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
        let served = served.load(Ordering::Relaxed);
        assert!(served > RELOADS, "too little load to prove anything: {served}");
        assert!(a.count() > 0 && b.count() > 0);
        // A snapshot of this file takes over 20 KiB: keeping one in ten would be seen.
        let grown = after.saturating_sub(before);
        assert!(grown < 8 << 20, "{before} bytes after {} reloads, {after} after {RELOADS}", RELOADS / 4);
        echo.abort();
    }
}
