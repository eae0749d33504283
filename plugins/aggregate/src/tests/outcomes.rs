//! Every outcome of up to four calls, required or optional, against a model that knows no time.

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Answers,
    Fails,
    TimesOut,
}

const OUTCOMES: [Outcome; 3] = [Outcome::Answers, Outcome::Fails, Outcome::TimesOut];

fn stubs() -> Setup<Aggregate> {
    Probe::setup()
        .upstream("answers", |call| Ok(answer(200, format!("\"{}\"", call.target.path()))))
        .upstream("fails", |_| Ok(answer(500, "")))
        .upstream_slow("times-out", Duration::MAX, |_| Ok(answer(200, "")))
}

fn settings(calls: &[(Outcome, bool)]) -> Value {
    let call = |(index, (outcome, optional)): (usize, &(Outcome, bool))| {
        let upstream = match outcome {
            Outcome::Answers => "answers",
            Outcome::Fails => "fails",
            Outcome::TimesOut => "times-out",
        };
        let mut call = json!({ "upstream": upstream, "path": format!("/{index}"), "optional": optional });
        if *optional {
            call["fallback"] = json!(-1);
        }
        (format!("c{index}"), call)
    };
    let body: Vec<String> = (0..calls.len()).map(|index| format!("${{calls.c{index}}}")).collect();
    let calls: serde_json::Map<_, _> = calls.iter().enumerate().map(call).collect();
    json!({ "timeout": "2ms", "calls": calls, "body": body })
}

/// Status, body and `x-partial`.
fn model(calls: &[(Outcome, bool)]) -> (u16, Option<Value>, Option<String>) {
    let any_required = |wanted| calls.contains(&(wanted, false));
    // What fails does so before a deadline passes.
    if any_required(Outcome::Fails) {
        return (502, None, None);
    }
    if any_required(Outcome::TimesOut) {
        return (504, None, None);
    }
    let answered = |(index, (outcome, _)): (usize, &(Outcome, bool))| match outcome {
        Outcome::Answers => json!(format!("/{index}")),
        _ => json!(-1),
    };
    let body = calls.iter().enumerate().map(answered).collect();
    let missing: Vec<_> = (0..calls.len()).filter(|index| calls[*index].0 != Outcome::Answers).collect();
    let partial = missing.iter().map(|index| format!("c{index}")).collect::<Vec<_>>().join(", ");
    (200, Some(body), (!missing.is_empty()).then_some(partial))
}

/// Every way to give `count` calls an outcome and a flag.
fn combinations(count: u32) -> impl Iterator<Item = Vec<(Outcome, bool)>> {
    (0..6_usize.pow(count)).map(move |number| {
        let digit = |place: u32| number / 6_usize.pow(place) % 6;
        (0..count).map(|place| (OUTCOMES[digit(place) % 3], digit(place) >= 3)).collect()
    })
}

#[test]
fn every_outcome_of_up_to_four_calls_is_as_the_model_says() {
    for calls in (1..=4).flat_map(combinations) {
        let probe = stubs().build(settings(&calls));
        let answered = ask(&probe, "/dashboard/7");
        let body = (answered.status == 200).then(|| answered.json());
        let partial = answered.header("x-partial").map(str::to_owned);
        assert_eq!((answered.status.as_u16(), body, partial), model(&calls), "{calls:?}");
    }
}
