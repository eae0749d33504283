//! The watcher against edits at awkward moments: while a reload is under way, before the first look, in a file that only a
//! refused configuration names.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Instant;

use portreeve_plugin::prelude::*;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::*;

/// A plugin that edits the file while it is built: in the middle of a reload.
struct Edits;

/// What it writes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The status that the file answers with then.
    status: u16,
}

impl Plugin for Edits {}

impl Build for Edits {
    const NAME: &'static str = "edits";
    type Config = Settings;

    fn build(settings: Settings, host: &Host) -> Result<Self, BuildError> {
        write(host.folder(), &answering(settings.status, ""));
        Ok(Self)
    }
}

fn answering(status: u16, rest: &str) -> String {
    format!(
        "version: 1\naccess_log: {{ to: 'off' }}\nlisteners: [{{ name: public, bind: '127.0.0.1:0' }}]\nroutes: [{{ name: all, match: {{ path: / }}, public: true, {rest} respond: {{ status: {status} }} }}]\n"
    )
}

fn write(folder: &Path, text: &str) {
    fs::write(folder.join("gateway.yaml"), text).unwrap();
}

struct Watched {
    folder: TempDir,
    reloader: Arc<Reloader>,
    watching: tokio::task::JoinHandle<()>,
}

impl Watched {
    /// Serves `text`; `meanwhile` happens when it is in effect and not watched yet.
    async fn start(text: &str, meanwhile: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), text);
        let (path, registry) = (folder.path().join("gateway.yaml"), Registry::new().with::<Edits>());
        let Reading { outcome, fingerprint } = read(&path, &registry, &Fingerprint::default());
        let loaded = Arc::new(outcome.unwrap());
        let engine = Engine::start(loaded.clone(), registry.clone(), 1, Handle::current()).await.unwrap();
        meanwhile(folder.path());
        let reloader = Arc::new(Reloader::new(path, registry, Arc::new(engine), loaded, fingerprint));
        let watching = tokio::spawn(reloader.clone().watch(Duration::from_millis(2)));
        Self { folder, reloader, watching }
    }

    async fn until_status(&self, status: u16) {
        let is = |loaded: &Loaded| {
            let respond = loaded.config.routes.first().and_then(|route| route.respond.as_ref());
            respond.is_some_and(|respond| respond.status.get() == status)
        };
        self.until("that status is in effect", || is(&self.reloader.loaded())).await;
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}: {:?}", self.reloader.last());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_while_a_reload_is_under_way_takes_effect_after_it() {
    let watched = Watched::start(&answering(200, ""), |_| ()).await;
    write(watched.folder.path(), &answering(201, "plugins: [edits: { status: 202 }],"));
    watched.until_status(202).await;
    assert_eq!(watched.reloader.engine.snapshot().generation(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_nobody_waits_for_any_more_is_brought_to_its_end() {
    let watched = Watched::start(&answering(200, ""), |_| ()).await;
    watched.watching.abort();
    write(watched.folder.path(), &answering(201, ""));
    tokio::select! {
        biased;
        _ = watched.reloader.reload("admin") => panic!("no reload is done at once"),
        () = std::future::ready(()) => {}
    }
    watched.until_status(201).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_before_the_first_look_takes_effect() {
    let watched = Watched::start(&answering(200, ""), |folder| write(folder, &answering(201, "timeout: 7s,"))).await;
    watched.until_status(201).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mending_a_file_that_only_the_refused_configuration_includes_takes_effect() {
    let watched = Watched::start(&answering(200, ""), |_| ()).await;
    let part = watched.folder.path().join("part.yaml");
    fs::write(&part, "tiers: { free: { rate: what } }").unwrap();
    write(watched.folder.path(), &(answering(201, "") + "include: [part.yaml]\n"));
    watched.until("the file is refused", || !watched.reloader.last().success).await;
    fs::write(&part, "tiers: { free: { rate: 100/min } }").unwrap();
    watched.until_status(201).await;
    assert!(watched.reloader.last().success);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_edit_is_one_reload_even_if_it_brings_more_files() {
    let watched = Watched::start(&answering(200, ""), |_| ()).await;
    fs::write(watched.folder.path().join("part.yaml"), "tiers: { free: { rate: 100/min } }").unwrap();
    write(watched.folder.path(), &(answering(201, "") + "include: [part.yaml]\n"));
    watched.until_status(201).await;
    let before = watched.reloader.dealt_with.lock().clone();
    assert_eq!(before, before.again());
    assert_eq!(watched.reloader.engine.snapshot().generation(), 2);
}

fn part(name: &str) -> String {
    format!("routes: [{{ name: {name}, match: {{ path: /{name} }}, public: true, respond: {{}} }}]\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_comes_to_fit_an_include_takes_effect_and_so_does_its_going() {
    let watched = Watched::start(&(answering(200, "") + "include: ['part-*.yaml']\n"), |_| ()).await;
    let routes = |count: usize| {
        let reloader = watched.reloader.clone();
        move || reloader.loaded().config.routes.len() == count
    };
    fs::write(watched.folder.path().join("part-a.yaml"), part("a")).unwrap();
    watched.until("the new file is part of it", routes(2)).await;
    fs::write(watched.folder.path().join("part-b.yaml"), part("b")).unwrap();
    watched.until("another one is as well", routes(3)).await;
    fs::remove_file(watched.folder.path().join("part-a.yaml")).unwrap();
    watched.until("the first is gone", routes(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_file_that_appears_mends_the_configuration_that_names_it() {
    let watched = Watched::start(&answering(200, ""), |_| ()).await;
    write(watched.folder.path(), &(answering(201, "") + "include: [part.yaml, 'conf.d/*.yaml']\n"));
    watched.until("the file is refused", || !watched.reloader.last().success).await;
    fs::create_dir(watched.folder.path().join("conf.d")).unwrap();
    fs::write(watched.folder.path().join("conf.d/b.yaml"), part("b")).unwrap();
    fs::write(watched.folder.path().join("part.yaml"), part("a")).unwrap();
    watched.until_status(201).await;
    assert_eq!(watched.reloader.loaded().config.routes.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relative_path_of_the_access_log_counts_from_the_folder_of_the_file() {
    let text = answering(200, "").replace("to: 'off'", "to: 'file:access.log'");
    let watched = Watched::start(&text, |_| ()).await;
    assert!(watched.folder.path().join("access.log").is_file());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_hangs_ends_at_its_limit_and_a_later_one_follows() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &answering(200, ""));
    let path = folder.path().join("gateway.yaml");
    let Reading { outcome, fingerprint } = read(&path, &Registry::new(), &Fingerprint::default());
    let loaded = Arc::new(outcome.unwrap());
    let engine = Arc::new(Engine::start(loaded.clone(), Registry::new(), 1, Handle::current()).await.unwrap());
    let mut reloader = Reloader::new(path, Registry::new(), engine, loaded, fingerprint);
    reloader.limits.read = Duration::from_millis(50);
    let reloader = Arc::new(reloader);

    // What a process was given may be read, and may hang: a stand-in for a file system that does not answer.
    let (pipe, writer) = std::io::pipe().unwrap();
    let include = format!("include: ['/dev/fd/{}']\n{}", pipe.as_raw_fd(), answering(201, ""));
    write(folder.path(), &include);
    for _ in 0..MAX_HUNG {
        let error = reloader.reload("test").await.unwrap_err();
        assert!(error.contains("could not be read within 50ms"), "{error}");
    }
    let error = reloader.reload("test").await.unwrap_err();
    assert!(error.contains("4 reloads before this one still wait"), "{error}");
    // When it answers again, so does everything.
    drop(writer);
    write(folder.path(), &answering(202, ""));
    let begun = Instant::now();
    while let Err(error) = reloader.reload("test").await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let status = reloader.loaded().config.routes.first().and_then(|route| Some(route.respond.as_ref()?.status.get()));
    assert_eq!(status, Some(202));
}
