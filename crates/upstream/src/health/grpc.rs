//! Health checks over gRPC: `grpc.health.v1.Health/Check`. Its two messages are a text and a number, written and read by hand.
//! <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>

use bytes::{BufMut, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, header};
use pingora::Result;
use pingora::http::RequestHeader;
use portreeve_config::Health as HealthConfig;

use super::http::head;
use super::probe::unwell;
use crate::client::{Conversation, NotGathered};

const METHOD: &str = "/grpc.health.v1.Health/Check";
/// A longer answer is none to this question: it is one small number.
const MAX_ANSWER: usize = 4 << 10;

/// A check of one service.
pub(super) struct GrpcProbe {
    service: Box<str>,
    /// The request: five bytes of framing and the message.
    message: Bytes,
    /// What the target is told of the deadline.
    timeout: HeaderValue,
    /// What the upstream calls its targets, instead of their addresses.
    host: Option<HeaderValue>,
}

impl GrpcProbe {
    pub(super) fn new(service: &str, config: &HealthConfig) -> Self {
        // At most eight digits, so that even an hour can be told.
        let timeout = format!("{}m", config.timeout.get().as_millis().min(99_999_999));
        let timeout = HeaderValue::try_from(timeout).unwrap_or(HeaderValue::from_static("1S"));
        // The file has no headers here: this one is the upstream's.
        let host = config.headers.values().next().and_then(|host| HeaderValue::try_from(host.as_str()).ok());
        Self { service: service.into(), message: framed(&request(service)), timeout, host }
    }

    /// What is asked. `authority`: what the target is called where the file does not say.
    pub(super) fn request(&self, authority: &str) -> Result<(RequestHeader, Bytes)> {
        let mut request = head(Method::POST, &PathAndQuery::from_static(METHOD), self.host.as_ref(), authority)?;
        request.insert_header(header::CONTENT_TYPE, "application/grpc")?;
        request.insert_header(header::TE, "trailers")?;
        request.insert_header("grpc-timeout", self.timeout.clone())?;
        Ok((request, self.message.clone()))
    }

    /// Takes the answer, within the deadline of the prober.
    pub(super) async fn judge(&self, conversation: &mut Conversation) -> Result<()> {
        let head = conversation.head().await?;
        if head.status != 200 {
            return unwell(format!("HTTP {}; a gRPC server answers 200 to everything", head.status.as_u16()));
        }
        // Trailers-only: the outcome stands in the head.
        if let Some(outcome) = outcome(&head.headers) {
            outcome.or_else(|code| self.refused(code))?;
        }
        let answer = match conversation.gather(MAX_ANSWER).await {
            Ok(answer) => answer,
            Err(NotGathered::TooLarge) => return unwell(format!("an answer of more than {MAX_ANSWER} bytes")),
            Err(NotGathered::Failed(error)) => return Err(error),
        };
        if let Some(outcome) = conversation.trailers().and_then(outcome) {
            outcome.or_else(|code| self.refused(code))?;
        }
        match serving(&answer) {
            Some(1) => Ok(()),
            Some(status) => unwell(format!("{} instead of SERVING", word(status))),
            None => unwell("an answer that is none of grpc.health.v1"),
        }
    }

    fn refused(&self, code: u32) -> Result<()> {
        let service = if self.service.is_empty() { "the server as a whole" } else { &self.service };
        unwell(match code {
            // NOT_FOUND, UNIMPLEMENTED.
            5 => format!("the target does not know {service}"),
            12 => "the target does not offer grpc.health.v1".to_owned(),
            code => format!("grpc-status {code}"),
        })
    }
}

/// What `grpc-status` says, where it stands: `Err` with the code for anything but OK.
fn outcome(headers: &HeaderMap) -> Option<Result<(), u32>> {
    let code = headers.get("grpc-status")?.to_str().ok().and_then(|text| text.parse().ok());
    // 2 is UNKNOWN, which is what gRPC takes an unreadable status for.
    Some(match code.unwrap_or(2) {
        0 => Ok(()),
        code => Err(code),
    })
}

/// `HealthCheckRequest { string service = 1 }`.
fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        varint(service.len() as u64, &mut message);
        message.put_slice(service.as_bytes());
    }
    message.freeze()
}

/// A message as gRPC sends it: not compressed, its length, itself.
fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

fn varint(mut value: u64, to: &mut BytesMut) {
    while value >= 0x80 {
        to.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    to.put_u8((value & 0x7f) as u8);
}

/// `HealthCheckResponse { ServingStatus status = 1 }` in its frame: the status, 0 where it is left out. `None` for anything that
/// is no such message.
fn serving(answer: &[u8]) -> Option<u64> {
    let (frame, message) = answer.split_at_checked(5)?;
    let (compressed, length) = frame.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    if *compressed != 0 || usize::try_from(length).ok()? != message.len() {
        return None;
    }
    let (mut rest, mut status) = (message, 0);
    while !rest.is_empty() {
        let tag = take_varint(&mut rest)?;
        // Fields that a later version adds are passed over (protobuf, "Unknown Fields").
        match (tag >> 3, tag & 7) {
            (1, 0) => status = take_varint(&mut rest)?,
            (_, 0) => drop(take_varint(&mut rest)?),
            (_, 1) => rest = rest.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            (_, 5) => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn word(status: u64) -> String {
    match status {
        0 => "UNKNOWN".to_owned(),
        2 => "NOT_SERVING".to_owned(),
        3 => "SERVICE_UNKNOWN".to_owned(),
        other => format!("status {other}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_what_protobuf_says() {
        // Written down from `protoc --encode`.
        assert_eq!(&*framed(&request("")), [0, 0, 0, 0, 0]);
        assert_eq!(&*framed(&request("users")), b"\0\0\0\0\x07\x0a\x05users");
        assert_eq!(request(&"x".repeat(300)).get(..3), Some(&[0x0a, 0xac, 0x02][..]));
        assert_eq!(serving(b"\0\0\0\0\x02\x08\x01"), Some(1));
        assert_eq!(serving(b"\0\0\0\0\x02\x08\x02"), Some(2));
        assert_eq!(serving(b"\0\0\0\0\0"), Some(0));
        assert_eq!(serving(b"\0\0\0\0\x07\x12\x03abc\x08\x01"), Some(1), "unknown fields are passed over");
    }

    #[test]
    fn what_is_no_such_message_is_no_answer() {
        for broken in [&b""[..], b"\0\0\0\0", b"\x01\0\0\0\x02\x08\x01", b"\0\0\0\0\x03\x08\x01", b"\0\0\0\0\x01\x08"] {
            assert_eq!(serving(broken), None, "{broken:?}");
        }
        assert_eq!(serving(b"\0\0\0\0\x06\x12\xff\xff\xff\xff\x0f"), None, "a length beyond the message");
    }

    #[test]
    fn an_unreadable_outcome_is_not_ok() {
        let headers = |text: &'static str| {
            HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(text))])
        };
        assert_eq!(outcome(&headers("0")), Some(Ok(())));
        assert_eq!(outcome(&headers("14")), Some(Err(14)));
        assert_eq!(outcome(&headers("fine")), Some(Err(2)));
        assert_eq!(outcome(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _status = serving(&bytes);
            let _framed = serving(&framed(&bytes));
        }
    }
}
