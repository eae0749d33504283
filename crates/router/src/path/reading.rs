//! How servers behind may read a normal path: decoded, and without the parameters of its segments. Rules are matched
//! against what is read, so that no spelling of a path gets around the rule that is for it.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::{Class, class, hex};

/// The readings of a path that has more than one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Readings {
    /// Decoded as [`as_read`] does.
    pub(crate) whole: String,
    /// The same without parameters, if it has any.
    pub(crate) cut: Option<String>,
}

impl Readings {
    /// Nothing for a path that everybody reads as it is written, after one pass over its bytes and without an allocation.
    pub(crate) fn of(path: &str) -> Option<Self> {
        memchr2(b'%', b';', path.as_bytes())?;
        let whole = as_read(path);
        let cut = cut(&whole);
        match whole {
            Cow::Borrowed(_) if cut.is_none() => None,
            whole => Some(Self { whole: whole.into_owned(), cut }),
        }
    }
}

/// A normal path with every character decoded that may stand for itself in a segment, `;` and `+` too: the one form in which
/// literals of patterns, regular expressions and requests are compared. It means the same to whoever decodes a path once.
pub(crate) fn as_read(path: &str) -> Cow<'_, str> {
    let mut read = String::new();
    let mut kept = 0;
    for at in escapes(path) {
        if let Some(byte) = escaped(path, at) {
            read.push_str(path.get(kept..at).unwrap_or_default());
            read.push(char::from(byte));
            kept = at + 3;
        }
    }
    if kept == 0 {
        return Cow::Borrowed(path);
    }
    read.push_str(path.get(kept..).unwrap_or_default());
    Cow::Owned(read)
}

/// Where in `path` the byte stands that is at `offset` in what [`as_read`] makes of it.
pub(crate) fn offset_before_reading(path: &str, offset: usize) -> usize {
    let decoded = escapes(path).filter(|&at| escaped(path, at).is_some());
    let mut shift = 0;
    for at in decoded {
        if at - shift >= offset {
            break;
        }
        shift += 2;
    }
    offset + shift
}

/// The path as servers read it that cut each segment at its first `;` and then collapse `//`, as Tomcat does. Nothing if no
/// segment has one. `path` is as [`as_read`] leaves it.
pub(crate) fn cut(path: &str) -> Option<String> {
    memchr(b';', path.as_bytes())?;
    let mut cut = String::with_capacity(path.len());
    for segment in path.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        if !name.is_empty() {
            cut.push('/');
            cut.push_str(name);
        }
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    if cut.is_empty() || last.is_empty() || last.starts_with(';') {
        cut.push('/');
    }
    Some(cut)
}

/// Where a `%` stands.
fn escapes(path: &str) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b'%', path.as_bytes())
}

/// What the escape at `at` stands for, if that may stand for itself.
fn escaped(path: &str, at: usize) -> Option<u8> {
    let &[high, low] = path.as_bytes().get(at + 1..)?.first_chunk::<2>()?;
    let byte = hex(high)? << 4 | hex(low)?;
    matches!(class(byte), Class::Plain | Class::Dot | Class::Semicolon).then_some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_one_reading_costs_nothing() {
        for path in ["/", "/a/b", "/a+b/@me", "/%C3%A9%20%2525/x"] {
            assert_eq!(Readings::of(path), None, "{path}");
        }
    }

    #[test]
    fn parameters_are_cut_as_tomcat_cuts_them() {
        for (path, expected) in [
            ("/a;b=c", "/a"),
            ("/a;b/c;d;e/f", "/a/c/f"),
            ("/;x/admin", "/admin"),
            ("/a/;x", "/a/"),
            ("/a/;x/", "/a/"),
            ("/;", "/"),
            ("/a;x/", "/a/"),
        ] {
            assert_eq!(cut(path).as_deref(), Some(expected), "{path}");
        }
        assert_eq!(cut("/a/b"), None);
    }

    #[test]
    fn offsets_lead_back_to_the_spelling_that_came() {
        let path = "/a%2Bb/%3B;%20/c";
        let read = as_read(path);
        assert_eq!(read, "/a+b/;;%20/c");
        for (offset, expected) in [(0, 0), (2, 2), (3, 5), (4, 6), (5, 7), (6, 10), (11, 15), (12, 16)] {
            assert_eq!(offset_before_reading(path, offset), expected, "{offset}");
        }
    }
}
