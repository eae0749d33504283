//! The gateway as a process: its signals, its exit status, its two logs.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::{log_line, until, within};

/// A running process, killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    out: Lines,
    log: Lines,
}

/// How a process ended.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Its status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub log: String,
}

/// The lines of one stream, gathered as they come.
#[derive(Debug)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    reading: JoinHandle<()>,
}

impl Lines {
    fn of(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let gathered = lines.clone();
        let reading = tokio::spawn(async move {
            let mut stream = BufReader::new(stream).lines();
            while let Ok(Some(line)) = stream.next_line().await {
                gathered.lock().push(line);
            }
        });
        Self { lines, reading }
    }

    async fn all(self) -> String {
        within("the end of a stream", self.reading).await.ok();
        self.lines.lock().join("\n")
    }
}

/// Lines of the log among others: those for people, of a file that is wrong.
fn events(lines: &[String]) -> Vec<Value> {
    lines.iter().filter(|line| line.starts_with('{')).map(|line| log_line(line)).collect()
}

impl Process {
    /// Starts `program` with these arguments and no environment of ours that would change what it does.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        Self::start_with(program, arguments, &[])
    }

    /// The same, with these variables.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with(program: &str, arguments: &[&str], environment: &[(String, String)]) -> Self {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env_remove("PORTREEVE_LOG")
            .env_remove("PORTREEVE_CONFIG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (out, log) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { child, out: Lines::of(out), log: Lines::of(log) }
    }

    /// Its number.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn id(&self) -> u32 {
        self.child.id().expect("a running process")
    }

    /// Sends a signal, by its name without `SIG`.
    ///
    /// # Panics
    /// When the process has ended already.
    pub async fn signal(&self, name: &str) {
        let id = self.id();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().await.unwrap();
        assert!(sent.success());
    }

    /// The events of the operator's log so far; each is looked at as [`log_line`] does.
    pub fn events(&self) -> Vec<Value> {
        events(&self.log.lines.lock())
    }

    /// Waits for an event of the operator's log.
    pub async fn event(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        until("an event in the log", async || self.events().into_iter().find(|event| wanted(event))).await
    }

    /// Waits until a listener is open.
    ///
    /// # Panics
    /// When it does not open.
    pub async fn listener(&self, name: &str) -> SocketAddr {
        let event = self.event(|event| event["message"] == "Listening." && event["listener"] == name).await;
        event["address"].as_str().unwrap().parse().unwrap()
    }

    /// Waits until the admin port is open.
    ///
    /// # Panics
    /// When it does not open.
    pub async fn admin(&self) -> SocketAddr {
        let event = self.event(|event| event["message"] == "The admin port is open.").await;
        event["address"].as_str().unwrap().parse().unwrap()
    }

    /// The lines of standard output so far.
    pub fn out(&self) -> Vec<String> {
        self.out.lines.lock().clone()
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn exit(mut self) -> Exit {
        let status: ExitStatus = within("the end of the process", self.child.wait()).await.unwrap();
        self.events();
        Exit { code: status.code(), out: self.out.all().await, log: self.log.all().await }
    }
}
