//! One spelling for one path: normalisation of the raw request path, done once, before matching.
//! What comes out is what is matched *and* what is forwarded, so that gateway and service never read a path differently.

use std::borrow::Cow;

mod error;
mod reading;
mod rewrite;
#[cfg(test)]
mod tests;

pub use error::PathError;
pub(crate) use reading::{Readings, as_read, offset_before_reading};

/// A path in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalised<'a> {
    /// Starts with `/`, printable ASCII only, no dot segment, no `//`. Borrowed when the input was normal already.
    pub path: Cow<'a, str>,
    /// What some servers would read as further slashes. Nothing for almost every request.
    pub ambiguity: Ambiguity,
}

impl<'a> Normalised<'a> {
    /// The path, if the policy of the matched route allows what is ambiguous in it.
    ///
    /// # Errors
    /// [`PathError::EncodedSlash`] or [`PathError::Backslash`].
    pub fn admitted_by(self, policy: PathPolicy) -> Result<Cow<'a, str>, PathError> {
        self.ambiguity.admitted_by(policy)?;
        Ok(self.path)
    }
}

/// Characters a path may hold that servers disagree about: `%2F` is data to one and a slash to the next.
///
/// [`normalise`] keeps and flags them, because only the route can say whether they are meant, and the route is known
/// only after matching.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ambiguity {
    /// The path holds `%2F`.
    pub encoded_slash: bool,
    /// The path holds `%5C`; a raw `\` was encoded so.
    pub backslash: bool,
}

impl Ambiguity {
    /// Nothing in the path is ambiguous.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Refuses what the policy does not allow.
    ///
    /// # Errors
    /// [`PathError::EncodedSlash`] or [`PathError::Backslash`].
    pub fn admitted_by(self, policy: PathPolicy) -> Result<(), PathError> {
        if self.encoded_slash && !policy.allow_encoded_slash {
            return Err(PathError::EncodedSlash);
        }
        if self.backslash && !policy.allow_backslash {
            return Err(PathError::Backslash);
        }
        Ok(())
    }
}

/// What a route tolerates in a path. Nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PathPolicy {
    /// Let `%2F` through, undecoded.
    pub allow_encoded_slash: bool,
    /// Let `%5C` through, undecoded.
    pub allow_backslash: bool,
}

/// Brings the path of a request target (without its query) into its one spelling.
///
/// - `//` is one `/`; then `.` and `..` segments are removed (RFC 3986 §5.2.4), their percent-encoded forms too;
/// - `%41` becomes `A`, and `%40` `@`: what may stand for itself in a segment does (RFC 3986 §3.3, `pchar`);
/// - but `%3B` and `%2B` stay, because a raw `;` begins the parameters of a segment and some servers take a raw `+` for a
///   space; and so do all encodings of reserved characters behind a `;`, which delimit there;
/// - all other percent-encodings stay, in upper case (§6.2.2.1);
/// - bytes that a path may not hold raw (space, `"<>[]^{|}`, a backtick, everything beyond ASCII) are percent-encoded.
///
/// A path that is normal already is borrowed, after one pass over its bytes. `normalise` is idempotent.
///
/// ```
/// # use portreeve_router::path::normalise;
/// assert_eq!(normalise("/a/./b//%7Euser/../c").unwrap().path, "/a/b/c");
/// assert_eq!(normalise("/items/all%3Adelete").unwrap().path, "/items/all:delete");
/// assert!(normalise("/../etc/passwd").is_err());
/// assert!(normalise("/a%2Fb").unwrap().ambiguity.encoded_slash);
/// ```
///
/// # Errors
/// [`PathError`]: a path that has no safe reading. Answer it with 400.
pub fn normalise(raw: &str) -> Result<Normalised<'_>, PathError> {
    if is_normal(raw.as_bytes()) {
        return Ok(Normalised { path: Cow::Borrowed(raw), ambiguity: Ambiguity::default() });
    }
    rewrite::rewrite(raw).map(|(path, ambiguity)| Normalised { path: Cow::Owned(path), ambiguity })
}

/// What one byte of a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Stands for itself.
    Plain,
    Slash,
    Dot,
    Semicolon,
    Percent,
    Backslash,
    /// C0 controls and DEL.
    Control,
    /// `?` or `#`: the caller has not cut the target.
    Delimiter,
    /// May not stand raw in a path (RFC 3986 §3.3 `pchar`).
    Encode,
}

fn class(byte: u8) -> Class {
    // The table is complete: the default is for the type only.
    CLASSES.get(usize::from(byte)).copied().unwrap_or(Class::Encode)
}

/// One load instead of the comparisons it is made of.
#[expect(clippy::indexing_slicing, reason = "runs while compiling, and a `u8` is an index into 256")]
static CLASSES: [Class; 256] = {
    let mut classes = [Class::Encode; 256];
    // Up to 254: no path holds the byte 255, which is not UTF-8.
    let mut byte = 0_u8;
    while byte < u8::MAX {
        classes[byte as usize] = classify(byte);
        byte += 1;
    }
    classes
};

const fn classify(byte: u8) -> Class {
    match byte {
        b'/' => Class::Slash,
        b'.' => Class::Dot,
        b';' => Class::Semicolon,
        b'%' => Class::Percent,
        b'\\' => Class::Backslash,
        b'?' | b'#' => Class::Delimiter,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' => Class::Plain,
        _ if is_unreserved(byte) => Class::Plain,
        0..=0x1f | 0x7f => Class::Control,
        _ => Class::Encode,
    }
}

const fn is_unreserved(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~')
}

/// Whether the normal spelling of a segment has this byte as it is. `is_parameter`: behind the first `;` of its segment,
/// where only unreserved characters are certain to mean the same in both spellings.
fn is_decoded(byte: u8, is_parameter: bool) -> bool {
    is_unreserved(byte) || !is_parameter && byte != b'+' && class(byte) == Class::Plain
}

/// How much of the current segment has been seen: only `.`, `..` and the first `;` matter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Empty,
    Dot,
    DotDot,
    Other,
    /// Behind a `;`.
    Parameter,
}

impl Shape {
    fn is_dots(self) -> bool {
        matches!(self, Self::Dot | Self::DotDot)
    }
}

/// Whether `rewrite` would change nothing and flag nothing. May say no too often, never yes too often.
fn is_normal(path: &[u8]) -> bool {
    let Some((b'/', mut rest)) = path.split_first() else {
        return false;
    };
    let mut shape = Shape::Empty;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        shape = match class(byte) {
            Class::Plain | Class::Dot | Class::Semicolon if shape == Shape::Parameter => Shape::Parameter,
            Class::Plain => Shape::Other,
            Class::Slash if matches!(shape, Shape::Other | Shape::Parameter) => Shape::Empty,
            Class::Dot => match shape {
                Shape::Empty => Shape::Dot,
                Shape::Dot => Shape::DotDot,
                Shape::DotDot | Shape::Other | Shape::Parameter => Shape::Other,
            },
            Class::Semicolon if !shape.is_dots() => Shape::Parameter,
            Class::Percent => {
                let Some((&[high, low], after)) = rest.split_first_chunk::<2>() else {
                    return false;
                };
                let is_parameter = shape == Shape::Parameter;
                let hides_dots = shape.is_dots() && (high, low) == (b'3', b'B');
                if hides_dots || !is_normal_encoding(high, low, is_parameter) {
                    return false;
                }
                rest = after;
                if is_parameter { shape } else { Shape::Other }
            }
            _ => return false,
        };
    }
    !shape.is_dots()
}

/// `%HL` in upper case, for a byte that must stay encoded and is harmless.
fn is_normal_encoding(high: u8, low: u8, is_parameter: bool) -> bool {
    if high.is_ascii_lowercase() || low.is_ascii_lowercase() {
        return false;
    }
    match (hex(high), hex(low)) {
        (Some(high), Some(low)) => {
            let byte = high << 4 | low;
            !is_decoded(byte, is_parameter) && class(byte) != Class::Control && byte != b'/' && byte != b'\\'
        }
        _ => false,
    }
}

/// The value of one hexadecimal digit.
pub(crate) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
