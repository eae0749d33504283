//! The head of a request while it is read: what its lines say together.

use super::field::Field;
use super::framing::{Framing, Offer};
use super::host::HostPort;
use super::target::{RequestLine, Target};
use super::{Body, Head, Refusal};

/// What the lines of a head said so far.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; they do not form states")]
pub(super) struct Draft {
    framing: Framing,
    place: Named,
    is_http10: bool,
    is_head: bool,
    expects_continue: bool,
    has_host: bool,
}

/// Where the request line says that the request goes.
#[derive(Debug, Default)]
enum Named {
    /// Nowhere, and in HTTP/1.0 there need be no `Host` either.
    #[default]
    Path,
    /// Nowhere, but there must be a `Host`.
    Asterisk,
    /// There, and `Host` must say the same. Kept until it comes; hardly any client sends this form.
    Authority(Box<[u8]>, u16),
}

impl Draft {
    /// A request of which the request line is known.
    pub(super) fn new(line: &RequestLine<'_>) -> Self {
        let place = match line.target {
            Target::Origin => Named::Path,
            Target::Asterisk => Named::Asterisk,
            Target::Absolute { authority, default_port } => Named::Authority(authority.into(), default_port),
        };
        Self { place, is_http10: line.is_http10, is_head: line.method == b"HEAD", ..Self::default() }
    }

    /// Notes what a field says.
    pub(super) fn note(&mut self, field: &Field<'_>) -> Result<(), Refusal> {
        match field.name.len() {
            4 if field.is("host") => self.note_host(field.value),
            6 if field.is("expect") => self.note_expect(field.value),
            _ => {
                let is_chunked_before = self.framing.is_chunked;
                self.framing.note(field)?;
                if self.is_http10 && self.framing.is_chunked && !is_chunked_before {
                    return Err(Refusal::TransferEncodingOld);
                }
                Ok(())
            }
        }
    }

    fn note_host(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.has_host {
            return Err(Refusal::HostDoubled);
        }
        self.has_host = true;
        let host = HostPort::parse(value)?;
        if let Named::Authority(authority, default) = &self.place
            && !HostPort::parse(authority)?.is_same(&host, *default)
        {
            return Err(Refusal::HostDiffers);
        }
        Ok(())
    }

    fn note_expect(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.expects_continue || !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::Expect);
        }
        self.expects_continue = true;
        Ok(())
    }

    /// What the whole head says.
    pub(super) fn finish(&self) -> Result<Head, Refusal> {
        let framing = &self.framing;
        let may_do_without = self.is_http10 && matches!(self.place, Named::Path);
        if !self.has_host && !may_do_without {
            return Err(Refusal::HostMissing);
        }
        let body = match framing.content_length {
            _ if framing.is_chunked => Body::Chunked,
            Some(length) => Body::Length(length),
            None => Body::None,
        };
        // In HTTP/1.0 there is no Upgrade: it is to be ignored (RFC 9110 §7.8).
        let offer = if self.is_http10 { Offer::Nothing } else { framing.offer };
        if offer != Offer::Nothing && !framing.upgrade {
            return Err(Refusal::Upgrade);
        }
        let upgrade = offer == Offer::Something;
        if upgrade && !matches!(body, Body::None | Body::Length(0)) {
            return Err(Refusal::UpgradeWithBody);
        }
        Ok(Head {
            body,
            upgrade,
            is_http10: self.is_http10,
            expects_continue: self.expects_continue && !self.is_http10,
            is_head: self.is_head,
            is_persistent: !framing.close && (!self.is_http10 || framing.keep_alive),
        })
    }
}
