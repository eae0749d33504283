//! The access log: one JSON line for each request, handed to a thread of its own. A slow disk drops lines, never requests.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use portreeve_plugin::Decision;
use prometheus::IntCounter;
use serde::Serialize;
use serde::ser::SerializeSeq;

/// Lines that may wait for the writer; at half a kilobyte each, 4 MiB.
const QUEUE: usize = 8_192;

/// Lines gather this long before they are written; the queue holds what comes in meanwhile at 800,000 requests a second.
const GATHER: Duration = Duration::from_millis(10);

/// Where access-log lines go. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog {
    queue: Option<SyncSender<Entry>>,
    dropped: IntCounter,
}

/// What the writer is handed.
#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// The lines after this go to a new file of the same path.
    Reopen,
    /// Everything before this is to be written, then this is answered.
    Flush(SyncSender<()>),
}

/// One request.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'l> {
    pub(crate) time: String,
    pub(crate) request_id: &'l str,
    pub(crate) generation: u64,
    pub(crate) client_ip: std::net::IpAddr,
    pub(crate) listener: &'l str,
    pub(crate) method: &'l str,
    pub(crate) host: &'l str,
    /// As it came, without the query, which may hold secrets.
    pub(crate) path: &'l str,
    pub(crate) status: Option<u16>,
    /// What a gRPC call ended with, if its answer said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grpc_status: Option<u16>,
    pub(crate) route: Option<&'l str>,
    pub(crate) consumer: Option<&'l str>,
    pub(crate) upstream: Option<&'l str>,
    pub(crate) target: Option<std::net::SocketAddr>,
    pub(crate) attempts: u32,
    /// Whether a second target was asked beside the first, and was the one that was heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hedge: Option<&'static str>,
    pub(crate) duration_ms: f64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Why no target served it, in a word of a closed set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<&'l str>,
    #[serde(skip_serializing_if = "<[Decision]>::is_empty", serialize_with = "decisions")]
    pub(crate) decisions: &'l [Decision],
}

/// One connection that was not served.
#[derive(Debug, Serialize)]
pub(crate) struct RefusedLine<'l> {
    pub(crate) time: String,
    /// Tells the line from those of requests.
    pub(crate) kind: &'static str,
    pub(crate) generation: u64,
    pub(crate) client_ip: std::net::IpAddr,
    pub(crate) listener: &'l str,
    pub(crate) duration_ms: f64,
    /// The label of the metric.
    pub(crate) reason: &'static str,
}

fn decisions<S: serde::Serializer>(decisions: &&[Decision], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Told<'d> {
        step: &'d str,
        place: &'d str,
        what: &'static str,
        why: &'d str,
    }
    let mut list = serializer.serialize_seq(Some(decisions.len()))?;
    for Decision { step, place, what, why, .. } in *decisions {
        list.serialize_element(&Told { step, place, what: what.as_str(), why })?;
    }
    list.end()
}

impl AccessLog {
    /// Writes nothing.
    pub(crate) fn off(dropped: IntCounter) -> Self {
        Self { queue: None, dropped }
    }

    /// Writes to standard output.
    pub(crate) fn stdout(dropped: IntCounter) -> io::Result<Self> {
        Self::to(Sink { out: Box::new(io::stdout()), path: None }, dropped)
    }

    /// Appends to a file.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn file(path: &Path, dropped: IntCounter) -> io::Result<Self> {
        Self::to(Sink { out: Box::new(opened(path)?), path: Some(path.to_owned()) }, dropped)
    }

    fn to(sink: Sink, dropped: IntCounter) -> io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let lost = dropped.clone();
        // Ends by itself when the last sender, and with it the last request of the last generation, has gone.
        thread::Builder::new().name("access-log".into()).spawn(move || write(&lines, sink, &lost))?;
        Ok(Self { queue: Some(queue), dropped })
    }

    /// Whether lines are wanted at all.
    pub(crate) fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Hands over a line; counts it as dropped if the writer is behind.
    pub(crate) fn write(&self, line: &impl Serialize) {
        let Some(queue) = &self.queue else { return };
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        if queue.try_send(Entry::Line(text)).is_err() {
            self.dropped.inc();
        }
    }
}

impl AccessLog {
    /// Writes the lines from here on to a new file of the same path; nothing for a log that is no file. Blocks while the
    /// queue is full.
    pub(crate) fn reopen(&self) {
        if let Some(queue) = &self.queue {
            queue.send(Entry::Reopen).ok();
        }
    }

    /// Waits until every line so far has been written, for at most `limit`. Blocks: for the end of a process.
    pub(crate) fn flush(&self, limit: Duration) {
        let Some(queue) = &self.queue else { return };
        let (done, written) = sync_channel(1);
        if queue.try_send(Entry::Flush(done)).is_ok() {
            written.recv_timeout(limit).ok();
        }
    }
}

/// What the writer writes to.
struct Sink {
    out: Box<dyn Write + Send>,
    /// Where it was opened, if it is a file.
    path: Option<PathBuf>,
}

/// Written at once, in bytes: more than a moment's lines.
const BUFFER: usize = 64 * 1024;

fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes what there is, then flushes, so that a quiet log is up to date and a busy one is written in large pieces.
fn write(entries: &Receiver<Entry>, sink: Sink, lost: &IntCounter) {
    let Sink { out, path } = sink;
    let mut sink = BufWriter::with_capacity(BUFFER, out);
    while let Ok(first) = entries.recv() {
        let mut waiting = Vec::new();
        for entry in std::iter::once(first).chain(entries.try_iter()) {
            match entry {
                Entry::Line(line) if sink.write_all(&line).is_err() => lost.inc(),
                Entry::Line(_) => {}
                Entry::Reopen => {
                    if sink.flush().is_err() {
                        lost.inc();
                    }
                    match path.as_deref().map(opened) {
                        Some(Ok(file)) => sink = BufWriter::with_capacity(BUFFER, Box::new(file)),
                        Some(Err(error)) => tracing::error!(%error, "The access log cannot be opened anew."),
                        None => {}
                    }
                }
                Entry::Flush(done) => waiting.push(done),
            }
        }
        if sink.flush().is_err() {
            lost.inc();
        }
        for done in waiting {
            // Whoever asked may have given up.
            done.try_send(()).ok();
        }
        // Under load the lines of a moment are written together, and whoever hands one over wakes nobody.
        thread::sleep(GATHER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(log: &AccessLog, text: &str) {
        let queue = log.queue.as_ref().unwrap();
        queue.send(Entry::Line(text.as_bytes().to_vec())).unwrap();
        log.flush(Duration::from_secs(20));
    }

    #[test]
    fn after_a_rotation_lines_go_to_a_new_file_of_the_same_name() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let log = AccessLog::file(&path, IntCounter::new("dropped", "dropped").unwrap()).unwrap();
        line(&log, "one\n");
        std::fs::rename(&path, &moved).unwrap();
        line(&log, "two\n");
        log.reopen();
        line(&log, "three\n");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
    }
}
