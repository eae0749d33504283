//! The slow half of normalisation: for paths that are not in their one spelling yet.

use super::{Ambiguity, Class, PathError, class, hex, is_decoded};

const UPPER_HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];

/// The normal spelling of `raw`, and what is ambiguous in it.
pub(super) fn rewrite(raw: &str) -> Result<(String, Ambiguity), PathError> {
    let relative = raw.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
    let mut out = String::with_capacity(raw.len() + 8);
    let mut offset = 1;
    let mut segments = relative.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let start = out.len();
        // An empty segment is one slash too many, unless it is the last: then it is the trailing slash.
        if !segment.is_empty() {
            out.push('/');
            push_segment(segment, offset, &mut out)?;
        }
        let written = out.get(start..).unwrap_or_default();
        match written {
            "" | "/." => out.truncate(start),
            "/.." => {
                out.truncate(start);
                let parent = out.rfind('/').ok_or(PathError::AboveRoot)?;
                out.truncate(parent);
            }
            _ if hides_dots(written.trim_start_matches('/')) => {
                return Err(PathError::HiddenDots { offset });
            }
            _ => {
                offset += segment.len() + 1;
                continue;
            }
        }
        if is_last {
            out.push('/');
        }
        offset += segment.len() + 1;
    }
    // Of what is forwarded: what `..` has removed confuses nobody.
    let ambiguity = Ambiguity { encoded_slash: out.contains("%2F"), backslash: out.contains("%5C") };
    Ok((out, ambiguity))
}

/// Appends one segment with every byte in its normal spelling.
fn push_segment(segment: &str, offset: usize, out: &mut String) -> Result<(), PathError> {
    let mut rest = segment.as_bytes();
    let mut is_parameter = false;
    while let Some((&byte, after)) = rest.split_first() {
        let offset = offset + segment.len() - rest.len();
        rest = after;
        match class(byte) {
            Class::Control => return Err(PathError::Control { offset }),
            Class::Delimiter => return Err(PathError::Delimiter { offset }),
            Class::Backslash | Class::Encode => push_encoded(byte, out),
            Class::Percent => {
                let malformed = PathError::MalformedEncoding { offset };
                let (&[high, low], after) = rest.split_first_chunk::<2>().ok_or(malformed)?;
                rest = after;
                let decoded = hex(high).ok_or(malformed)? << 4 | hex(low).ok_or(malformed)?;
                match decoded {
                    _ if is_decoded(decoded, is_parameter) => out.push(char::from(decoded)),
                    _ if class(decoded) == Class::Control => return Err(PathError::Control { offset }),
                    _ => push_encoded(decoded, out),
                }
            }
            Class::Semicolon => {
                is_parameter = true;
                out.push(';');
            }
            Class::Plain | Class::Slash | Class::Dot => out.push(char::from(byte)),
        }
    }
    Ok(())
}

fn push_encoded(byte: u8, out: &mut String) {
    out.push('%');
    for digit in [byte >> 4, byte & 0xf] {
        out.extend(UPPER_HEX.get(usize::from(digit)));
    }
}

/// Whether a server that cuts segment parameters (`..;x`, or `..%3Bx` if it decodes first), or that takes `%2F` or `%5C`
/// for a slash, would find a dot segment here. `segment` is normal and no dot segment itself.
fn hides_dots(segment: &str) -> bool {
    let mut rest = segment;
    loop {
        let end = rest.find("%2F").into_iter().chain(rest.find("%5C")).min();
        let piece = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
        let name = piece.split(';').next().unwrap_or_default();
        let name = name.split("%3B").next().unwrap_or_default();
        if matches!(name, "." | "..") {
            return true;
        }
        match end.and_then(|end| rest.get(end + 3..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
}
