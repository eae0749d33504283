//! The access log: one JSON line for each request, written by a thread of its own. A slow disk or a reader that stalls loses
//! lines, and never holds up a request.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use portreeve_log::{Keeper, Log, Object, Settings, Sink, Trouble};
use portreeve_plugin::Decision;
use prometheus::IntCounter;

/// Bytes of lines that may wait for the writer, over all workers: some twenty thousand lines. As much again may be on its way to
/// the disk.
const QUEUE: usize = 8 * 1024 * 1024;
/// The most buffers that lines are gathered in: workers beyond share them.
const MAX_BUFFERS: usize = 16;

/// Where access-log lines go. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog(Option<Open>);

#[derive(Debug, Clone)]
struct Open {
    log: Log,
    /// Whether lines had no room since the writer last wrote.
    is_behind: Arc<AtomicBool>,
}

/// What has a line.
pub(crate) trait Entry {
    /// Writes all of it but the time, which every line begins with.
    fn write(&self, line: &mut Object<'_>);
}

/// One request.
#[derive(Debug)]
pub(crate) struct Line<'l> {
    pub(crate) request_id: &'l str,
    pub(crate) generation: u64,
    pub(crate) client_ip: IpAddr,
    pub(crate) listener: &'l str,
    pub(crate) method: &'l str,
    pub(crate) host: &'l str,
    /// As it came, without the query, which may hold secrets.
    pub(crate) path: &'l str,
    pub(crate) status: Option<u16>,
    /// What a gRPC call ended with, if its answer said so.
    pub(crate) grpc_status: Option<u16>,
    pub(crate) route: Option<&'l str>,
    pub(crate) consumer: Option<&'l str>,
    /// How the consumer was proved, and by which of its credentials, as far as that was told.
    pub(crate) auth_method: Option<&'l str>,
    pub(crate) credential: Option<&'l str>,
    /// Where it went, or was to go when no target could be tried.
    pub(crate) upstream: Option<&'l str>,
    pub(crate) target: Option<SocketAddr>,
    pub(crate) attempts: u32,
    /// Whether a second target was asked beside the first, and was the one that was heard.
    pub(crate) hedge: Option<&'static str>,
    pub(crate) duration: Duration,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Why no target served it, in a word of a closed set.
    pub(crate) reason: Option<&'static str>,
    pub(crate) error: Option<&'l str>,
    pub(crate) decisions: &'l [Decision],
}

impl Entry for Line<'_> {
    fn write(&self, line: &mut Object<'_>) {
        line.text("request_id", self.request_id)
            .number("generation", self.generation)
            .ip("client_ip", self.client_ip)
            .text("listener", self.listener)
            .text("method", self.method)
            .text("host", self.host)
            .text("path", self.path)
            .number_or_null("status", self.status);
        if let Some(status) = self.grpc_status {
            line.number("grpc_status", status);
        }
        line.text_or_null("route", self.route).text_or_null("consumer", self.consumer);
        for (name, text) in [("auth_method", self.auth_method), ("credential", self.credential)] {
            if let Some(text) = text {
                line.text(name, text);
            }
        }
        line.text_or_null("upstream", self.upstream)
            .socket_or_null("target", self.target)
            .number("attempts", self.attempts);
        if let Some(hedge) = self.hedge {
            line.text("hedge", hedge);
        }
        line.milliseconds("duration_ms", self.duration)
            .number("bytes_in", self.bytes_in)
            .number("bytes_out", self.bytes_out);
        for (name, text) in [("reason", self.reason), ("error", self.error)] {
            if let Some(text) = text {
                line.text(name, text);
            }
        }
        if self.decisions.is_empty() {
            return;
        }
        let mut list = line.array("decisions");
        for Decision { step, place, what, why, .. } in self.decisions {
            let mut told = list.object();
            told.text("step", step).text("place", place).text("what", what.as_str()).text("why", why).end();
        }
        list.end();
    }
}

/// One connection that was not served.
#[derive(Debug)]
pub(crate) struct RefusedLine<'l> {
    pub(crate) generation: u64,
    pub(crate) client_ip: IpAddr,
    pub(crate) listener: &'l str,
    pub(crate) duration: Duration,
    /// The label of the metric.
    pub(crate) reason: &'static str,
}

impl Entry for RefusedLine<'_> {
    fn write(&self, line: &mut Object<'_>) {
        // Tells the line from those of requests.
        line.text("kind", "refused")
            .number("generation", self.generation)
            .ip("client_ip", self.client_ip)
            .text("listener", self.listener)
            .milliseconds("duration_ms", self.duration)
            .text("reason", self.reason);
    }
}

impl AccessLog {
    /// Writes nothing.
    pub(crate) fn off() -> Self {
        Self(None)
    }

    /// Writes to standard output.
    ///
    /// # Errors
    /// When the system gives no descriptor or no thread.
    pub(crate) fn stdout(dropped: IntCounter) -> io::Result<Self> {
        Self::to(Sink::stdout()?, dropped)
    }

    /// Appends to a file.
    ///
    /// # Errors
    /// When the file cannot be opened, or the system gives no thread.
    pub(crate) fn file(path: &Path, dropped: IntCounter) -> io::Result<Self> {
        Self::to(Sink::file(path)?, dropped)
    }

    fn to(sink: Sink, dropped: IntCounter) -> io::Result<Self> {
        let is_behind = Arc::<AtomicBool>::default();
        // One for each worker and one for the rest.
        let buffers = thread::available_parallelism().map_or(1, usize::from).min(MAX_BUFFERS) + 1;
        let settings = Settings { thread: "access-log", buffers, bytes: QUEUE, lost: dropped };
        // Ends by itself when the last request of the last generation has gone.
        let log = Log::start(sink, settings, Telling { is_behind: is_behind.clone() })?;
        Ok(Self(Some(Open { log, is_behind })))
    }

    /// Whether lines are wanted at all.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Hands over a line; counts it as dropped if the writer is behind. Never waits for it.
    pub(crate) fn write(&self, entry: &impl Entry) {
        let Some(Open { log, is_behind }) = &self.0 else { return };
        if !log.line(|line| entry.write(line)) && !is_behind.swap(true, Ordering::Relaxed) {
            tracing::warn!("Whoever takes the access log is too slow; its lines are dropped and counted.");
        }
    }

    /// Writes the lines from here on to a new file of the same path; nothing for a log that is no file. Does not wait.
    pub(crate) fn reopen(&self) {
        if let Some(Open { log, .. }) = &self.0 {
            log.reopen();
        }
    }

    /// Waits until every line so far has been written, for at most `limit`. Blocks: for the end of a process.
    pub(crate) fn flush(&self, limit: Duration) {
        if let Some(Open { log, .. }) = &self.0 {
            log.flush(limit);
        }
    }
}

/// Says in the operator's log how the access log fares.
struct Telling {
    is_behind: Arc<AtomicBool>,
}

impl Keeper for Telling {
    fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Write(error) => {
                tracing::error!(%error, "The access log cannot be written; its lines are dropped and counted.");
            }
            Trouble::Mended => tracing::info!("The access log is written again."),
            Trouble::Reopen(error) => {
                tracing::error!(%error, "The access log cannot be opened anew; the old file goes on.");
            }
        }
    }

    fn after_writing(&mut self, lost: u64, _: &mut Vec<u8>) {
        if lost > 0 {
            tracing::warn!(lines = lost, "Lines of the access log were dropped.");
        }
        // Whoever finds no room from here on is told of anew.
        if self.is_behind.load(Ordering::Relaxed) {
            self.is_behind.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[path = "access_log_tests.rs"]
mod tests;
