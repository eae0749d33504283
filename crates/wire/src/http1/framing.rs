//! The fields on which the end of a message and the life of the connection depend, gathered while a head is read.

use super::Refusal;
use super::field::{self, Field};
use crate::class;

/// Most options of all `Connection` fields of a head together. Arbitrary: browsers send two.
const MAX_OPTIONS: u8 = 10;

/// What the framing fields said so far.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; they do not form states")]
pub(super) struct Framing {
    pub(super) content_length: Option<u64>,
    pub(super) is_chunked: bool,
    /// `Connection` options that mean something to us.
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    options: u8,
    /// What `Upgrade` offers.
    pub(super) offer: Offer,
}

/// Protocols in `Upgrade`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    #[default]
    Nothing,
    /// Only `h2c`, which clients send on chance with any request, and which is not to be answered (RFC 9113 §3.1).
    OnlyH2c,
    Something,
}

impl Framing {
    /// Notes what `field` says. Whether it was one of those that matter here.
    pub(super) fn note(&mut self, field: &Field<'_>) -> Result<bool, Refusal> {
        // By length first: nearly all fields end here.
        match field.name.len() {
            7 if field.is("upgrade") => self.note_upgrade(field)?,
            10 if field.is("connection") => self.note_connection(field)?,
            14 if field.is("content-length") => self.note_content_length(field.value)?,
            17 if field.is("transfer-encoding") => self.note_transfer_encoding(field.value)?,
            14 | 17 if field.is_look_alike() => return Err(Refusal::LookAlike),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn note_content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.content_length.is_some() {
            return Err(Refusal::ContentLengthDoubled);
        }
        if self.is_chunked {
            return Err(Refusal::LengthAndCoding);
        }
        // 19 digits cannot overflow.
        if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
            return Err(Refusal::ContentLength);
        }
        self.content_length = Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')));
        Ok(())
    }

    fn note_transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.is_chunked {
            return Err(Refusal::TransferEncodingDoubled);
        }
        if self.content_length.is_some() {
            return Err(Refusal::LengthAndCoding);
        }
        // `gzip, chunked` is a coding of the hop that nobody here would undo.
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::TransferEncoding);
        }
        self.is_chunked = true;
        Ok(())
    }

    fn note_connection(&mut self, field: &Field<'_>) -> Result<(), Refusal> {
        for option in field.elements() {
            self.options += 1;
            // Empty elements are to be ignored, a reasonable number of them (RFC 9110 §5.6.1.2).
            if self.options > MAX_OPTIONS || !option.is_empty() && !class::is_token(option) {
                return Err(Refusal::Connection);
            }
            if !field::may_be_nominated(option) {
                return Err(Refusal::ConnectionNominates);
            }
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
        Ok(())
    }

    /// `Upgrade = #( protocol-name [ "/" protocol-version ] )` (RFC 9110 §7.8), of which there must be one.
    fn note_upgrade(&mut self, field: &Field<'_>) -> Result<(), Refusal> {
        for protocol in field.elements() {
            let (name, version) = match memchr::memchr(b'/', protocol).and_then(|at| protocol.split_at_checked(at)) {
                Some((name, [_, version @ ..])) => (name, Some(version)),
                _ => (protocol, None),
            };
            if !class::is_token(name) || version.is_some_and(|version| !class::is_token(version)) {
                return Err(Refusal::Upgrade);
            }
            self.offer = match self.offer {
                Offer::Nothing | Offer::OnlyH2c if protocol.eq_ignore_ascii_case(b"h2c") => Offer::OnlyH2c,
                _ => Offer::Something,
            };
        }
        Ok(())
    }
}
