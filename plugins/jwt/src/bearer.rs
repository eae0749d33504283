//! Finds the token in the head of a request (RFC 6750 §2.1), as bytes: turning them into text would read them once more.

use http::{HeaderMap, HeaderName, header};

use crate::refusal::Refusal;

/// The longest token that is looked at, in bytes. Most servers take no longer header line anyway.
const MAX_TOKEN: usize = 8 * 1024;

/// Where the token stands.
#[derive(Debug)]
pub(crate) struct Bearer {
    header: HeaderName,
    /// Whether the token may stand in the header without `Bearer` before it.
    bare: bool,
}

impl Bearer {
    pub(crate) fn new(header: HeaderName) -> Self {
        Self { bare: header != header::AUTHORIZATION, header }
    }

    pub(crate) fn header(&self) -> &HeaderName {
        &self.header
    }

    /// The token.
    ///
    /// Two fields are refused rather than one of them believed: the upstream might believe the other.
    pub(crate) fn find<'h>(&self, headers: &'h HeaderMap) -> Result<&'h [u8], Refusal> {
        let mut fields = headers.get_all(&self.header).iter();
        let Some(field) = fields.next() else { return Err(Refusal::missing("there is no token")) };
        if fields.next().is_some() {
            return Err(Refusal::invalid("the header of the token comes more than once"));
        }
        let field = field.as_bytes();
        let token = match (strip_scheme(field), self.bare) {
            (Some(token), _) => token,
            (None, true) => field,
            (None, false) => return Err(Refusal::missing("the credentials are not a bearer token")),
        };
        match token.trim_ascii() {
            [] => Err(Refusal::missing("the token is empty")),
            token if token.len() > MAX_TOKEN => Err(Refusal::invalid("the token is longer than 8 KiB")),
            token => Ok(token),
        }
    }
}

/// What stands behind `Bearer` and a space; the scheme is case-insensitive (RFC 9110 §11.1).
fn strip_scheme(field: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = field.split_at_checked(6)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer") && rest.first().is_none_or(|byte| *byte == b' ');
    is_bearer.then_some(rest)
}
