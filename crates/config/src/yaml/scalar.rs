//! What a plain scalar means: the core schema of YAML 1.2 (§10.3.2).

use serde_json::Number;

use super::ScalarKind;

/// `yes`, `on`, dates and the like are strings. Infinities and NaN, which JSON lacks, stay strings too, so that a
/// number is refused where one is due.
pub(super) fn resolve(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => ScalarKind::Null,
        "true" | "True" | "TRUE" => ScalarKind::Bool(true),
        "false" | "False" | "FALSE" => ScalarKind::Bool(false),
        _ => number(text).map_or(ScalarKind::Str, ScalarKind::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return unsigned(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return unsigned(digits, 8);
    }
    let unsigned_text = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned_text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if unsigned_text.bytes().all(|b| b.is_ascii_digit()) {
        let signed = text.strip_prefix('+').unwrap_or(text);
        let whole = signed.parse::<i64>().map(Number::from);
        if let Ok(whole) = whole.or_else(|_| signed.parse::<u64>().map(Number::from)) {
            return Some(whole);
        }
    }
    let float_letters =
        unsigned_text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !float_letters || !unsigned_text.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

fn unsigned(digits: &str, radix: u32) -> Option<Number> {
    // from_str_radix would accept a sign.
    digits
        .starts_with(|c: char| c.is_ascii_hexdigit())
        .then(|| u64::from_str_radix(digits, radix).ok().map(Number::from))
        .flatten()
}
