//! The status line: `HTTP-version SP status-code SP [ reason-phrase ]` (RFC 9112 §4).

use super::lines::because_of_cr;
use super::{Flaw, Refusal};
use crate::class;

/// What every answer that we read begins with.
const BEGINNING: &[u8] = b"HTTP/1.";

/// Where in a status line the reason begins.
pub(super) const REASON: usize = "HTTP/1.1 200 ".len();

/// Refuses what no status line can come of, without waiting for the end of the line.
pub(super) fn check_beginning<'a>(bytes: impl Iterator<Item = &'a u8>) -> Result<(), Flaw> {
    if bytes.zip(BEGINNING).all(|(byte, wanted)| byte == wanted) { Ok(()) } else { Err(Flaw::StatusLine) }
}

/// Whether the version is 1.0, and the status. The space after the status must be there, reason or not.
pub(super) fn parse(line: &[u8]) -> Result<(bool, u16), Flaw> {
    let flaw = || match because_of_cr(line, Refusal::RequestLine) {
        Refusal::BareCr => Flaw::Malformed(Refusal::BareCr),
        _ => Flaw::StatusLine,
    };
    let (is_http10, rest) = match line.strip_prefix(BEGINNING) {
        Some([b'1', b' ', rest @ ..]) => (false, rest),
        Some([b'0', b' ', rest @ ..]) => (true, rest),
        _ => return Err(flaw()),
    };
    match rest {
        [a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', reason @ ..] if class::is_value(reason) => {
            let digit = |digit: &u8| u16::from(digit - b'0');
            Ok((is_http10, digit(a) * 100 + digit(b) * 10 + digit(c)))
        }
        _ => Err(flaw()),
    }
}
