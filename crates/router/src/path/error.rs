//! Why a path is refused. Every case is a 400: none has a reading that gateway and service are sure to share.

use std::fmt;

/// A path that has no safe reading. Offsets are bytes into the raw path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// Does not start with `/`: `*`, an authority, or nothing at all.
    NotAbsolute,
    /// `..` climbs above the root.
    AboveRoot,
    /// `%` is not followed by two hexadecimal digits.
    MalformedEncoding {
        /// Where the `%` stands.
        offset: usize,
    },
    /// NUL, another C0 control or DEL, raw or percent-encoded.
    Control {
        /// Where it stands.
        offset: usize,
    },
    /// A raw `?` or `#`: a query or fragment is not part of the path.
    Delimiter {
        /// Where it stands.
        offset: usize,
    },
    /// A dot segment that only some servers see: `..;x`, `..%2F`, `..\`.
    HiddenDots {
        /// Where the segment starts.
        offset: usize,
    },
    /// `%2F`, and the route does not allow it.
    EncodedSlash,
    /// `\` or `%5C`, and the route does not allow it.
    Backslash,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAbsolute => f.write_str("path does not start with `/`"),
            Self::AboveRoot => f.write_str("path climbs above the root"),
            Self::MalformedEncoding { offset } => {
                write!(f, "malformed percent-encoding at byte {offset} of the path")
            }
            Self::Control { offset } => write!(f, "control character at byte {offset} of the path"),
            Self::Delimiter { offset } => write!(f, "raw `?` or `#` at byte {offset} of the path"),
            Self::HiddenDots { offset } => write!(f, "disguised dot segment at byte {offset} of the path"),
            Self::EncodedSlash => f.write_str("encoded slash in the path"),
            Self::Backslash => f.write_str("backslash in the path"),
        }
    }
}

impl std::error::Error for PathError {}
