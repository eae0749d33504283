//! The requests on one connection, one at a time.

use super::body::Place;
use super::field::Field;
use super::lines::Lines;
use super::request_head::Draft;
use super::target::{BESIDE_TARGET, RequestLine, check_beginning};
use super::{At, Bounds, Head, Progress, Refusal, Trailers};

/// Reads the requests that a client sends over one connection, and says where each ends.
///
/// It is given every byte once, in the order of the connection. What it takes is to be passed on unchanged; what it does
/// not take belongs to a later request, and is to be given again after the request in hand has been answered. So a
/// server behind it sees one request at a time, and the framing is decided here.
///
/// A verdict depends on the bytes alone, not on how they were cut into pieces. Nothing is copied but a line that is cut
/// in two, and trailers; a request whose head comes in one piece allocates nothing (but for an absolute-form target).
///
/// ```
/// use portreeve_wire::http1::{At, Body, Bounds, Refusal, Requests};
///
/// let mut requests = Requests::new(Bounds::default());
/// let two = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
/// let first = requests.read(two)?;
/// assert_eq!((first.taken, first.at), (28, At::End));
/// assert_eq!(requests.head().map(|head| head.body), Some(Body::None));
/// // … it is answered, and then:
/// assert_eq!(requests.read(&two[28..])?.at, At::End);
///
/// assert_eq!(requests.read(b"GET /3 HTTP/1.1\nHost: a\n\n"), Err(Refusal::BareLf));
/// # Ok::<(), Refusal>(())
/// ```
#[derive(Debug)]
pub struct Requests {
    bounds: Bounds,
    lines: Lines,
    state: State,
    head: Option<Head>,
    body_bytes: u64,
    trailers: Trailers,
}

/// What is read next.
#[derive(Debug)]
enum State {
    /// The request line. `after_blank`: one empty line was already ignored.
    RequestLine {
        after_blank: bool,
    },
    /// Field lines, with the bytes and fields of the head so far.
    Fields {
        draft: Draft,
        bytes: usize,
        fields: usize,
    },
    Body(Place),
    Refused(Refusal),
}

impl Requests {
    /// A reader for a new connection.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lines: Lines::default(),
            state: State::RequestLine { after_blank: false },
            head: None,
            body_bytes: 0,
            trailers: Trailers::default(),
        }
    }

    /// Reads on, at most to the end of the message in hand. Takes all bytes unless it returns [`At::End`].
    ///
    /// With no bytes it only tells where it is.
    ///
    /// # Errors
    /// The bytes are no well-formed request, or exceed a bound. The same refusal is returned from then on.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Progress, Refusal> {
        match self.advance(bytes) {
            Ok(taken) => Ok(Progress { taken, at: self.at() }),
            Err(refusal) => {
                self.state = State::Refused(refusal);
                self.lines.rest();
                Err(refusal)
            }
        }
    }

    /// Where the reader is. After a refusal, in a head.
    pub fn at(&self) -> At {
        match self.state {
            State::RequestLine { .. } if self.lines.part().is_empty() => At::Between,
            State::RequestLine { .. } | State::Fields { .. } | State::Refused(_) => At::Head,
            State::Body(Place::End) => At::End,
            State::Body(_) => At::Body,
        }
    }

    /// What the head of the message in hand says, once it is complete and until the next message begins.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Bytes of the body in hand that have come so far, without what delimits chunks: for a minimum rate.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Takes the trailer fields of the message in hand, which are all there at [`At::End`]. They are kept until the next one
    /// begins.
    pub fn take_trailers(&mut self) -> Trailers {
        std::mem::take(&mut self.trailers)
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut rest = bytes;
        if !rest.is_empty() && matches!(self.state, State::Body(Place::End)) {
            self.state = State::RequestLine { after_blank: false };
            self.head = None;
            self.body_bytes = 0;
            self.trailers.clear();
        }
        while !rest.is_empty() {
            let taken = match &mut self.state {
                State::RequestLine { .. } => self.read_request_line(rest)?,
                State::Fields { .. } => self.read_field(rest)?,
                State::Body(Place::End) => break,
                State::Body(place) => {
                    place.read(rest, &mut self.lines, &self.bounds, &mut self.body_bytes, &mut self.trailers)?
                }
                State::Refused(refusal) => return Err(*refusal),
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        if let State::Refused(refusal) = self.state {
            return Err(refusal);
        }
        if matches!(self.state, State::Body(Place::End)) {
            self.lines.rest();
        }
        Ok(bytes.len() - rest.len())
    }

    fn read_request_line(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        check_beginning(self.lines.part().iter().chain(bytes))?;
        let (most, too_long) = match BESIDE_TARGET.saturating_add(self.bounds.target_bytes) {
            most if most > self.bounds.head_bytes => (self.bounds.head_bytes, Refusal::HeadTooLarge),
            most => (most, Refusal::TargetTooLong),
        };
        let Some((line, taken)) = self.lines.next(bytes, most, too_long)? else { return Ok(bytes.len()) };
        // A server should ignore one empty line: old clients send one after a body (RFC 9112 §2.2).
        if line.is_empty() && matches!(self.state, State::RequestLine { after_blank: false }) {
            self.state = State::RequestLine { after_blank: true };
            return Ok(taken);
        }
        let length = line.len() + 2;
        let draft = Draft::new(&RequestLine::parse(line, self.bounds.target_bytes)?);
        self.state = State::Fields { draft, bytes: length, fields: 0 };
        Ok(taken)
    }

    fn read_field(&mut self, rest: &[u8]) -> Result<usize, Refusal> {
        let State::Fields { draft, bytes, fields } = &mut self.state else { return Ok(0) };
        let most = self.bounds.head_bytes.saturating_sub(*bytes);
        let Some((line, taken)) = self.lines.next(rest, most, Refusal::HeadTooLarge)? else { return Ok(rest.len()) };
        if line.is_empty() {
            let head = draft.finish()?;
            self.head = Some(head);
            self.state = State::Body(Place::start(head.body));
            return Ok(taken);
        }
        if *fields == self.bounds.fields {
            return Err(Refusal::TooManyFields);
        }
        *bytes += line.len() + 2;
        *fields += 1;
        draft.note(&Field::parse(line)?)?;
        Ok(taken)
    }
}
