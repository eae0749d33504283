//! The line before a chunk: `chunk-size [ chunk-ext ]` (RFC 9112 §7.1).

use super::Refusal;
use super::lines::because_of_cr;
use crate::class::{self, QUOTED, TOKEN, VALUE};

/// The size of the chunk that follows, and the bytes of the extensions. These must be well-formed, and mean nothing.
pub(super) fn size(line: &[u8]) -> Result<(u64, usize), Refusal> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let parse = || {
        let (digits, extensions) = line.split_at_checked(digits).ok_or(Refusal::ChunkSize)?;
        if digits.is_empty() || digits.len() > 16 {
            return Err(Refusal::ChunkSize);
        }
        check_extensions(extensions)?;
        // 16 digits fill the number exactly.
        let size = digits.iter().fold(0, |sum, &digit| sum << 4 | u64::from(hex(digit)));
        Ok((size, extensions.len()))
    };
    parse().map_err(|refusal| because_of_cr(line, refusal))
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` (RFC 9112 §7.1.1).
fn check_extensions(mut rest: &[u8]) -> Result<(), Refusal> {
    while !rest.is_empty() {
        rest = match class::trim_start(rest) {
            [b';', rest @ ..] => token(class::trim_start(rest))?,
            // Something after the size that begins no extension spoils the size.
            _ => return Err(Refusal::ChunkSize),
        };
        if let [b'=', value @ ..] = class::trim_start(rest) {
            rest = match class::trim_start(value) {
                [b'"', quoted @ ..] => after_quoted(quoted)?,
                value => token(value)?,
            };
        }
    }
    Ok(())
}

/// What follows the token at the beginning.
fn token(text: &[u8]) -> Result<&[u8], Refusal> {
    match class::run(text, TOKEN) {
        0 => Err(Refusal::ChunkExtension),
        length => Ok(text.get(length..).unwrap_or_default()),
    }
}

/// What follows a quoted string, given what follows its first quote (RFC 9110 §5.6.4).
fn after_quoted(mut text: &[u8]) -> Result<&[u8], Refusal> {
    loop {
        text = match text.get(class::run(text, QUOTED)..) {
            Some([b'"', rest @ ..]) => return Ok(rest),
            Some([b'\\', escaped, rest @ ..]) if class::is(*escaped, VALUE) => rest,
            _ => return Err(Refusal::ChunkExtension),
        };
    }
}
