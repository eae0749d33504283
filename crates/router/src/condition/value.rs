//! A value of a request, compared without being decoded into memory first.

use std::borrow::Cow;

use crate::path::hex;

/// A value as it stands in the request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    /// Stands for itself.
    Plain(&'a [u8]),
    /// Form-encoded: `%41` is `A`, `+` is a space. A malformed `%` stands for itself.
    Form(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(crate) fn equals(self, wanted: &[u8]) -> bool {
        match self {
            Self::Plain(given) => given == wanted,
            Self::Form(given) => Form(given).eq(wanted.iter().copied()),
        }
    }

    pub(crate) fn starts_with(self, wanted: &[u8]) -> bool {
        match self {
            Self::Plain(given) => given.starts_with(wanted),
            Self::Form(given) => {
                let mut given = Form(given);
                wanted.iter().all(|&wanted| given.next() == Some(wanted))
            }
        }
    }

    /// The bytes meant. Allocates only for a form value that has something encoded: the one allocation a lookup can
    /// make, and only for a regular expression over a query parameter.
    pub(crate) fn decoded(self) -> Cow<'a, [u8]> {
        match self {
            Self::Form(given) if given.iter().any(|byte| matches!(byte, b'%' | b'+')) => {
                Cow::Owned(Form(given).collect())
            }
            Self::Plain(given) | Self::Form(given) => Cow::Borrowed(given),
        }
    }
}

/// The bytes that a form-encoded text means.
struct Form<'a>(&'a [u8]);

impl Iterator for Form<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        match byte {
            b'+' => Some(b' '),
            b'%' => {
                let Some((&[high, low], after)) = rest.split_first_chunk::<2>() else {
                    return Some(byte);
                };
                let (Some(high), Some(low)) = (hex(high), hex(low)) else {
                    return Some(byte);
                };
                self.0 = after;
                Some(high << 4 | low)
            }
            _ => Some(byte),
        }
    }
}
