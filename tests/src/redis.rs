//! Redis as it is run where it must not stop: under Sentinel, as a cluster, over TLS. All of it Debian's redis-server.

use std::net::SocketAddr;
use std::path::Path;

use socket2::Socket;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::servers::{Server, reserve};
use crate::{Certificate, Certificates, until, within};

const PROGRAM: &str = "/usr/bin/redis-server";

/// A master that Sentinel watches, until it is dropped.
#[derive(Debug)]
pub struct Sentinels {
    /// `None` once it has been killed.
    master: Option<Server>,
    replica: Server,
    watchers: Vec<Server>,
}

/// Masters that share the keys among them.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
    _reserved: Vec<Socket>,
}

/// A master `limits`, one replica, and three Sentinels that agree on what they see.
///
/// # Panics
/// When Redis is not installed or does not start.
pub async fn sentinels() -> Sentinels {
    let master = node(&[]).await;
    let at = master.address();
    let replica = node(&["--replicaof", &at.ip().to_string(), &at.port().to_string()]).await;
    until("the replica has what the master has", async || {
        says(replica.address(), "INFO replication").await.contains("master_link_status:up").then_some(())
    })
    .await;
    let mut sentinels = Vec::new();
    for _ in 0..3 {
        sentinels.push(sentinel(at).await);
    }
    for sentinel in &sentinels {
        until("the Sentinels know each other and the replica", async || {
            let known = says(sentinel.address(), "SENTINEL MASTER limits").await;
            let counts = |what: &str, count: &str| {
                let mut lines = known.lines();
                lines.any(|line| line == what) && lines.nth(1) == Some(count)
            };
            (counts("num-other-sentinels", "2") && counts("num-slaves", "1")).then_some(())
        })
        .await;
    }
    Sentinels { master: Some(master), replica, watchers: sentinels }
}

async fn node(more: &[&str]) -> Server {
    Server::start(Path::new(PROGRAM), &[], |address, folder| {
        let mut arguments = in_memory(folder);
        arguments.extend(["--port", &address.port().to_string(), "--bind", "127.0.0.1"].map(str::to_owned));
        // A replica that is new needs no pause before it is served.
        arguments.extend(["--repl-diskless-sync-delay", "0"].map(str::to_owned));
        arguments.extend(more.iter().map(ToString::to_string));
        arguments
    })
    .await
}

fn in_memory(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    ["--dir", &folder, "--save", "", "--appendonly", "no"].map(str::to_owned).to_vec()
}

async fn sentinel(master: SocketAddr) -> Server {
    Server::start(Path::new(PROGRAM), &[], |address, folder| {
        let (path, master) = (folder.join("sentinel.conf"), format!("{} {}", master.ip(), master.port()));
        let settings = [
            format!("port {}", address.port()),
            "bind 127.0.0.1".to_owned(),
            format!("dir {}", folder.display()),
            format!("sentinel monitor limits {master} 2"),
            "sentinel down-after-milliseconds limits 500".to_owned(),
            "sentinel failover-timeout limits 3000".to_owned(),
        ];
        std::fs::write(&path, settings.join("\n")).unwrap();
        vec![path.display().to_string(), "--sentinel".to_owned()]
    })
    .await
}

impl Sentinels {
    /// Where Sentinels are, as a list in YAML.
    pub fn urls(&self) -> String {
        urls(&self.watchers)
    }

    /// Kills the master at once, as a machine that loses its power.
    ///
    /// # Panics
    /// When it has been killed before.
    pub fn kill_master(&mut self) {
        drop(self.master.take().expect("a master that lives"));
    }

    /// Has Sentinel make the replica the master, while the master lives.
    ///
    /// # Panics
    /// When Sentinel does not.
    pub async fn swap(&self) {
        until("Sentinel agrees to a failover", async || {
            says(self.watchers[0].address(), "SENTINEL FAILOVER limits").await.starts_with("+OK").then_some(())
        })
        .await;
    }

    /// Waits until the replica is the master.
    ///
    /// # Panics
    /// When it does not become that.
    pub async fn failed_over(&self) {
        until("the replica is the master", async || {
            says(self.replica.address(), "INFO replication").await.contains("role:master").then_some(())
        })
        .await;
    }
}

/// Three masters that share all slots. Without one of them the others go on.
///
/// # Panics
/// When Redis is not installed or does not start.
pub async fn cluster() -> Cluster {
    let (mut nodes, mut buses) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (reserved, bus) = reserve();
        let bus_port = bus.port().to_string();
        let more = ["--cluster-enabled", "yes", "--cluster-port", &bus_port, "--cluster-node-timeout", "1000"];
        nodes.push(node(&[&more[..], &["--cluster-require-full-coverage", "no"]].concat()).await);
        buses.push((reserved, bus));
    }
    for (index, (node, slots)) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]).enumerate() {
        let epoch = format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1);
        for order in [epoch, format!("CLUSTER ADDSLOTSRANGE {slots}")] {
            assert!(says(node.address(), &order).await.starts_with("+OK"), "{order}");
        }
    }
    for (node, (_, bus)) in nodes.iter().zip(&buses) {
        let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", node.address().port(), bus.port());
        assert!(says(nodes[0].address(), &meet).await.starts_with("+OK"), "{meet}");
    }
    for node in &nodes {
        until("the nodes agree", async || {
            let info = says(node.address(), "CLUSTER INFO").await;
            let all = ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3"];
            all.iter().all(|line| info.contains(line)).then_some(())
        })
        .await;
    }
    Cluster { nodes, _reserved: buses.into_iter().map(|(reserved, _)| reserved).collect() }
}

impl Cluster {
    /// Where its nodes are, as a list in YAML.
    pub fn urls(&self) -> String {
        urls(&self.nodes)
    }

    /// How many keys each node has.
    pub async fn keys(&self) -> Vec<u32> {
        let mut keys = Vec::new();
        for node in &self.nodes {
            let size = says(node.address(), "DBSIZE").await;
            keys.push(size.lines().next().unwrap_or_default().trim_start_matches(':').parse().unwrap_or(0));
        }
        keys
    }

    /// Kills one of its nodes at once.
    pub fn kill_one(&mut self) {
        self.nodes.pop();
    }
}

/// One server that speaks TLS alone, shows this certificate, and wants one of the authority in `ca.crt` from its clients.
///
/// # Panics
/// When Redis is not installed or does not start.
pub async fn over_tls(certificates: &Certificates, certificate: &Certificate) -> Server {
    let cert = certificates.write("redis.crt", &certificate.pem).display().to_string();
    let key = certificates.write("redis.key", &certificate.key).display().to_string();
    let ca = certificates.path("ca.crt").display().to_string();
    Server::start(Path::new(PROGRAM), &[], |address, folder| {
        let mut arguments = in_memory(folder);
        let port = address.port().to_string();
        let tls = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
        let more = ["--port", "0", "--bind", "127.0.0.1", "--tls-port", &port, "--tls-auth-clients", "yes"];
        arguments.extend(more.into_iter().chain(tls).map(str::to_owned));
        arguments
    })
    .await
}

fn urls(servers: &[Server]) -> String {
    let urls: Vec<String> = servers.iter().map(|server| format!("'redis://{}'", server.address())).collect();
    format!("[{}]", urls.join(", "))
}

/// What a server says to one order, in the words of its protocol. Nothing while it cannot be reached.
pub(crate) async fn says(server: SocketAddr, order: &str) -> String {
    let asking = async {
        let mut stream = BufReader::new(TcpStream::connect(server).await?);
        // The second answer says that the first is whole.
        stream.write_all(format!("{order}\r\nPING\r\n").as_bytes()).await?;
        let mut text = String::new();
        while !text.ends_with("+PONG\r\n") && stream.read_line(&mut text).await? > 0 {}
        Ok::<_, std::io::Error>(text.replace("\r\n", "\n"))
    };
    within("an answer of Redis", asking).await.unwrap_or_default()
}
