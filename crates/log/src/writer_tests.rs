//! What a log promises, whatever reads it and however many write it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex as StdMutex;

use serde_json::Value;

use super::*;

const LONG: Duration = Duration::from_secs(20);

#[derive(Clone, Default)]
struct Kept(Arc<StdMutex<Vec<String>>>);

impl Keeper for Kept {
    fn trouble(&mut self, trouble: Trouble) {
        self.0.lock().unwrap().push(format!("{trouble:?}"));
    }

    fn after_writing(&mut self, lost: u64, out: &mut Vec<u8>) {
        if lost > 0 {
            out.extend_from_slice(format!("{{\"lost\":{lost}}}\n").as_bytes());
        }
    }
}

impl Kept {
    fn told(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn settings(buffers: usize, bytes: usize) -> Settings {
    Settings { thread: "test-log", buffers, bytes, lost: IntCounter::new("lost", "lost").unwrap() }
}

fn piped(buffers: usize, bytes: usize) -> (Log, IntCounter, PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let settings = settings(buffers, bytes);
    let lost = settings.lost.clone();
    (Log::start(Sink::of(writer), settings, Kept::default()).unwrap(), lost, reader)
}

fn write(log: &Log, thread: u64, number: u64) -> bool {
    log.line(|object| {
        object.number("thread", thread).number("number", number);
    })
}

#[test]
fn many_threads_lose_no_line_and_keep_their_order() {
    const EACH: u64 = 5_000;
    let (log, lost, reader) = piped(3, 64 << 20);
    let reading = thread::spawn(move || BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>());
    thread::scope(|scope| {
        for thread in 0..6 {
            let log = &log;
            scope.spawn(move || (0..EACH).for_each(|number| assert!(write(log, thread, number))));
        }
    });
    drop(log);
    // The thread of the log ends, and with it the pipe.
    let lines = reading.join().unwrap();
    assert_eq!((lines.len() as u64, lost.get()), (6 * EACH, 0));
    let mut next = HashMap::<u64, u64>::new();
    for line in lines {
        let line: Value = serde_json::from_str(&line).unwrap();
        let (thread, number) = (line["thread"].as_u64().unwrap(), line["number"].as_u64().unwrap());
        assert_eq!(std::mem::replace(next.entry(thread).or_default(), number + 1), number);
        assert!(line["time"].as_str().unwrap().ends_with('Z'));
    }
}

#[test]
fn a_line_of_a_quiet_log_is_there_without_being_asked_for() {
    let (log, _, reader) = piped(3, 1 << 20);
    let mut lines = BufReader::new(reader).lines();
    for number in 0..3 {
        write(&log, 0, number);
        assert!(lines.next().unwrap().unwrap().contains(&format!("\"number\":{number}}}")));
    }
}

#[test]
fn a_reader_that_stalls_holds_up_neither_lines_nor_flush_nor_reopen_and_what_is_lost_is_counted() {
    let (log, lost, reader) = piped(1, 1 << 20);
    let begun = Instant::now();
    let written = (0..100_000).filter(|number| write(&log, 0, *number)).count();
    log.reopen();
    assert!(!log.flush(Duration::from_millis(50)), "nobody reads");
    assert!(begun.elapsed() < LONG);
    assert!(written > 1_000 && written < 100_000, "{written}");
    assert_eq!(lost.get(), 100_000 - written as u64);
    // What had room arrives, and then how many had none.
    let reading = thread::spawn(move || BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>());
    assert!(log.flush(LONG));
    drop(log);
    let lines = reading.join().unwrap();
    assert_eq!(lines.iter().filter(|line| line.contains("number")).count(), written);
    assert!(lines.contains(&format!("{{\"lost\":{}}}", 100_000 - written)), "{:?}", lines.last());
}

#[test]
fn what_matters_less_leaves_room_for_what_matters_more() {
    let (log, _, reader) = piped(1, 1 << 20);
    let fill = "x".repeat(1000);
    while log.text(0.5, "", &fill) {}
    assert!(!log.text(0.5, "", &fill));
    assert!(log.text(1.0, "", &fill));
    drop(reader);
}

#[test]
fn after_a_rotation_lines_go_to_a_new_file_of_the_same_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let log = Log::start(Sink::file(&path).unwrap(), settings(2, 1 << 20), Kept::default()).unwrap();
    let numbers = |path| {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["number"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    write(&log, 0, 1);
    assert!(log.flush(LONG));
    std::fs::rename(&path, &moved).unwrap();
    write(&log, 0, 2);
    assert!(log.flush(LONG));
    log.reopen();
    write(&log, 0, 3);
    assert!(log.flush(LONG));
    assert_eq!((numbers(&moved), numbers(&path)), (vec![1, 2], vec![3]));
}

#[test]
fn a_file_that_cannot_be_opened_anew_is_told_and_the_old_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("logs");
    std::fs::create_dir(&inner).unwrap();
    let path = inner.join("access.log");
    let kept = Kept::default();
    let log = Log::start(Sink::file(&path).unwrap(), settings(1, 1 << 20), kept.clone()).unwrap();
    let moved = folder.path().join("moved");
    std::fs::rename(&inner, &moved).unwrap();
    log.reopen();
    write(&log, 0, 1);
    assert!(log.flush(LONG));
    assert!(kept.told()[0].starts_with("Reopen("), "{:?}", kept.told());
    assert!(std::fs::read_to_string(moved.join("access.log")).unwrap().contains("\"number\":1"));
}

#[test]
fn a_pipe_that_nobody_reads_is_an_error_and_no_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert!(Sink::file(&path).is_err());
}

#[test]
fn a_full_disk_loses_lines_is_told_once_and_counted() {
    let kept = Kept::default();
    let settings = settings(1, 1 << 20);
    let lost = settings.lost.clone();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let log = Log::start(Sink::of(full), settings, kept.clone()).unwrap();
    for number in 0..3 {
        write(&log, 0, number);
        assert!(log.flush(LONG));
    }
    assert_eq!((kept.told().len(), lost.get()), (1, 3), "{:?}", kept.told());
}

#[test]
fn a_panic_while_a_line_is_made_leaves_nothing_of_it() {
    let (log, _, mut reader) = piped(1, 1 << 20);
    let broken = catch_unwind(AssertUnwindSafe(|| log.line(|_| panic!("on purpose"))));
    assert!(broken.is_err());
    write(&log, 0, 7);
    drop(log);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["number"], 7);
}
