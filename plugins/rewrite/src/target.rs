//! What a target must be to be sent: one form of a path, so that nobody behind reads it as another.

use http::uri::PathAndQuery;

/// A path and an optional query as one target, if the path is sound and both fit.
pub(crate) fn join(path: &str, query: Option<&str>) -> Option<PathAndQuery> {
    if !is_sound(path) {
        return None;
    }
    match query {
        None => PathAndQuery::try_from(path).ok(),
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")).ok(),
    }
}

/// Whether a path begins with a slash, has no empty segment but perhaps the last, no `.` or `..`, also not encoded, no
/// broken percent-encoding, and none of the characters that end a path.
pub(crate) fn is_sound(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else { return false };
    let is_plain = path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\\"<>^`{|}".contains(&b));
    is_plain && !path.contains("//") && whole_escapes(path) && !segments.split('/').any(is_dots)
}

/// Whether every `%` is followed by two hexadecimal digits.
fn whole_escapes(path: &str) -> bool {
    let mut pieces = path.split('%');
    pieces.next();
    pieces.all(|piece| piece.as_bytes().iter().take(2).filter(|byte| byte.is_ascii_hexdigit()).count() == 2)
}

/// The first escape in the text that no path has by the time it is looked at: the gateway decodes what may stand for itself
/// in a segment, but for `+` and `;` (`pchar`, RFC 3986 §3.3).
pub(crate) fn never_in_a_path(text: &str) -> Option<(&str, char)> {
    text.match_indices('%').find_map(|(at, _)| {
        let escape = text.get(at..at + 3)?;
        let byte = u8::from_str_radix(escape.get(1..)?, 16).ok()?;
        let is_decoded = byte.is_ascii_alphanumeric() || b"-._~!$&'()*,=:@".contains(&byte);
        is_decoded.then_some((escape, char::from(byte)))
    })
}

/// Whether a segment is `.` or `..` once decoded.
fn is_dots(segment: &str) -> bool {
    let decoded = percent_encoding::percent_decode_str(segment).take(3);
    let mut dots = 0;
    for byte in decoded {
        if byte != b'.' {
            return false;
        }
        dots += 1;
    }
    matches!(dots, 1 | 2)
}

/// How many separators and NULs a path hides in percent-encoding. A rewrite must not make new ones.
pub(crate) fn hidden_separators(path: &str) -> usize {
    let hidden = |piece: &&str| {
        piece.get(..2).is_some_and(|code| ["2f", "5c", "00"].iter().any(|hidden| hidden.eq_ignore_ascii_case(code)))
    };
    path.split('%').skip(1).filter(hidden).count()
}
