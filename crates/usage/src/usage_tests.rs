//! What survives: restarts, crashes at any write, a full disk, two processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::{DAY, Outcome};

/// The beginning of an hour.
const START: i64 = 1_795_334_400;

fn settings(folder: &TempDir) -> Settings {
    Settings {
        max_keys: 160,
        keep: Keep { hours: 48, days: 31 },
        path: Some(folder.path().join("usage")),
        export: Some(Export { path: folder.path().join("out/usage.jsonl"), every: 900, max_size: 1 << 20, keep: 3 }),
    }
}

fn started(settings: &Settings, now: i64) -> Usage {
    let usage = Usage::new(now);
    usage.follow(Some(settings.clone()));
    usage
}

fn count(usage: &Usage, consumer: &str, times: u64) {
    let (consumer, route): (Arc<str>, Arc<str>) = (consumer.into(), "orders".into());
    for _ in 0..times {
        let event =
            Event { outcome: Outcome::Served, bytes_in: 3, bytes_out: 5, cost: 1, duration: Duration::from_millis(2) };
        usage.record(&Asked { consumer: Some(&consumer), route: Some(&route), ..Asked::default() }, &event);
    }
}

fn fine(failures: Vec<Failure>) {
    assert!(failures.is_empty(), "{failures:?}");
}

fn total(usage: &Usage, now: i64) -> u64 {
    let page = usage.page(&Query::parse([("window", "30d")], now).unwrap(), now).unwrap();
    serde_json::to_value(page).unwrap()["total"]["requests"].as_u64().unwrap()
}

/// Requests by consumer and when the span began, from all lines; fails when a span is there twice.
fn exported(path: &Path) -> BTreeMap<(String, String), u64> {
    let mut all = BTreeMap::new();
    for line in fs::read_to_string(path).unwrap_or_default().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let key = (line["since"].as_str().unwrap().to_owned(), line["consumer"].as_str().unwrap().to_owned());
        assert!(all.insert(key, line["requests"].as_u64().unwrap()).is_none(), "twice: {line}");
    }
    all
}

#[test]
fn usage_survives_a_restart_and_each_span_is_exported_once() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let out = folder.path().join("out/usage.jsonl");
    let usage = started(&settings, START);
    fine(usage.tick(START));
    count(&usage, "ada", 3);
    fine(usage.tick(START + 900));
    let first = ("2026-11-22T08:00:00Z".to_owned(), "ada".to_owned());
    assert_eq!(exported(&out), BTreeMap::from([(first.clone(), 3)]));
    count(&usage, "ada", 4);
    fine(usage.finish(START + 1000));
    assert_eq!(exported(&out).len(), 2, "the end of a process does not wait for the end of a span");

    let usage = started(&settings, START + 1010);
    fine(usage.tick(START + 1010));
    assert_eq!(total(&usage, START + 1010), 7);
    count(&usage, "ada", 5);
    fine(usage.tick(START + 1800));
    let lines = exported(&out);
    assert_eq!((lines.len(), lines.values().sum::<u64>(), lines[&first]), (3, 12, 3));
    assert_eq!(total(&usage, START + 1800), 12);
}

#[test]
fn killed_at_any_write_nothing_saved_is_lost_and_nothing_is_exported_twice() {
    // The folders as they were after each second stand for a kill at any of them; a kill within the steps of an export is
    // the state of one second with the exported file of another, longer one.
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let (state, out) = (folder.path().join("usage/state.json"), folder.path().join("out/usage.jsonl"));
    let usage = started(&settings, START);
    fine(usage.tick(START));
    count(&usage, "ada", 3);
    fine(usage.tick(START + 900));
    count(&usage, "bob", 4);
    fine(usage.tick(START + 1700));
    // What was saved just before the lines were written: taken where writing them fails.
    fs::rename(&out, folder.path().join("kept")).unwrap();
    fs::create_dir(&out).unwrap();
    assert_eq!(usage.tick(START + 1800)[0].stage, Stage::Export);
    fs::remove_dir(&out).unwrap();
    fs::rename(folder.path().join("kept"), &out).unwrap();
    let committed = fs::read(&out).unwrap();
    let before = fs::read(&state).unwrap();
    fine(usage.tick(START + 1801));
    let whole = fs::read(&out).unwrap();
    drop(usage);
    for written in (committed.len()..=whole.len()).step_by(7).chain([whole.len()]) {
        fs::write(&state, &before).unwrap();
        // The same file, cut short.
        fs::OpenOptions::new().write(true).open(&out).unwrap().set_len(0).unwrap();
        fs::write(&out, &whole[..written]).unwrap();
        let again = started(&settings, START + 1802);
        fine(again.tick(START + 1802));
        assert_eq!(exported(&out).values().sum::<u64>(), 7, "after {written} bytes");
        assert_eq!(total(&again, START + 1802), 7);
    }
}

#[test]
fn a_kill_loses_at_most_what_came_after_the_last_save() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let usage = started(&settings, START);
    fine(usage.tick(START));
    count(&usage, "ada", 3);
    fine(usage.tick(START + 10));
    count(&usage, "ada", 1);
    drop(usage);
    let usage = started(&settings, START + 20);
    fine(usage.tick(START + 20));
    assert_eq!(total(&usage, START + 20), 3);
}

#[test]
fn a_kill_between_the_state_and_the_file_of_an_hour_counts_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { export: None, ..settings(&folder) };
    let (state, hours) = (folder.path().join("usage/state.json"), folder.path().join("usage/hours"));
    let usage = started(&settings, START);
    fine(usage.tick(START));
    count(&usage, "ada", 3);
    fine(usage.tick(START + 3590));
    // The place of its file for new contents is taken: the state is written, and the file is not.
    let blocked = hours.join("2026-11-22T08Z.new");
    fs::create_dir(&blocked).unwrap();
    assert_eq!(usage.tick(START + 3600)[0].stage, Stage::Save);
    let killed_before = fs::read(&state).unwrap();
    fs::remove_dir(&blocked).unwrap();
    count(&usage, "ada", 1);
    fine(usage.tick(START + 3601));
    let killed_after = fs::read(&state).unwrap();
    drop(usage);
    assert!(hours.join("2026-11-22T08Z.json").exists());
    for (killed, known) in [(killed_before, 3), (killed_after, 4)] {
        fs::write(&state, killed).unwrap();
        let usage = started(&settings, START + 3602);
        usage.tick(START + 3602);
        assert_eq!(total(&usage, START + 3602), known);
        let page = usage.page(&Query::parse([("window", "3h")], START + 3602).unwrap(), START + 3602).unwrap();
        assert_eq!(serde_json::to_value(page).unwrap()["total"]["requests"], known, "in hours as in days");
    }
}

#[test]
fn what_is_over_is_not_written_again_with_every_save() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { export: None, ..settings(&folder) };
    let state = folder.path().join("usage/state.json");
    let usage = started(&settings, START);
    fine(usage.tick(START));
    (0..100).for_each(|n| count(&usage, &format!("consumer-{n}"), 1));
    fine(usage.tick(START + 10));
    let open = fs::metadata(&state).unwrap().len();
    fine(usage.tick(START + 3600));
    count(&usage, "ada", 1);
    fine(usage.tick(START + 3610));
    assert!(fs::metadata(&state).unwrap().len() < open / 10, "hour and day have files of their own");
    drop(usage);
    let usage = started(&settings, START + 3620);
    fine(usage.tick(START + 3620));
    assert_eq!(total(&usage, START + 3620), 101);
}

#[test]
fn many_rows_are_saved_as_much_less_often() {
    let due =
        |rows: usize| (1..10_000).find(|after| Saved { rows, at: START, ..Saved::default() }.is_due(START + after));
    assert_eq!([due(0), due(5_000), due(100_000), due(1_000_000)], [Some(10), Some(10), Some(60), Some(510)]);
}

#[test]
fn a_clock_that_starts_in_the_future_deletes_nothing_of_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let usage = started(&settings, START);
    fine(usage.tick(START));
    count(&usage, "ada", 3);
    fine(usage.finish(START + 3700));
    // Years ahead for an hour, with restarts; then set right.
    for start in [START + 900 * DAY, START + 900 * DAY + 1800] {
        let usage = started(&settings, start);
        fine(usage.tick(start));
        count(&usage, "ada", 1);
        (1..20).for_each(|minute| fine(usage.tick(start + minute * 60)));
        fine(usage.finish(start + 1200));
    }
    let usage = started(&settings, START + 8000);
    fine(usage.tick(START + 8000));
    assert_eq!(total(&usage, START + 8000), 3);
    // And what is really old goes, some time.
    let usage = {
        fine(usage.finish(START + 8001));
        started(&settings, START + 40 * DAY)
    };
    for minute in 0..=DAY / 60 {
        fine(usage.tick(START + 40 * DAY + minute * 60));
    }
    let name = folder.path().join("usage/days/2026-11-22Z.json");
    assert!(!name.exists());
}

#[test]
fn a_clock_that_is_set_back_is_exported_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let out = folder.path().join("out/usage.jsonl");
    let usage = started(&settings, START + DAY);
    fine(usage.tick(START + DAY));
    count(&usage, "ada", 3);
    fine(usage.tick(START + DAY + 60));
    fine(usage.tick(START + 30));
    assert_eq!(exported(&out), BTreeMap::from([(("2026-11-23T08:00:00Z".to_owned(), "ada".to_owned()), 3)]));
    let line: Value = serde_json::from_str(fs::read_to_string(&out).unwrap().lines().next().unwrap()).unwrap();
    assert_eq!(line["until"], "2026-11-23T08:01:00Z", "as far as that clock had come");
    count(&usage, "ada", 4);
    fine(usage.tick(START + 900));
    assert_eq!(exported(&out)[&("2026-11-22T08:00:30Z".to_owned(), "ada".to_owned())], 4);
    // Nothing is lost over a restart either, with hours in files that are after the present one.
    fine(usage.finish(START + 901));
    let usage = started(&settings, START + 910);
    fine(usage.tick(START + 910));
    count(&usage, "ada", 1);
    fine(usage.tick(START + DAY + 120));
    assert_eq!(total(&usage, START + DAY + 120), 8);
}

#[test]
fn the_next_process_takes_over_what_this_one_leaves_when_it_leaves_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let first = started(&settings, START);
    fine(first.tick(START));
    count(&first, "ada", 3);
    let next = started(&settings, START + 5);
    assert_eq!(next.tick(START + 5)[0].stage, Stage::Lock);
    count(&next, "ada", 10);
    count(&first, "ada", 1);
    fine(first.finish(START + 30));
    fine(next.tick(START + 31));
    assert_eq!(total(&next, START + 31), 14);
    fine(next.finish(START + 40));
    assert_eq!(exported(&folder.path().join("out/usage.jsonl")).values().sum::<u64>(), 14);
}

#[test]
fn spans_that_end_while_another_process_has_the_folder_are_exported_when_it_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let first = started(&settings, START);
    fine(first.tick(START));
    count(&first, "ada", 4);
    let next = started(&settings, START + 5);
    count(&next, "ada", 10);
    assert_eq!(next.tick(START + 900)[0].stage, Stage::Lock);
    count(&next, "ada", 2);
    fine(first.finish(START + 905));
    fine(next.tick(START + 906));
    let out = folder.path().join("out/usage.jsonl");
    assert_eq!(exported(&out).values().sum::<u64>(), 14);
    fine(next.finish(START + 910));
    assert_eq!(exported(&out).values().sum::<u64>(), 16);
}

#[test]
fn an_hour_that_goes_before_it_had_a_file_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let usage = started(&Settings { keep: Keep { hours: 1, days: 1 }, ..settings(&folder) }, START);
    fine(usage.tick(START));
    count(&usage, "ada", 3);
    fine(usage.tick(START + 3600));
    count(&usage, "ada", 2);
    fine(usage.tick(START + 7200));
    assert_eq!(fs::read_dir(folder.path().join("usage/hours")).unwrap().count(), 0);
}

#[test]
fn an_unreadable_file_is_put_aside_told_and_the_others_count() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let usage = started(&settings, START);
    fine(usage.tick(START));
    count(&usage, "ada", 3);
    fine(usage.tick(START + 3600));
    count(&usage, "ada", 2);
    fine(usage.finish(START + 3700));
    let state = folder.path().join("usage/state.json");
    fs::write(&state, "{\"format\": 1, \"open").unwrap();
    let usage = started(&settings, START + 3701);
    let failures = usage.tick(START + 3701);
    assert!(failures[0].stage == Stage::Load && failures[0].error.contains("put aside"), "{failures:?}");
    let page = usage.page(&Query::parse([("window", "3h")], START + 3701).unwrap(), START + 3701).unwrap();
    assert_eq!(serde_json::to_value(page).unwrap()["total"]["requests"], 5, "every hour has a file of its own");
    let aside = folder.path().join(format!("usage/state.json.unreadable-{}", START + 3701));
    assert!(aside.exists());
    fine(usage.tick(START + 3702));
}

#[test]
fn what_cannot_be_written_is_told_and_written_when_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let usage = started(&settings, START);
    fine(usage.tick(START));
    // Its place for new contents is taken by a folder.
    let blocked = folder.path().join("usage/state.new");
    fs::create_dir(&blocked).unwrap();
    count(&usage, "ada", 3);
    assert_eq!(usage.tick(START + 900)[0].stage, Stage::Save);
    assert_eq!(total(&usage, START + 900), 3, "counting goes on");
    assert!(exported(&folder.path().join("out/usage.jsonl")).is_empty(), "nothing is exported that could be again");
    fs::remove_dir(&blocked).unwrap();
    fine(usage.tick(START + 901));
    assert_eq!(exported(&folder.path().join("out/usage.jsonl")).values().sum::<u64>(), 3);
}

#[test]
fn an_export_that_fails_for_days_lets_the_oldest_go_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    fs::create_dir_all(folder.path().join("out/usage.jsonl")).unwrap();
    let usage = started(&settings, START);
    let mut dropped = 0;
    for quarter in 0..4 * 50 {
        count(&usage, "ada", 1);
        let failures = usage.tick(START + (quarter + 1) * 900);
        dropped += failures.iter().filter(|failure| failure.stage == Stage::Dropped).count();
    }
    assert!(dropped > 0 && dropped <= 8, "{dropped}");
    fs::remove_dir(folder.path().join("out/usage.jsonl")).unwrap();
    fine(usage.tick(START + 200 * 900 + 1));
    assert!(exported(&folder.path().join("out/usage.jsonl")).values().sum::<u64>() >= 47 * 4);
}

#[test]
fn a_file_that_is_long_enough_is_followed_by_another_and_one_that_was_moved_away_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&folder);
    settings.export.as_mut().unwrap().max_size = 1;
    let out = folder.path().join("out/usage.jsonl");
    let usage = started(&settings, START);
    for quarter in 1..=5 {
        count(&usage, "ada", quarter);
        fine(usage.tick(START + i64::try_from(quarter).unwrap() * 900));
    }
    let part = |number: u32| exported(&out.with_extension(format!("jsonl.{number}"))).into_values().sum::<u64>();
    assert_eq!((part(1), part(2), part(3), part(4)), (5, 4, 3, 0), "as many as are kept");

    settings.export.as_mut().unwrap().max_size = 1 << 20;
    usage.follow(Some(settings));
    count(&usage, "ada", 6);
    fine(usage.tick(START + 6 * 900));
    fs::rename(&out, out.with_extension("moved")).unwrap();
    count(&usage, "ada", 7);
    fine(usage.tick(START + 7 * 900));
    assert_eq!(exported(&out).into_values().sum::<u64>(), 7);
    assert_eq!(exported(&out.with_extension("moved")).into_values().sum::<u64>(), 6);
}

#[test]
fn what_is_switched_off_counts_nothing() {
    let usage = Usage::new(START);
    count(&usage, "ada", 1);
    assert_eq!(total(&usage, START), 0);
    let folder = tempfile::tempdir().unwrap();
    usage.follow(Some(settings(&folder)));
    count(&usage, "ada", 1);
    usage.follow(None);
    count(&usage, "ada", 1);
    assert_eq!(total(&usage, START), 1);
}
