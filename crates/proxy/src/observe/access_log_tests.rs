//! Each line is what `serde_json` makes of the same fields, whatever is in them.

use http::StatusCode;
use portreeve_plugin::{Decision, Verdict};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// The lines that come of some entries, as text.
fn written(entries: &[&dyn Fn(&AccessLog)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::file(&path, IntCounter::new("dropped", "dropped").unwrap()).unwrap();
    for entry in entries {
        entry(&log);
    }
    log.flush(Duration::from_secs(20));
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// A line and its object, without the time that is in both.
fn object(text: &str) -> Value {
    let mut line: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let time = line.as_object_mut().unwrap().shift_remove("time").unwrap();
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    assert!((jiff::Timestamp::now() - time).abs().total(jiff::Unit::Second).unwrap() < 60.0);
    line
}

fn line<'l>(text: &'l str, decisions: &'l [Decision]) -> Line<'l> {
    Line {
        request_id: text,
        generation: 3,
        client_ip: "2001:db8::1".parse().unwrap(),
        listener: text,
        method: text,
        host: text,
        path: text,
        status: Some(200),
        grpc_status: Some(14),
        route: Some(text),
        consumer: Some(text),
        auth_method: Some(text),
        credential: Some(text),
        upstream: Some(text),
        target: Some("10.0.0.255:65535".parse().unwrap()),
        attempts: 2,
        hedge: Some("won"),
        duration: Duration::from_micros(1_234_567),
        bytes_in: 5,
        bytes_out: u64::MAX,
        reason: Some("no_target"),
        error: Some(text),
        decisions,
    }
}

fn full(text: &str, decisions: &Value) -> Value {
    json!({
        "request_id": text, "generation": 3, "client_ip": "2001:db8::1", "listener": text, "method": text, "host": text,
        "path": text, "status": 200, "grpc_status": 14, "route": text, "consumer": text, "auth_method": text,
        "credential": text, "upstream": text,
        "target": "10.0.0.255:65535", "attempts": 2, "hedge": "won", "duration_ms": 1234.567, "bytes_in": 5,
        "bytes_out": u64::MAX, "reason": "no_target", "error": text, "decisions": decisions,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_line_is_what_serde_json_makes_of_the_same_fields(
        text in prop_oneof![any::<String>(), "[\\x00-\\x20\"\\\\/\\x7f\\u{80}-\\u{a0}ab]{0,40}"],
        why in any::<String>(),
    ) {
        let decisions = [Decision {
            step: "jwt".into(),
            place: "gateway.yaml:7".into(),
            plugin: "jwt",
            what: Verdict::Respond(StatusCode::UNAUTHORIZED),
            why: why.clone().into(),
        }];
        let wanted = json!([{ "step": "jwt", "place": "gateway.yaml:7", "what": decisions[0].what.as_str(), "why": why }]);
        let lines = written(&[&|log| log.write(&line(&text, &decisions))]);
        let (told, wanted) = (object(&lines[0]), full(&text, &wanted));
        prop_assert_eq!(&told, &wanted);
        // And in the same order, which people are used to.
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        prop_assert_eq!(names(&told), names(&wanted));
    }
}

#[test]
fn what_does_not_apply_is_null_or_not_there() {
    let least = Line {
        status: None,
        grpc_status: None,
        route: None,
        consumer: None,
        auth_method: None,
        credential: None,
        upstream: None,
        target: None,
        hedge: None,
        reason: None,
        error: None,
        ..line("x", &[])
    };
    let lines = written(&[&|log| log.write(&least), &|log| {
        log.write(&RefusedLine {
            generation: 1,
            client_ip: "10.0.0.1".parse().unwrap(),
            listener: "public",
            duration: Duration::from_micros(1500),
            reason: "tls",
        });
    }]);
    let mut wanted = full("x", &json!([]));
    let fields = wanted.as_object_mut().unwrap();
    for name in ["grpc_status", "auth_method", "credential", "hedge", "reason", "error", "decisions"] {
        fields.shift_remove(name);
    }
    for name in ["status", "route", "consumer", "upstream", "target"] {
        fields[name] = Value::Null;
    }
    assert_eq!(object(&lines[0]), wanted);
    assert_eq!(
        object(&lines[1]),
        json!({ "kind": "refused", "generation": 1, "client_ip": "10.0.0.1", "listener": "public", "duration_ms": 1.5, "reason": "tls" })
    );
}

#[test]
fn a_path_that_is_very_long_is_cut() {
    let path = "/".repeat(100_000);
    let lines = written(&[&|log| log.write(&Line { path: &path, ..line("x", &[]) })]);
    let told = object(&lines[0]);
    let told = told["path"].as_str().unwrap();
    assert!(told.len() < 9_000 && told.ends_with("/…"), "{}", told.len());
}
