//! What the operator's log is, whatever events there are.

use std::io::{self, PipeReader, Read as _};
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;
use serde_json::{Map, Value};
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::diagnostics::Telling;
use crate::sink::Sink;
use crate::writer::Settings;

fn started(style: Style) -> (Layer, PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let counter = |name| IntCounter::new(name, name).unwrap();
    let limiter = Arc::new(Limiter::new(counter("suppressed")));
    let settings = Settings { thread: "test-log", buffers: 1, bytes: 1 << 20, lost: counter("lost") };
    let keeper = Telling { limiter: limiter.clone(), style };
    let log = Log::start(Sink::of(writer), settings, keeper).unwrap();
    (Layer::new(log, limiter, style), reader)
}

/// The lines that come of some events.
fn lines(style: Style, events: impl FnOnce()) -> Vec<String> {
    let (layer, mut reader) = started(style);
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    let (log, limiter) = (layer.log.clone(), layer.limiter.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
    limiter.hurry();
    assert!(log.flush(Duration::from_secs(20)));
    drop(log);
    reading.join().unwrap().lines().map(str::to_owned).collect()
}

fn object(line: &str) -> Map<String, Value> {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn a_line_has_time_level_message_fields_and_module_each_once() {
    let lines = lines(Style::Json, || {
        tracing::warn!(target: "portreeve_proxy::pool", upstream = "a", target = %"127.0.0.1:1", seconds = 1.5, n = 7_u64, is = true, "Out.");
        tracing::info!(level = "mine", time = 1, timestamp = 2, module = "x", fields = 3, a = 1, a = 2, "Twice.");
    });
    let (first, second) = (object(&lines[0]), object(&lines[1]));
    let names: Vec<_> = first.keys().map(String::as_str).collect();
    let wanted = ["time", "level", "message", "upstream", "target", "seconds", "n", "is", "module"];
    assert_eq!(names.len(), wanted.len());
    assert!(wanted.iter().all(|name| names.contains(name)), "{names:?}");
    assert_eq!(
        (&first["level"], &first["target"], &first["seconds"]),
        (&"WARN".into(), &"127.0.0.1:1".into(), &1.5.into())
    );
    assert_eq!(
        (&first["n"], &first["is"], &first["module"]),
        (&7.into(), &true.into(), &"portreeve_proxy::pool".into())
    );
    assert!(first["time"].as_str().is_some_and(|time| time.len() == 27 && time.ends_with('Z')), "{first:?}");
    // A parser keeps one of several: look at the text.
    for name in ["time", "level", "message", "module", "a"] {
        assert_eq!(lines[1].matches(&format!("\"{name}\":")).count(), 1, "{name}: {}", lines[1]);
    }
    assert_eq!((&second["level"], &second["a"]), (&"INFO".into(), &1.into()));
    assert!(!second.contains_key("timestamp") && !second.contains_key("fields"));
}

#[test]
fn what_comes_from_outside_is_escaped_and_cut() {
    let hostile = "\u{1b}[31m\n\"\u{9b}".repeat(10_000);
    for style in [Style::Json, Style::Text] {
        let lines = lines(style, || {
            tracing::warn!(target: "portreeve_proxy::tls", name = ?hostile, "A name.");
            tracing::warn!(target: "portreeve_proxy::tls", name = %hostile, "A name.");
            tracing::warn!(target: "portreeve_proxy::tls", name = hostile.as_str(), "A name.");
            tracing::warn!(target: "portreeve_proxy::tls", "{hostile}");
        });
        assert_eq!(lines.len(), 4);
        for line in lines {
            assert!(line.len() < 10_000 && line.contains('…'), "{} bytes", line.len());
            assert!(!line.chars().any(char::is_control), "{line}");
        }
    }
}

#[test]
fn the_errors_of_a_whole_file_are_told_whole() {
    let errors = (0..200).map(|n| format!("gateway.yaml:{n}:1: unknown key")).collect::<Vec<_>>().join("\n");
    let lines = lines(Style::Json, || tracing::error!(target: "portreeve::reload", error = errors, "Refused."));
    assert_eq!(object(&lines[0])["error"], errors);
}

#[test]
fn a_flood_of_one_kind_is_cut_short_and_told_and_drowns_no_other() {
    let lines = lines(Style::Json, || {
        for n in 0..10_000 {
            tracing::error!(target: "portreeve_proxy::http2", n, "A stranger did it.");
        }
        for listener in ["a", "b"] {
            tracing::error!(target: "portreeve_proxy", listener, "The disk is gone.");
        }
    });
    let lines: Vec<_> = lines.iter().map(|line| object(line)).collect();
    let count = |message: &str| lines.iter().filter(|line| line["message"] == message).count();
    let floods = count("A stranger did it.");
    assert!((20..60).contains(&floods), "{floods}");
    assert_eq!(count("The disk is gone."), 2);
    let told = lines.iter().find(|line| line.get("like") == Some(&"A stranger did it.".into())).unwrap();
    assert_eq!(told["lines"].as_u64().unwrap() + floods as u64, 10_000);
    assert_eq!((&told["of"], &told["level"]), (&"portreeve_proxy::http2".into(), &"ERROR".into()));
    assert!(told["message"].as_str().unwrap().ends_with(" more lines like this left out."));
}

#[test]
fn lines_that_speak_of_others_are_not_alike() {
    let lines = lines(Style::Json, || {
        for n in 0..200 {
            tracing::warn!(target = %format_args!("10.0.0.{n}:80"), upstream = "a", "Out.");
        }
    });
    assert_eq!(lines.len(), 200);
}

#[test]
fn whoever_asks_for_more_than_is_told_by_default_gets_all_of_it() {
    let lines = lines(Style::Json, || (0..500).for_each(|n| tracing::debug!(n, "Detail.")));
    assert_eq!(lines.len(), 500);
}

#[test]
fn people_read_lines_of_their_own_kind() {
    let lines = lines(Style::Text, || {
        tracing::error!(target: "portreeve::reload", reason = "signal", error = "one\ntwo", "Refused.");
    });
    let (time, rest) = lines[0].split_once(' ').unwrap();
    assert!(time.ends_with('Z'));
    assert_eq!(rest, "ERROR portreeve::reload: Refused. reason=\"signal\" error=");
    assert_eq!(lines[1..], ["  one", "  two"]);
}
