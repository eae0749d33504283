//! The engine as a whole: what a reload keeps, what a refused file leaves behind (nothing), and that no plugin holds it up.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use async_trait::async_trait;
use parking_lot::Condvar;
use portreeve_config::{Catalog, PluginInfo};
use portreeve_plugin::Task;
use portreeve_plugin::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Holds up whoever comes until it is opened.
#[derive(Default)]
struct Gate {
    arrived: AtomicUsize,
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    /// The gate that a file calls so. Each test has names of its own.
    fn named(name: &str) -> Arc<Self> {
        static ALL: LazyLock<Mutex<HashMap<String, Arc<Gate>>>> = LazyLock::new(Mutex::default);
        ALL.lock().entry(name.to_owned()).or_default().clone()
    }

    fn pass(&self) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        self.opened.wait_while(&mut self.is_open.lock(), |is_open| !*is_open);
    }

    fn open(&self) {
        *self.is_open.lock() = true;
        self.opened.notify_all();
    }

    fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }
}

/// A plugin that blocks its thread where it is told to.
struct Blocks(Option<Arc<Gate>>, #[expect(dead_code, reason = "ends with the instance")] Option<Task>);

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The gate that building passes.
    build: Option<String>,
    /// The gate that each request passes.
    request: Option<String>,
    /// The gate that a background task passes.
    task: Option<String>,
    /// What building panics with.
    panic: Option<String>,
}

#[async_trait]
impl Plugin for Blocks {
    async fn on_request(&self, _: &mut RequestCx<'_>) -> Result<Flow> {
        self.0.iter().for_each(|gate| gate.pass());
        Ok(Flow::Continue)
    }
}

impl Build for Blocks {
    const NAME: &'static str = "blocks";
    type Config = Settings;

    fn build(settings: Settings, host: &Host) -> Result<Self, BuildError> {
        let task = settings.task.map(|name| host.spawn(async move { Gate::named(&name).pass() }));
        settings.build.iter().for_each(|name| Gate::named(name).pass());
        if let Some(message) = settings.panic {
            panic!("{message}");
        }
        Ok(Self(settings.request.map(|name| Gate::named(&name)), task))
    }
}

fn registry() -> Registry {
    Registry::new().with::<Blocks>()
}

fn loaded(yaml: &str) -> Arc<Loaded> {
    let plugins = registry();
    let plugins = plugins.iter().map(|plugin| {
        let info = PluginInfo {
            schema: plugin.schema.clone(),
            authenticates: plugin.authenticates,
            ends_chain: plugin.ends_chain,
            summary: String::new(),
        };
        (plugin.name.to_owned(), info)
    });
    let catalog = Catalog { plugins: plugins.collect() };
    Arc::new(portreeve_config::load_str("gateway.yaml", yaml, &catalog, &|_| None).unwrap())
}

const LISTENER: &str = "listeners: [{ name: public, bind: '127.0.0.1:0' }]";

/// One listener and one route that answers, with these steps before it.
fn answering(steps: &str) -> Arc<Loaded> {
    loaded(&format!(
        "version: 1\naccess_log: {{ to: 'off' }}\n{LISTENER}\nroutes: [{{ name: all, match: {{ path: '/**' }}, public: true, plugins: [{steps}], respond: {{ status: 200 }} }}]\n"
    ))
}

async fn start(loaded: Arc<Loaded>) -> Engine {
    Engine::start(loaded, registry(), 1, Handle::current()).await.unwrap()
}

async fn ask(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    client
}

async fn answer(mut client: TcpStream) -> String {
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    all
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_serves_whoever_was_connected_but_not_yet_accepted() {
    let gate = Gate::named("queue");
    let engine = Arc::new(start(answering("blocks: { request: queue }")).await);
    let address = engine.addresses()[0].1;
    let first = ask(address).await;
    until("the worker is held up", || gate.arrived() == 1).await;
    let queued = ask(address).await;
    let stopping = tokio::spawn({
        let engine = engine.clone();
        async move { engine.stop(Duration::ZERO, Duration::from_secs(20)).await }
    });
    until("the workers are told", || engine.workers.lock().is_none()).await;
    gate.open();
    for client in [first, queued] {
        let answer = answer(client).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert_eq!(stopping.await.unwrap(), Drained::Clean);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_a_plugin_that_never_returns() {
    let gate = Gate::named("stuck");
    let engine = start(answering("blocks: { request: stuck }")).await;
    let _client = ask(engine.addresses()[0].1).await;
    until("the worker is held up", || gate.arrived() == 1).await;
    let stopping =
        tokio::time::timeout(Duration::from_secs(20), engine.stop(Duration::ZERO, Duration::from_millis(20)));
    assert_eq!(stopping.await.unwrap(), Drained::Cut(1));
    gate.open();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_only_looks_waits_for_a_reload() {
    let gate = Gate::named("slow-build");
    let engine = Arc::new(start(answering("")).await);
    let reloading = tokio::spawn({
        let engine = engine.clone();
        async move { engine.apply(answering("blocks: { build: slow-build }")).await }
    });
    until("the reload compiles", || gate.arrived() == 1).await;
    assert_eq!((engine.addresses().len(), engine.connections()), (1, 0));
    let metrics = String::from_utf8(engine.metrics().unwrap()).unwrap();
    assert!(metrics.contains("portreeve_config_generation 1"), "{metrics}");
    assert!(answer(ask(engine.addresses()[0].1).await).await.starts_with("HTTP/1.1 200 "));
    gate.open();
    assert_eq!(reloading.await.unwrap().unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_was_removed_can_come_back_at_once() {
    let engine = start(answering("")).await;
    // Of an address that no other test and no client uses, so that nobody takes the port while it is free.
    let second = std::net::TcpListener::bind("127.83.0.1:0").unwrap().local_addr().unwrap();
    let with_second = loaded(&format!(
        "version: 1\naccess_log: {{ to: 'off' }}\nlisteners: [{{ name: public, bind: '127.0.0.1:0' }}, {{ name: second, bind: '{second}' }}]\nroutes: [{{ name: all, match: {{ path: '/**' }}, public: true, respond: {{ status: 200 }} }}]\n"
    ));
    for _ in 0..50 {
        engine.apply(with_second.clone()).await.unwrap();
        assert!(answer(ask(second).await).await.starts_with("HTTP/1.1 200 "));
        engine.apply(answering("")).await.unwrap();
        assert!(TcpStream::connect(second).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_file_leaves_nothing_behind() {
    let engine = start(answering("")).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let yaml = |steps: &str| {
        loaded(&format!(
            "version: 1\naccess_log: {{ to: 'file:{}' }}\n{LISTENER}\nroutes: [{{ name: all, match: {{ path: '/**' }}, public: true, plugins: [{steps}], respond: {{ status: 200 }} }}]\n",
            log.display()
        ))
    };
    let error =
        engine.apply(yaml("{ blocks: { task: refused } }, { blocks: { panic: no such table } }")).await.unwrap_err();
    assert!(error.to_string().contains("the plugin panicked: no such table"), "{error}");
    assert!(!log.exists());
    let gate = Gate::named("accepted");
    gate.open();
    engine.apply(yaml("{ blocks: { task: accepted } }")).await.unwrap();
    assert!(log.exists());
    // Had the first task been run, it would have been run before this one.
    until("the task of the accepted file runs", || gate.arrived() == 1).await;
    assert_eq!(Gate::named("refused").arrived(), 0);
    assert_eq!(engine.listening.lock().await.addresses().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_lives_on_until_its_configuration_changes() {
    let pools = |attempts: u32| {
        loaded(&format!(
            "version: 1\naccess_log: {{ to: 'off' }}\n{LISTENER}\nupstreams:\n  same: {{ targets: ['127.0.0.1:1'] }}\n  other: {{ targets: ['127.0.0.1:2'], retry: {{ attempts: {attempts} }} }}\nroutes: [{{ name: all, match: {{ path: '/**' }}, public: true, upstream: [{{ name: same, weight: 1 }}, {{ name: other, weight: 1 }}] }}]\n"
        ))
    };
    let engine = start(pools(2)).await;
    let pool = |name: &str| engine.snapshot().pools.iter().find(|pool| &*pool.name == name).unwrap().clone();
    let (same, other) = (pool("same"), pool("other"));
    engine.apply(pools(3)).await.unwrap();
    assert!(Arc::ptr_eq(&same, &pool("same")));
    assert!(!Arc::ptr_eq(&other, &pool("other")));
    assert_eq!(engine.upstreams().len(), 2);
}
