//! OCSP responses (RFC 6960) to staple: read as far as telling whether one is worth sending. Clients verify it.

use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::x509::{day, moment, now};

/// A response that may be stapled.
#[derive(Debug)]
pub(super) struct Staple {
    /// As it was read (DER).
    pub(super) response: Vec<u8>,
    /// When it is past its time.
    pub(super) until: SystemTime,
}

/// Reads a response for the certificate of this serial number.
///
/// # Errors
/// Why it is not worth sending.
pub(super) fn parse(response: Vec<u8>, serial: &[u8]) -> Result<Staple, String> {
    let single = Single::find(&response, serial)?;
    match single.status {
        Status::Good => {}
        Status::Revoked => return Err("says that the certificate has been revoked".to_owned()),
        Status::Unknown => return Err("says that its issuer does not know the certificate".to_owned()),
    }
    let Some(until) = single.next_update else {
        return Err("does not say until when it is good".to_owned());
    };
    let now = now();
    if until <= now {
        return Err(format!("was good until {}", day(until)));
    }
    if single.this_update > now {
        return Err(format!("is not good before {}", day(single.this_update)));
    }
    Ok(Staple { response, until: moment(until) })
}

enum Status {
    Good,
    Revoked,
    Unknown,
}

/// `SingleResponse` (RFC 6960 §4.2.1), as far as it is needed. Times in seconds since 1970.
struct Single {
    status: Status,
    this_update: i64,
    next_update: Option<i64>,
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0]` around another value.
const EXPLICIT_0: u8 = 0xa0;

impl Single {
    fn find(response: &[u8], serial: &[u8]) -> Result<Self, String> {
        let not_one = || "is not an OCSP response (DER)".to_owned();
        // OCSPResponse ::= SEQUENCE { responseStatus ENUMERATED, responseBytes [0] EXPLICIT SEQUENCE { OID, OCTET STRING } }
        let mut outer = Der(response).enter(SEQUENCE).ok_or_else(not_one)?;
        match outer.take(ENUMERATED).ok_or_else(not_one)? {
            [0] => {}
            [status] => return Err(format!("is the refusal of a responder (status {status}), not a response")),
            _ => return Err(not_one()),
        }
        Self::in_basic(outer, serial).ok_or_else(not_one)?.ok_or_else(|| "is for another certificate".to_owned())
    }

    /// Looks through the `BasicOCSPResponse`. The outer `None`: it is none. The inner: it does not speak of this certificate.
    #[expect(clippy::option_option, reason = "two answers to two questions, told apart right where it is called")]
    fn in_basic(mut outer: Der<'_>, serial: &[u8]) -> Option<Option<Self>> {
        let mut bytes = outer.enter(EXPLICIT_0)?.enter(SEQUENCE)?;
        bytes.next()?;
        let basic = Der(bytes.take(OCTET_STRING)?).enter(SEQUENCE)?;
        // ResponseData ::= SEQUENCE { version [0] DEFAULT v1, responderID [1] or [2], producedAt, responses SEQUENCE OF, … }
        let mut data = { basic }.enter(SEQUENCE)?;
        let mut responses = loop {
            if let (SEQUENCE, responses) = data.next()? {
                break Der(responses);
            }
        };
        while let Some((SEQUENCE, single)) = responses.next() {
            let mut single = Der(single);
            // CertID ::= SEQUENCE { hashAlgorithm, issuerNameHash, issuerKeyHash, serialNumber INTEGER }
            let mut id = single.enter(SEQUENCE)?;
            for _hash in 0..3 {
                id.next()?;
            }
            let is_it = unpadded(id.take(INTEGER)?) == unpadded(serial);
            let status = match single.next()?.0 & 0x1f {
                0 => Status::Good,
                1 => Status::Revoked,
                _ => Status::Unknown,
            };
            let this_update = time(single.take(GENERALIZED_TIME)?)?;
            let next_update = single.enter(EXPLICIT_0).and_then(|mut next| time(next.take(GENERALIZED_TIME)?));
            if is_it {
                return Some(Some(Self { status, this_update, next_update }));
            }
        }
        Some(None)
    }
}

/// Values of DER (X.690 §10) one after the other.
#[derive(Clone, Copy)]
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    /// The next value: its tag and what is in it. `None` at the end and when it is not DER.
    fn next(&mut self) -> Option<(u8, &'d [u8])> {
        let [tag, length, rest @ ..] = self.0 else { return None };
        let (length, rest) = match *length {
            short @ ..0x80 => (usize::from(short), rest),
            long => {
                let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
                if bytes.is_empty() || bytes.len() > 4 {
                    return None;
                }
                (bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), rest)
            }
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, value))
    }

    /// What is in the next value, if it has this tag; else stays where it is.
    fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        let mut ahead = *self;
        let (_, value) = ahead.next().filter(|(found, _)| *found == tag)?;
        *self = ahead;
        Some(value)
    }

    fn enter(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self)
    }
}

/// A whole number without the zero that keeps it from being negative.
fn unpadded(number: &[u8]) -> &[u8] {
    number.strip_prefix(&[0]).unwrap_or(number)
}

/// `YYYYMMDDHHMMSSZ`, the one form that RFC 5280 §4.1.2.5.2 allows.
fn time(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let moment = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    Some(moment.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}
