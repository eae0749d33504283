//! The gateway under test with its files, the origins behind it, and whom its clients trust.

use std::net::SocketAddr;

use portreeve_tests::{Authority, Certificates, Origin, Process, TlsClient, Wire, at, hs256};
use serde_json::json;
use tokio::sync::Mutex;

use crate::origins::{Service, script};
use crate::plan::Plan;
use crate::samples::Gauges;

/// The name that the gateway's certificates are for.
pub(crate) const NAME: &str = "gateway.test";

const CONFIG: &str = r#"version: 1
listeners:
  - name: clear
    bind: "127.0.0.1:0"
    limits: { head: 4s, stall: 5s, idle: 8s, handshake: 5s }
    plugins: [headers: { response: { set: { x-listener: SIDE } } }]
  - name: secure
    bind: "127.0.0.1:0"
    limits: { head: 4s, stall: 5s, idle: 8s, handshake: 5s }
    tls: { certificates: [{ cert: FOLDER/own.crt, key: FOLDER/own.key }] }
    plugins: [headers: { response: { set: { x-listener: SIDE } } }]
admin: { bind: "127.0.0.1:0" }
access_log: { to: off }
upstreams:
  good: { targets: ["@good"], timeouts: { connect: 5s } }
  faulty: { targets: ["@faulty"], timeouts: { connect: 5s, first_byte: 3s }, retry: { attempts: 2, on: [connect, 502] } }
  flapping:
    targets: ["@one", "@two"]
    health: { tcp: true, interval: 500ms, timeout: 300ms, unhealthy_after: 1, healthy_after: 1 }
    retry: { attempts: 2, on: [connect, 502] }
  socket: { targets: ["SOCKET"], timeouts: { connect: 5s } }
  rpc: { targets: ["RPC"], protocol: http2, timeouts: { connect: 5s } }
  rpc-tls: { targets: ["SECURE"], protocol: http2, timeouts: { connect: 5s }, tls: { ca: FOLDER/ca.crt, sni: origin.test } }
tiers: { free: { rate: 100000000/min } }
routes:
  - name: good
    match: { path: "/good/**" }
    public: true
    plugins: [request-id, headers: { response: { set: { x-route: SIDE } } }]
    upstream: good
    timeout: 30s
    timeouts: { idle: 20s }
  - name: member
    match: { path: "/member/**" }
    plugins:
      - jwt: { issuer: https://issuer.example/, audience: api, algorithms: [HS256], keys: [{ secret: "env:SOAK_SECRET" }], consumer: { id: "${claims.sub}", default_tier: free } }
      - rate-limit: { by: "${consumer.id}", limit: tier }
      - headers: { request: { set: { x-user-id: "${consumer.id}" } }, response: { set: { x-route: SIDE } } }
    upstream: good
  - { name: slow, match: { path: "/slow/**" }, public: true, upstream: good, timeout: 6s }
  - { name: faulty, match: { path: "/faulty/**" }, public: true, upstream: faulty, timeout: 20s }
  - { name: flapping, match: { path: "/flapping/**" }, public: true, upstream: flapping, timeout: 20s }
  - { name: socket, match: { path: /socket }, public: true, upstream: socket, timeouts: { idle: 20s } }
  - { name: rpc, match: { path: "/soak.Clear/**" }, public: true, upstream: rpc, timeout: 30s }
  - { name: rpc-tls, match: { path: "/soak.Secure/**" }, public: true, upstream: rpc-tls, timeout: 30s }
"#;

/// Tokens of so many callers go round.
const CALLERS: usize = 200;

/// Everything that one run has.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clear: SocketAddr,
    pub(crate) secure: SocketAddr,
    pub(crate) tls: TlsClient,
    pub(crate) http2: TlsClient,
    pub(crate) tokens: Vec<String>,
    gateway: Process,
    admin: SocketAddr,
    files: Certificates,
    authority: Authority,
    origins: Mutex<Origins>,
    /// The configuration of one side and of the other.
    sides: [String; 2],
}

#[derive(Debug)]
struct Origins {
    good: Origin,
    faulty: Origin,
    flapping: [Origin; 2],
    services: [Service; 3],
}

impl World {
    /// Starts the origins, and the gateway in front of them.
    pub(crate) async fn start(plan: &Plan) -> Self {
        let (authority, files) = (Authority::new("soak"), Certificates::new());
        files.write("ca.crt", authority.pem());
        files.put("own", &authority.certify(&[NAME]));
        let start = async |name| Origin::start(name).await.forgetting().playing(script);
        let services = [
            Service::web_socket().await,
            Service::rpc().await,
            Service::rpc_over_tls(&authority.certify(&["origin.test"])).await,
        ];
        let origins = Origins {
            good: start("good").await,
            faulty: start("faulty").await,
            flapping: [start("one").await, start("two").await],
            services,
        };
        let sides = ["left", "right"].map(|side| origins.config(side, &files));
        files.write("gateway.yaml", &sides[0]);
        let file = files.path("gateway.yaml");
        let arguments = ["run", "--no-watch", "--workers", "2", "-c", file.to_str().unwrap()];
        let secret = ("SOAK_SECRET".to_owned(), portreeve_tests::SECRET.to_owned());
        let gateway = Process::start_with(&plan.program, &arguments, &[secret]);
        Self {
            clear: gateway.listener("clear").await,
            secure: gateway.listener("secure").await,
            admin: gateway.admin().await,
            tls: TlsClient::new(&authority),
            http2: TlsClient::http2(&authority),
            tokens: (0..CALLERS)
                .map(|caller| hs256(json!({ "sub": format!("caller-{caller}"), "exp": 4_000_000_000_u64 })))
                .collect(),
            gateway,
            files,
            authority,
            origins: Mutex::new(origins),
            sides,
        }
    }

    /// What the process takes now.
    pub(crate) async fn gauges(&self) -> Gauges {
        let text = self.ask_admin("GET", "/metrics").await.1;
        let sum = |name: &str| -> u64 {
            let lines = text.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
            lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
        };
        let (connections, in_flight) =
            (sum("portreeve_connections "), sum("portreeve_upstream_target_in_flight_requests{"));
        Gauges { connections, in_flight, ..Gauges::of(self.gateway.id()) }
    }

    /// Writes the configuration of a side, and has it read. Returns the status.
    pub(crate) async fn reload(&self, side: usize) -> u16 {
        self.files.write("gateway.yaml", &self.sides[side % 2]);
        self.ask_admin("POST", "/api/v1/reload").await.0
    }

    /// Has a file read that is wrong.
    pub(crate) async fn reload_wrong(&self) -> u16 {
        self.files.write("gateway.yaml", self.sides[0].replace("upstream: good", "upstream: nobody"));
        self.ask_admin("POST", "/api/v1/reload").await.0
    }

    /// Puts a new certificate where the old one was.
    pub(crate) fn renew(&self) {
        self.files.put("own", &self.authority.certify(&[NAME]));
    }

    /// Ends one of the two targets that come and go, or brings it back.
    pub(crate) async fn flap(&self, which: usize, alive: bool) {
        let target = &mut self.origins.lock().await.flapping[which];
        target.die().await;
        if alive {
            target.revive().await;
        }
    }

    /// Brings both back, and waits until the gateway has seen it.
    pub(crate) async fn revive(&self) {
        for which in [0, 1] {
            self.flap(which, true).await;
        }
        portreeve_tests::until("both targets are healthy", async || {
            let text = self.ask_admin("GET", "/metrics").await.1;
            let healthy = text
                .lines()
                .filter(|line| line.starts_with("portreeve_upstream_target_healthy{") && line.contains("\"flapping\""));
            (healthy.filter(|line| line.ends_with(" 1")).count() == 2).then_some(())
        })
        .await;
    }

    /// Closes every connection behind the gateway.
    pub(crate) async fn end_origins(&self) {
        let mut origins = self.origins.lock().await;
        origins.good.die().await;
        origins.faulty.die().await;
        for target in &mut origins.flapping {
            target.die().await;
        }
        for service in &mut origins.services {
            service.end().await;
        }
    }

    /// The gateway stops as one that is well.
    pub(crate) async fn stop(self) {
        self.gateway.signal("INT").await;
        let exit = self.gateway.exit().await;
        assert_eq!(exit.code, Some(0), "{}", exit.log);
        assert!(!exit.log.contains("panicked"), "{}", exit.log);
    }

    async fn ask_admin(&self, method: &str, path: &str) -> (u16, String) {
        let mut wire = Wire::connect(self.admin).await;
        wire.send(format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        ))
        .await;
        let answer = wire.answer().await;
        (answer.status, answer.text())
    }
}

impl Origins {
    fn config(&self, side: &str, files: &Certificates) -> String {
        let [socket, rpc, secure] = self.services.each_ref().map(|service| service.address.to_string());
        let text = at(&[&self.good, &self.faulty, &self.flapping[0], &self.flapping[1]], CONFIG);
        let folder = files.path("");
        let text = text.replace("FOLDER", folder.to_str().unwrap().trim_end_matches('/')).replace("SIDE", side);
        text.replace("SOCKET", &socket).replace("RPC", &rpc).replace("SECURE", &secure)
    }
}
