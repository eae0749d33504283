//! One field line, and the fields that mean more than themselves: to the framing, to the connection, to the routing.

use super::Refusal;
use super::lines::because_of_cr;
use crate::class::{self, TOKEN};

/// A field as it was sent, without the white space around its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

impl<'a> Field<'a> {
    /// `field-name ":" OWS field-value OWS` (RFC 9112 §5), without line end, and without obsolete folding.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, Refusal> {
        let at = class::run(line, TOKEN);
        let Some((name, [b':', value @ ..])) = line.split_at_checked(at) else {
            return Err(because_of_cr(line, no_colon(line, at)));
        };
        if name.is_empty() {
            return Err(because_of_cr(line, Refusal::FieldName));
        }
        if !class::is_value(value) {
            return Err(because_of_cr(line, Refusal::Control));
        }
        Ok(Self { name, value: class::trim(value) })
    }

    /// Whether this is the field of that name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// See [`is_look_alike`].
    pub(super) fn is_look_alike(&self) -> bool {
        is_look_alike(self.name)
    }

    /// The elements of a comma-separated list, empty ones too (RFC 9110 §5.6.1).
    pub(super) fn elements(&self) -> impl Iterator<Item = &'a [u8]> {
        self.value.split(|&byte| byte == b',').map(class::trim)
    }
}

/// Whether this is a name that some implementation takes for that of a framing field, but that is not it: `Content_Length`.
/// Servers that hand fields on as environment variables (RFC 3875 §4.1.18) cannot tell the two apart.
pub fn is_look_alike(name: &[u8]) -> bool {
    // Of the names that matter only these two have a hyphen that could be written otherwise.
    ["transfer-encoding", "content-length"].into_iter().any(|real| {
        real.len() == name.len()
            && !name.eq_ignore_ascii_case(real.as_bytes())
            && name.iter().zip(real.bytes()).all(|(&byte, real)| {
                let byte = if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
                byte == real
            })
    })
}

/// Why a line is no field whose first byte that is no part of a name, at `at`, is not a colon.
fn no_colon(line: &[u8], at: usize) -> Refusal {
    match line.get(at) {
        Some(b' ' | b'\t') if at == 0 => Refusal::Folding,
        Some(b' ' | b'\t') if class::trim_start(line.get(at..).unwrap_or_default()).starts_with(b":") => {
            Refusal::SpaceBeforeColon
        }
        Some(_) if line.contains(&b':') => Refusal::FieldName,
        _ => Refusal::FieldLine,
    }
}

/// Fields that `Connection` may not nominate: they say what the message is, where it goes and for whom, and whoever
/// removes them on the way changes that.
const NEVER_NOMINATED: &[&str] = &[
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "max-forwards",
    "origin",
    "range",
    "set-cookie",
    "transfer-encoding",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Fields that may not come after the body (RFC 9110 §6.5.1): framing, routing, modifiers of the request, credentials,
/// the form of the content, and control data of the answer.
const NEVER_TRAILER: &[&str] = &[
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "www-authenticate",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Whether `Connection` may name this option. An option names a field, whether or not there is one.
pub(super) fn may_be_nominated(option: &[u8]) -> bool {
    !NEVER_NOMINATED.iter().any(|name| option.eq_ignore_ascii_case(name.as_bytes()))
}

/// Whether this field may come after the body.
pub(super) fn may_be_trailer(field: &Field<'_>) -> bool {
    !field.is_look_alike() && !NEVER_TRAILER.iter().any(|name| field.is(name))
}
