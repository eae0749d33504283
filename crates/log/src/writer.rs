//! The queue of a log and its writer. Whoever has a line puts it into a buffer in memory and goes on; a thread of its own swaps
//! the buffers for empty ones and writes. It alone waits for a slow disk or a reader that has stalled; meanwhile the buffers fill,
//! and what has no room is counted and lost.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use prometheus::IntCounter;

use crate::json::Object;
use crate::sink::Sink;
use crate::time::{Calendar, Moment};

/// While there is much to write, the lines of so long are written together.
const GATHER: Duration = Duration::from_millis(10);
/// Written at once, in bytes, where lines of several buffers are put in order.
const CHUNK: usize = 256 * 1024;
/// The room that a buffer begins with, in bytes, and a line for each 512 of them.
const FIRST_ROOM: usize = 64 * 1024;

/// How a log is to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of the thread that writes.
    pub thread: &'static str,
    /// Buffers. As many as threads write at the same time let none of them meet another.
    pub buffers: usize,
    /// Bytes that may wait, over all buffers; as much again may be on its way to the sink.
    pub bytes: usize,
    /// Counts the lines that are lost.
    pub lost: IntCounter,
}

/// What can be wrong with a sink.
#[derive(Debug)]
pub enum Trouble {
    /// Lines cannot be written. Told once, when it begins.
    Write(io::Error),
    /// Lines can be written again.
    Mended,
    /// The file cannot be opened anew; the old one goes on.
    Reopen(io::Error),
}

/// Who is told how a log fares, on its thread.
pub trait Keeper: Send + 'static {
    /// Something is wrong with the sink, or no longer.
    fn trouble(&mut self, trouble: Trouble);

    /// Asked each time the writer has written what there was. `lost` is how many lines had no room since it was last asked. Lines
    /// that are put into `out`, each with a line break at its end, are written next.
    fn after_writing(&mut self, lost: u64, out: &mut Vec<u8>);

    /// When it wants to be asked again though no line comes; `None`: not at all.
    fn next(&self) -> Option<Duration> {
        None
    }
}

/// A log. Cheap to clone; its thread ends, once all is written, when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Log(Arc<Owner>);

/// Ends the thread when it is dropped.
#[derive(Debug)]
struct Owner {
    queue: Arc<Queue>,
    writer: Thread,
}

/// What the threads that write lines and the writer share.
#[derive(Debug)]
struct Queue {
    buffers: Box<[Mutex<Buffer>]>,
    /// Bytes of one buffer.
    room: usize,
    lost: IntCounter,
    /// The same, since the keeper was last told.
    untold: AtomicU64,
    /// The writer sleeps until it is woken.
    sleeps: AtomicBool,
    reopen: AtomicBool,
    closed: AtomicBool,
    /// Flushes that were asked for, and how many are done.
    asked: AtomicU64,
    done: Mutex<u64>,
    flushed: Condvar,
}

/// Lines that wait. On cache lines of its own: each is written by another thread.
#[derive(Debug)]
#[repr(align(128))]
struct Buffer {
    bytes: Vec<u8>,
    /// When each line was made, by a clock that never goes back and tells any two lines of a thread apart, and where it ends.
    lines: Vec<(Instant, usize)>,
    calendar: Calendar,
}

impl Buffer {
    fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(FIRST_ROOM),
            lines: Vec::with_capacity(FIRST_ROOM / 512),
            calendar: Calendar::default(),
        }
    }

    fn end(&self) -> usize {
        self.lines.last().map_or(0, |(_, end)| *end)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
    }
}

impl Log {
    /// Begins to write.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(sink: Sink, settings: Settings, keeper: impl Keeper) -> io::Result<Self> {
        let buffers = settings.buffers.max(1);
        let queue = Arc::new(Queue {
            buffers: (0..buffers).map(|_| Mutex::new(Buffer::new())).collect(),
            room: settings.bytes / buffers,
            lost: settings.lost,
            untold: AtomicU64::new(0),
            sleeps: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            done: Mutex::new(0),
            flushed: Condvar::new(),
        });
        let spare = (0..buffers).map(|_| Buffer::new()).collect();
        let mut writer = Writer { queue: queue.clone(), sink, keeper, spare, own: Vec::new(), is_failing: false };
        let thread = thread::Builder::new().name(settings.thread.into()).spawn(move || writer.run())?;
        Ok(Self(Arc::new(Owner { queue, writer: thread.thread().clone() })))
    }

    /// Writes one line: an object that begins with `time`. Never waits for the sink; returns whether there was room.
    ///
    /// `fill` runs while a buffer is held: it must neither wait nor log.
    pub fn line(&self, fill: impl FnOnce(&mut Object<'_>)) -> bool {
        self.put(self.0.queue.room, |moment, buffer| {
            let Buffer { bytes, calendar, .. } = buffer;
            bytes.extend_from_slice(b"{\"time\":\"");
            calendar.write(moment, bytes);
            bytes.push(b'"');
            let mut object = Object::within(bytes);
            fill(&mut object);
            object.end();
        })
    }

    /// Writes one line as it is, which holds no line break. `share`, from 0 to 1, is how much of the room it may find taken: what
    /// matters less leaves the rest to what matters more.
    pub(crate) fn text(&self, share: f64, before: &str, after: &str) -> bool {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of it"
        )]
        let room = (self.0.queue.room as f64 * share) as usize;
        self.put(room, |moment, buffer| {
            buffer.bytes.extend_from_slice(before.as_bytes());
            buffer.calendar.write(moment, &mut buffer.bytes);
            buffer.bytes.extend_from_slice(after.as_bytes());
        })
    }

    /// Writes text for people as it is, in as many lines as it has.
    pub(crate) fn raw(&self, text: &str) -> bool {
        self.put(self.0.queue.room, |_, buffer| buffer.bytes.extend_from_slice(text.as_bytes()))
    }

    fn put(&self, room: usize, write: impl FnOnce(Moment, &mut Buffer)) -> bool {
        let queue = &*self.0.queue;
        let held = queue.buffer().map(|buffer| (buffer.end(), buffer)).filter(|(before, _)| *before < room);
        let Some((before, mut buffer)) = held else {
            queue.lost.inc();
            queue.untold.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        // What a panic left behind.
        buffer.bytes.truncate(before);
        let made = Instant::now();
        write(Moment::now(), &mut buffer);
        buffer.bytes.push(b'\n');
        let end = buffer.bytes.len();
        buffer.lines.push((made, end));
        // Read under the lock, which the writer takes between saying that it sleeps and doing so: one of both sees the other.
        let sleeps = queue.sleeps.load(Ordering::Relaxed);
        drop(buffer);
        let half = queue.room / 2;
        if (sleeps && queue.sleeps.swap(false, Ordering::Relaxed)) || (before < half && end >= half) {
            self.0.writer.unpark();
        }
        true
    }

    /// Writes the lines from here on to a new file of the same path; nothing for a log that is no file. Does not wait.
    pub fn reopen(&self) {
        self.0.queue.reopen.store(true, Ordering::Release);
        self.0.writer.unpark();
    }

    /// Waits until every line so far has been written, for at most `limit`. Blocks: for the end of a process. Returns whether
    /// they have.
    pub fn flush(&self, limit: Duration) -> bool {
        let queue = &*self.0.queue;
        let wanted = queue.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.0.writer.unpark();
        let until = Instant::now() + limit;
        let mut done = queue.done.lock();
        while *done < wanted {
            if queue.flushed.wait_until(&mut done, until).timed_out() {
                return *done >= wanted;
            }
        }
        true
    }

    /// Lets the keeper be asked soon.
    pub(crate) fn wake(&self) {
        self.0.writer.unpark();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.queue.closed.store(true, Ordering::Release);
        self.writer.unpark();
    }
}

/// Threads that have written a line so far.
static THREADS: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    /// The number of this one.
    static THREAD: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed));
}

impl Queue {
    /// A buffer that nobody holds: the one of this thread, or else another. They are held for less than a microsecond, so that
    /// there is nearly always one; else the wait is as short.
    fn buffer(&self) -> Option<MutexGuard<'_, Buffer>> {
        // A thread that is ending has no number any more.
        let own = THREAD.try_with(Cell::get).unwrap_or_default() % self.buffers.len().max(1);
        let (before, from) = self.buffers.split_at(own);
        let free = from.iter().chain(before).find_map(Mutex::try_lock);
        free.or_else(|| from.first().map(Mutex::lock))
    }

    fn is_empty(&self) -> bool {
        self.buffers.iter().all(|buffer| buffer.lock().lines.is_empty())
    }
}

struct Writer<K> {
    queue: Arc<Queue>,
    sink: Sink,
    keeper: K,
    /// What the buffers are swapped with.
    spare: Vec<Buffer>,
    /// Lines of the keeper, and those of several buffers in order.
    own: Vec<u8>,
    is_failing: bool,
}

impl<K: Keeper> Writer<K> {
    fn run(&mut self) {
        loop {
            // Before the buffers are taken: what was there when somebody asked is in them.
            let closed = self.queue.closed.load(Ordering::Acquire);
            let asked = self.queue.asked.load(Ordering::Acquire);
            if self.queue.reopen.swap(false, Ordering::AcqRel)
                && let Err(error) = self.sink.reopen()
            {
                self.keeper.trouble(Trouble::Reopen(error));
            }
            let some = self.take();
            self.write_taken();
            let lost = self.queue.untold.swap(0, Ordering::Relaxed);
            self.keeper.after_writing(lost, &mut self.own);
            self.write_own();
            self.tell_flushed(asked);
            if closed && !some {
                return;
            }
            self.rest(some);
        }
    }

    /// Swaps the buffers for empty ones. Returns whether there was anything in them.
    ///
    /// All are held at once: a thread whose own buffer has been swapped already could else put its next line into one that is still
    /// to be, and that line would be written before the one it follows. Nobody else ever holds one and waits for another.
    fn take(&mut self) -> bool {
        let held: Vec<_> = self.queue.buffers.iter().map(Mutex::lock).collect();
        for (mut buffer, spare) in held.into_iter().zip(&mut self.spare) {
            std::mem::swap(&mut buffer.bytes, &mut spare.bytes);
            std::mem::swap(&mut buffer.lines, &mut spare.lines);
        }
        self.spare.iter().any(|spare| !spare.lines.is_empty())
    }

    /// Writes what was taken, the lines of several buffers in the order in which they were made.
    fn write_taken(&mut self) {
        let mut spare = std::mem::take(&mut self.spare);
        let mut full = spare.iter().filter(|buffer| !buffer.lines.is_empty());
        match (full.next(), full.next()) {
            (None, _) => {}
            (Some(only), None) => self.write(only.bytes.get(..only.end()).unwrap_or_default()),
            _ => self.write_in_order(&spare),
        }
        spare.iter_mut().for_each(Buffer::clear);
        self.spare = spare;
    }

    fn write_in_order(&mut self, buffers: &[Buffer]) {
        let mut left: Vec<_> = buffers.iter().map(|buffer| (buffer, buffer.lines.as_slice(), 0)).collect();
        // As few as there are threads: looking at each is the quickest way to the first.
        while let Some((buffer, lines, begin)) = left
            .iter_mut()
            .filter(|(_, lines, _)| !lines.is_empty())
            .min_by_key(|(_, lines, _)| lines.first().map(|(made, _)| *made))
        {
            let Some(((_, end), after)) = lines.split_first() else { break };
            self.own.extend_from_slice(buffer.bytes.get(*begin..*end).unwrap_or_default());
            (*lines, *begin) = (after, *end);
            if self.own.len() >= CHUNK {
                self.write_own();
            }
        }
        self.write_own();
    }

    fn write_own(&mut self) {
        let mut own = std::mem::take(&mut self.own);
        self.write(&own);
        own.clear();
        self.own = own;
    }

    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        match self.sink.write(lines) {
            Ok(()) if std::mem::take(&mut self.is_failing) => self.keeper.trouble(Trouble::Mended),
            Ok(()) => {}
            Err((error, lost)) => {
                self.queue.lost.inc_by(lost);
                if !std::mem::replace(&mut self.is_failing, true) {
                    self.keeper.trouble(Trouble::Write(error));
                }
            }
        }
    }

    fn tell_flushed(&self, asked: u64) {
        let mut done = self.queue.done.lock();
        if *done < asked {
            *done = asked;
            self.queue.flushed.notify_all();
        }
    }

    /// Under load the lines of a moment are written together, and whoever has one wakes nobody. Else it sleeps until it is woken.
    fn rest(&self, some: bool) {
        if some {
            thread::park_timeout(GATHER);
            return;
        }
        self.queue.sleeps.store(true, Ordering::Relaxed);
        if self.queue.is_empty() {
            match self.keeper.next() {
                Some(next) => thread::park_timeout(next),
                None => thread::park(),
            }
        }
        self.queue.sleeps.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
