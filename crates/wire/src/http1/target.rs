//! The request line: method, target, version (RFC 9112 §3).

use super::Refusal;
use super::host::HostPort;
use super::lines::because_of_cr;
use crate::class::{self, PATH, QUERY, TOKEN};

/// Longest method. Arbitrary: the longest registered one, `UPDATEREDIRECTREF`, has 17 characters.
pub const MAX_METHOD: usize = 32;

/// Bytes of a request line beside its target: method, two spaces, version, CRLF.
pub(super) const BESIDE_TARGET: usize = MAX_METHOD + 2 + 8 + 2;

/// A request line, taken apart.
#[derive(Debug)]
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a [u8],
    pub(super) target: Target<'a>,
    pub(super) is_http10: bool,
}

/// The forms of a target that we serve (RFC 9112 §3.2).
#[derive(Debug)]
pub(super) enum Target<'a> {
    /// `/path?query`
    Origin,
    /// `http://authority/path?query`
    Absolute {
        /// As it was sent, already found well-formed.
        authority: &'a [u8],
        /// The port of the scheme.
        default_port: u16,
    },
    /// `*`
    Asterisk,
}

/// Refuses a beginning of a request that no method can come of, so that who does not speak HTTP need not be waited for.
/// The answer depends on the first 33 bytes only.
pub(super) fn check_beginning<'a>(bytes: impl Iterator<Item = &'a u8>) -> Result<(), Refusal> {
    for (index, &byte) in bytes.enumerate() {
        // The end of the line before its first space is judged with the whole line.
        if matches!(byte, b' ' | b'\r' | b'\n') {
            return Ok(());
        }
        if index == MAX_METHOD || !class::is(byte, TOKEN) {
            return Err(Refusal::Method);
        }
    }
    Ok(())
}

impl<'a> RequestLine<'a> {
    /// `method SP request-target SP HTTP-version`, without line end.
    pub(super) fn parse(line: &'a [u8], target_bytes: usize) -> Result<Self, Refusal> {
        let parse = || {
            let (method, rest) = cut(line).ok_or(Refusal::RequestLine)?;
            let (target, version) = cut(rest).ok_or(Refusal::RequestLine)?;
            // Its length has been checked when it began.
            if !class::is_token(method) {
                return Err(Refusal::Method);
            }
            let is_http10 = match version {
                b"HTTP/1.1" => false,
                b"HTTP/1.0" => true,
                [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                    if major.is_ascii_digit() && minor.is_ascii_digit() =>
                {
                    return Err(Refusal::Version);
                }
                _ => return Err(Refusal::RequestLine),
            };
            if method == b"CONNECT" {
                return Err(Refusal::Connect);
            }
            if target.len() > target_bytes {
                return Err(Refusal::TargetTooLong);
            }
            Ok(Self { method, target: Target::parse(method, target)?, is_http10 })
        };
        parse().map_err(|refusal| because_of_cr(line, refusal))
    }
}

impl<'a> Target<'a> {
    fn parse(method: &[u8], target: &'a [u8]) -> Result<Self, Refusal> {
        match target {
            [] => Err(Refusal::RequestLine),
            [b'/', ..] => path_and_query(target).map(|()| Self::Origin),
            b"*" if method == b"OPTIONS" => Ok(Self::Asterisk),
            _ => Self::absolute(target),
        }
    }

    /// `absolute-form`, for the two schemes that lead here.
    fn absolute(target: &'a [u8]) -> Result<Self, Refusal> {
        let after = |scheme: &str| {
            let (start, rest) = target.split_at_checked(scheme.len())?;
            start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
        };
        let (rest, default_port) = match (after("http://"), after("https://")) {
            (Some(rest), _) => (rest, 80),
            (_, Some(rest)) => (rest, 443),
            _ => return Err(Refusal::TargetForm),
        };
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(Refusal::TargetForm)?;
        HostPort::parse(authority)?;
        path_and_query(path).map(|()| Self::Absolute { authority, default_port })
    }
}

/// Up to the first space, and after it.
fn cut(text: &[u8]) -> Option<(&[u8], &[u8])> {
    match text.split_at_checked(memchr::memchr(b' ', text)?) {
        Some((before, [_, after @ ..])) => Some((before, after)),
        _ => None,
    }
}

/// `*( pchar / "/" ) [ "?" *( pchar / "/" / "?" ) ]` (RFC 3986 §3.3, §3.4), and what browsers leave raw (docs/adr/0016).
fn path_and_query(mut text: &[u8]) -> Result<(), Refusal> {
    let mut part = PATH;
    loop {
        text = match text.get(class::run(text, part)..) {
            None | Some([]) => return Ok(()),
            Some([b'?', rest @ ..]) if part == PATH => {
                part = QUERY;
                rest
            }
            Some([b'%', high, low, rest @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            Some([b'%', ..]) => return Err(Refusal::TargetEscape),
            Some(_) => return Err(Refusal::Target),
        };
    }
}
