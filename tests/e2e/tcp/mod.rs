//! Listeners for TCP: bytes to a pool and back, with and without TLS, and what is told of it.

mod ends;
mod passing;
mod proxy;
mod secure;

use std::net::SocketAddr;

use portreeve_tests::{Gateway, until};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A server that gives back what it gets, and says goodbye when the client has.
struct Echo {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Echo {
    /// Says `greeting` first.
    async fn start(greeting: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    stream.write_all(greeting.as_bytes()).await.ok();
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await.ok();
                    write.shutdown().await.ok();
                });
            }
        });
        Self { address, _serving: serving }
    }
}

/// A listener `raw` to an upstream `a` with these targets. `listener`, `tcp` and `upstream` are further keys of theirs, with a
/// comma behind each.
fn raw(targets: &[SocketAddr], listener: &str, tcp: &str, upstream: &str) -> String {
    let targets: Vec<String> = targets.iter().map(|target| format!("\"{target}\"")).collect();
    format!(
        "listeners: [{{ name: raw, bind: \"127.0.0.1:0\", {listener} tcp: {{ {tcp} upstream: a }} }}]\n\
         access_log: {{ to: \"file:access.log\" }}\n\
         upstreams: {{ a: {{ {upstream} targets: [{}] }} }}\n",
        targets.join(", ")
    )
}

/// The lines of TCP connections in the access log, once there are so many.
async fn lines(gateway: &Gateway, count: usize) -> Vec<Value> {
    let path = gateway.folder().join("access.log");
    until("the lines of the access log", async || {
        let text = std::fs::read_to_string(&path).ok()?;
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

/// Waits until so many connections have ended so.
async fn ended(gateway: &Gateway, outcome: &str, count: u32) {
    let metric = format!("portreeve_tcp_connections_total{{listener=\"raw\",outcome=\"{outcome}\",upstream=\"a\"}}");
    until(&format!("{count} connections that ended: {outcome}"), async || {
        let found = gateway.admin().metric(&metric).await;
        (found == Some(f64::from(count))).then_some(())
    })
    .await;
}

/// Waits until so many connections were refused, for one of these reasons: a connection is counted after it is closed.
async fn refused(gateway: &Gateway, reasons: &[&str], count: u32) {
    let metric = |reason: &&str| format!("portreeve_connections_refused_total{{listener=\"raw\",reason=\"{reason}\"}}");
    until(&format!("{count} refused: {reasons:?}"), async || {
        let mut found = 0;
        for metric in reasons.iter().map(metric) {
            found += gateway.admin().count(&metric).await.unwrap_or_default();
        }
        (found == u64::from(count)).then_some(())
    })
    .await;
}

/// Bytes that were counted: of clients, and of targets.
async fn bytes(gateway: &Gateway) -> (u64, u64) {
    let admin = gateway.admin();
    let received = admin.count("portreeve_tcp_received_bytes_total{listener=\"raw\",upstream=\"a\"}").await;
    let sent = admin.count("portreeve_tcp_sent_bytes_total{listener=\"raw\",upstream=\"a\"}").await;
    (received.unwrap(), sent.unwrap())
}
