//! The operator's log of a whole process: a panic is a line like others, and what waits at the end is written.

use std::process::{Command, Stdio};
use std::thread;

use portreeve_log::{Diagnostics, DiagnosticsSettings};
use serde_json::Value;

/// Set in the process that is looked at, which is this program once more.
const CHILD: &str = "PORTREEVE_LOG_TEST_CHILD";

#[test]
fn a_panic_is_a_line_like_others_and_what_waits_at_the_end_is_written() {
    if std::env::var_os(CHILD).is_some() {
        let settings = DiagnosticsSettings { variable: "PORTREEVE_LOG_TEST", levels: "info".into() };
        let _log = Diagnostics::start(&settings);
        let worker = thread::Builder::new().name("worker".into()).spawn(|| panic!("on purpose \u{1b}[31m"));
        assert!(worker.unwrap().join().is_err());
        (0..1_000).for_each(|n| tracing::info!(n, "Too often."));
        return;
    }
    let name = "a_panic_is_a_line_like_others_and_what_waits_at_the_end_is_written";
    let child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .env_remove("PORTREEVE_LOG_TEST")
        .stdout(Stdio::null())
        .output()
        .unwrap();
    let log = String::from_utf8(child.stderr).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["message"], "A panic.", "{log}");
    assert_eq!((&lines[0]["thread"], &lines[0]["panic"]), (&"worker".into(), &"on purpose \u{1b}[31m".into()));
    assert!(lines[0]["location"].as_str().unwrap().contains("process.rs:") && !log.contains('\u{1b}'), "{log}");
    let last = lines.last().unwrap();
    assert!(last["message"].as_str().unwrap().ends_with("more lines like this left out."), "{log}");
    assert_eq!(last["lines"].as_u64().unwrap() + lines.len() as u64 - 2, 1_000);
}
