//! A real gateway in this process, on ports the system chose, with its configuration in a folder of its own.

use std::fmt::Write;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use portreeve::{Options, RunError, Running};
use portreeve_plugin::{Build, Registry};
use serde_json::Value;
use tempfile::TempDir;

use crate::http1::{Answer, Head};
use crate::wait::until;
use crate::wire::Wire;

/// What most tests do not care about, and therefore need not write.
const USUAL: [(&str, &str); 4] = [
    ("version", "version: 1"),
    ("listeners", "listeners: [{ name: public, bind: \"127.0.0.1:0\" }]"),
    ("admin", "admin: { bind: \"127.0.0.1:0\" }"),
    ("access_log", "access_log: { to: off }"),
];

/// A gateway that is about to start.
#[derive(Debug, Clone)]
pub struct Setup {
    registry: Registry,
    workers: usize,
}

impl Setup {
    /// Knows one more plugin.
    #[must_use]
    pub fn with_plugin<P: Build>(mut self) -> Self {
        self.registry = self.registry.with::<P>();
        self
    }

    /// Serves with so many workers instead of two.
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Starts with this configuration.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn spawn(self, yaml: &str) -> Gateway {
        self.try_spawn(yaml).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts with this configuration. Sections that every gateway has may be left out.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn try_spawn(self, yaml: &str) -> Result<Gateway, RunError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.yaml");
        std::fs::write(&path, complete(yaml)).unwrap();
        let options = Options { workers: self.workers, watch: false, ..Options::new(&path) };
        let running = Running::start(self.registry, options).await?;
        let address = running.addresses()[0].1;
        Ok(Gateway { running, folder, address, http: client() })
    }
}

/// A running gateway, until it is dropped.
#[derive(Debug)]
pub struct Gateway {
    running: Running,
    folder: TempDir,
    address: SocketAddr,
    http: reqwest::Client,
}

impl Gateway {
    /// Starts one with the built-in plugins. Sections that every gateway has may be left out.
    ///
    /// # Panics
    /// When the configuration is refused.
    pub async fn spawn(yaml: &str) -> Self {
        Self::setup().spawn(yaml).await
    }

    /// One that is about to start with the built-in plugins.
    pub fn setup() -> Setup {
        Setup { registry: portreeve::Gateway::new().with_builtin_plugins().registry().clone(), workers: 2 }
    }

    /// One that is about to start with one plugin more.
    pub fn with_plugin<P: Build>() -> Setup {
        Self::setup().with_plugin::<P>()
    }

    /// Address of the first listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Address of a listener.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn listener(&self, name: &str) -> SocketAddr {
        let addresses = self.running.addresses();
        addresses.iter().find(|(known, _)| &**known == name).expect("such a listener").1
    }

    /// The gateway itself.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its configuration file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.yaml")
    }

    /// A connection to the first listener.
    pub async fn wire(&self) -> Wire {
        Wire::connect(self.address).await
    }

    /// What bytes on a connection of their own are answered.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut wire = self.wire().await;
        wire.send(bytes).await;
        wire.answer().await
    }

    /// A GET; await it for the answer.
    pub fn get(&self, path: &str) -> Ask {
        self.ask("GET", path)
    }

    /// A request; await it for the answer.
    pub fn ask(&self, method: &str, path: &str) -> Ask {
        self.ask_at(self.address, method, path)
    }

    /// A request to another address; await it for the answer.
    pub fn ask_at(&self, address: SocketAddr, method: &str, path: &str) -> Ask {
        Ask(self.http.request(method.parse().unwrap(), format!("http://{address}{path}")))
    }

    /// The admin port.
    ///
    /// # Panics
    /// When it has none.
    pub fn admin(&self) -> Admin<'_> {
        Admin { gateway: self, address: self.running.admin().expect("an admin port") }
    }

    /// Replaces the configuration and puts it into effect.
    ///
    /// # Errors
    /// Why it was refused.
    pub async fn reload(&self, yaml: &str) -> Result<u64, String> {
        std::fs::write(self.file(), complete(yaml)).unwrap();
        self.running.reload("test").await
    }
}

/// The admin port of a gateway.
#[derive(Debug, Clone, Copy)]
pub struct Admin<'g> {
    gateway: &'g Gateway,
    address: SocketAddr,
}

impl Admin<'_> {
    /// A page; await it for the answer.
    pub fn get(&self, path: &str) -> Ask {
        self.gateway.ask_at(self.address, "GET", path)
    }

    /// A POST; await it for the answer.
    pub fn post(&self, path: &str) -> Ask {
        self.gateway.ask_at(self.address, "POST", path)
    }

    /// An order for one target of an upstream, such as `drain`; await it for the answer.
    pub fn order(&self, upstream: &str, target: SocketAddr, operation: &str) -> Ask {
        self.post(&format!("/api/v1/upstreams/{upstream}/targets/{target}/{operation}"))
    }

    /// Gives a target this weight, which is JSON; await it for the answer.
    pub fn weigh(&self, upstream: &str, target: SocketAddr, weight: &str) -> Ask {
        let path = format!("/api/v1/upstreams/{upstream}/targets/{target}/weight");
        let ask = self.gateway.ask_at(self.address, "PUT", &path).header("content-type", "application/json");
        ask.body(format!("{{\"weight\": {weight}}}"))
    }

    /// A page that is JSON.
    pub async fn json(&self, path: &str) -> Value {
        self.get(path).await.json()
    }

    /// The value of a metric; `None` if there is no such line. `metric` is the name, with all labels if it has some.
    pub async fn metric(&self, metric: &str) -> Option<f64> {
        let text = self.get("/metrics").await.text();
        let line = text.lines().find(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// The value of a metric that counts.
    ///
    /// # Panics
    /// When the admin port does not answer.
    pub async fn count(&self, metric: &str) -> Option<u64> {
        let text = self.get("/metrics").await.text();
        let line = text.lines().find(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// A target of an upstream as the admin port tells of it.
    pub async fn target(&self, upstream: &str, address: SocketAddr) -> Value {
        let pools = self.json("/api/v1/upstreams").await;
        let pool = pools.as_array().into_iter().flatten().find(|pool| pool["name"] == upstream);
        let targets = pool.and_then(|pool| pool["targets"].as_array()).into_iter().flatten();
        targets.into_iter().find(|target| target["address"] == address.to_string()).cloned().unwrap_or_default()
    }
}

impl Admin<'_> {
    /// Waits until the checks of a target say so of it.
    ///
    /// # Panics
    /// When they do not in time.
    pub async fn finds(&self, upstream: &str, address: SocketAddr, healthy: bool) {
        until(&format!("{address} is found healthy: {healthy}"), async || {
            (self.target(upstream, address).await["healthy"] == healthy).then_some(())
        })
        .await;
    }

    /// Waits until nothing is in flight at a target.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn is_quiet(&self, upstream: &str, address: SocketAddr) {
        until(&format!("nothing is in flight at {address}"), async || {
            (self.target(upstream, address).await["in_flight"] == 0).then_some(())
        })
        .await;
    }
}

/// A request in the making. Await it for the answer.
#[derive(Debug)]
#[must_use = "nothing is sent before it is awaited"]
pub struct Ask(reqwest::RequestBuilder);

impl Ask {
    /// With this header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// With this bearer token.
    pub fn bearer(self, token: &str) -> Self {
        Self(self.0.bearer_auth(token))
    }

    /// With this body.
    pub fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.body(body))
    }

    /// The answer.
    ///
    /// # Errors
    /// When there is none, or it breaks off.
    pub async fn send(self) -> Result<Answer, reqwest::Error> {
        let answer = self.0.send().await?;
        let status = answer.status().as_u16();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let head = Head { line: format!("{:?} {status}", answer.version()), headers };
        Ok(Answer { status, head, body: answer.bytes().await?.to_vec() })
    }
}

impl IntoFuture for Ask {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.send().await.unwrap_or_else(|error| panic!("{error:?}")) })
    }
}

/// Adds the sections that are missing.
fn complete(yaml: &str) -> String {
    let has =
        |section: &str| yaml.lines().any(|line| line.strip_prefix(section).is_some_and(|rest| rest.starts_with(':')));
    let mut whole = String::new();
    for (section, text) in USUAL {
        if !has(section) {
            writeln!(whole, "{text}").unwrap();
        }
    }
    whole + yaml
}

/// A client that follows no redirect, knows no proxy and waits for nothing longer than a test would.
fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    client.timeout(Duration::from_secs(30)).build().unwrap()
}
