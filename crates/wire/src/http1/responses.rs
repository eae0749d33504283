//! The answers on one connection to an origin, one at a time.

use super::body::Place;
use super::field::Field;
use super::framing::{Framing, Offer};
use super::lines::Lines;
use super::{Answer, AnswerBody, Asked, At, Body, Bounds, Flaw, Progress, Refusal, Trailers, status_line};

/// Most interim answers (100, 103) before the final one. Arbitrary: one or two are sent.
const MAX_INTERIM: u8 = 16;

/// Reads the answers that an origin sends over one connection, and says where each ends. As strict as [`Requests`] is.
///
/// Each request is announced with [`ask`](Self::ask); bytes that come without one are refused, so that nothing waits on
/// a kept connection to be taken for the answer to somebody else's request. Interim answers (100, 103) belong to the
/// message in hand: they are taken, and the head goes on.
///
/// ```
/// use portreeve_wire::http1::{Asked, At, Bounds, Flaw, Responses};
///
/// let mut responses = Responses::new(Bounds::default());
/// responses.ask(Asked::default());
/// let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// let progress = responses.read(bytes)?;
/// assert_eq!((progress.taken, progress.at), (bytes.len(), At::End));
/// assert_eq!(responses.read(b"HTTP/1.1 200 OK\r\n"), Err(Flaw::Unasked));
/// # Ok::<(), Flaw>(())
/// ```
///
/// [`Requests`]: super::Requests
#[derive(Debug)]
pub struct Responses {
    bounds: Bounds,
    lines: Lines,
    state: State,
    asked: Asked,
    interim: u8,
    answer: Option<Answer>,
    body_bytes: u64,
    trailers: Trailers,
}

/// What is read next.
#[derive(Debug)]
enum State {
    /// Nothing: no request has been sent.
    Unasked,
    StatusLine,
    /// Field lines, with the bytes and fields of the head so far.
    Fields {
        draft: Draft,
        bytes: usize,
        fields: usize,
    },
    Body(Place),
    Flawed(Flaw),
}

/// What the lines of a head said so far.
#[derive(Debug)]
struct Draft {
    status: u16,
    is_http10: bool,
    framing: Framing,
}

impl Responses {
    /// A reader for a new connection.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lines: Lines::default(),
            state: State::Unasked,
            asked: Asked::default(),
            interim: 0,
            answer: None,
            body_bytes: 0,
            trailers: Trailers::default(),
        }
    }

    /// A request is being sent: the next bytes are its answer. Only before the first request, and after [`At::End`];
    /// elsewhere it makes what comes [`Flaw::Unasked`], since an answer is still due.
    pub fn ask(&mut self, asked: Asked) {
        self.state = match self.state {
            State::Unasked | State::Body(Place::End) => State::StatusLine,
            State::Flawed(flaw) => State::Flawed(flaw),
            _ => State::Flawed(Flaw::Unasked),
        };
        (self.asked, self.interim, self.answer, self.body_bytes) = (asked, 0, None, 0);
        self.trailers.clear();
    }

    /// Reads on, at most to the end of the answer in hand. Takes all bytes unless it returns [`At::End`], or has come to
    /// the end of an interim answer, which should not wait for what follows ([`Self::is_past_interim`]): then it is to
    /// be called again with the rest.
    ///
    /// # Errors
    /// The bytes are no well-formed answer, exceed a bound, or were not asked for. The same flaw is returned from then
    /// on.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Progress, Flaw> {
        match self.advance(bytes) {
            Ok(taken) => Ok(Progress { taken, at: self.at() }),
            Err(flaw) => {
                self.state = State::Flawed(flaw);
                self.lines.rest();
                Err(flaw)
            }
        }
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// [`Flaw::Truncated`] if that was within an answer, or before one that was asked for.
    pub fn end(&mut self) -> Result<(), Flaw> {
        match self.state {
            State::Unasked | State::Body(Place::End) => Ok(()),
            State::Body(Place::Close) => {
                self.state = State::Body(Place::End);
                Ok(())
            }
            State::Flawed(flaw) => Err(flaw),
            _ => {
                self.state = State::Flawed(Flaw::Truncated);
                Err(Flaw::Truncated)
            }
        }
    }

    /// Where the reader is. After a flaw, in a head.
    pub fn at(&self) -> At {
        match self.state {
            State::Unasked => At::Between,
            State::StatusLine if self.lines.part().is_empty() && self.interim == 0 => At::Between,
            State::StatusLine | State::Fields { .. } | State::Flawed(_) => At::Head,
            State::Body(Place::End) => At::End,
            State::Body(_) => At::Body,
        }
    }

    /// An interim answer has just come whole, and nothing yet of what follows it.
    pub fn is_past_interim(&self) -> bool {
        self.interim > 0 && matches!(self.state, State::StatusLine) && self.lines.part().is_empty()
    }

    /// What the final head of the answer in hand says, once it is complete and until the next request.
    pub fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    /// Bytes of the body in hand that have come so far, without what delimits chunks.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Takes the trailer fields of the message in hand, which are all there at [`At::End`]. They are kept until the next one
    /// begins.
    pub fn take_trailers(&mut self) -> Trailers {
        std::mem::take(&mut self.trailers)
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<usize, Flaw> {
        let mut rest = bytes;
        if !rest.is_empty() && matches!(self.state, State::Unasked | State::Body(Place::End)) {
            return Err(Flaw::Unasked);
        }
        while !rest.is_empty() {
            let taken = match &mut self.state {
                State::StatusLine => self.read_status_line(rest)?,
                State::Fields { .. } => self.read_field(rest)?,
                State::Unasked | State::Body(Place::End) => break,
                State::Body(place) => {
                    place.read(rest, &mut self.lines, &self.bounds, &mut self.body_bytes, &mut self.trailers)?
                }
                State::Flawed(flaw) => return Err(*flaw),
            };
            rest = rest.get(taken..).unwrap_or_default();
            if self.is_past_interim() {
                break;
            }
        }
        if let State::Flawed(flaw) = self.state {
            return Err(flaw);
        }
        if matches!(self.state, State::Body(Place::End)) {
            self.lines.rest();
        }
        Ok(bytes.len() - rest.len())
    }

    fn read_status_line(&mut self, bytes: &[u8]) -> Result<usize, Flaw> {
        status_line::check_beginning(self.lines.part().iter().chain(bytes))?;
        let line = self.lines.next(bytes, self.bounds.head_bytes, Refusal::HeadTooLarge)?;
        let Some((line, taken)) = line else { return Ok(bytes.len()) };
        let (is_http10, status) = status_line::parse(line)?;
        let draft = Draft { status, is_http10, framing: Framing::default() };
        self.state = State::Fields { draft, bytes: line.len() + 2, fields: 0 };
        Ok(taken)
    }

    fn read_field(&mut self, rest: &[u8]) -> Result<usize, Flaw> {
        let State::Fields { draft, bytes, fields } = &mut self.state else { return Ok(0) };
        let most = self.bounds.head_bytes.saturating_sub(*bytes);
        let Some((line, taken)) = self.lines.next(rest, most, Refusal::HeadTooLarge)? else { return Ok(rest.len()) };
        if !line.is_empty() {
            if *fields == self.bounds.fields {
                return Err(Refusal::TooManyFields.into());
            }
            *bytes += line.len() + 2;
            *fields += 1;
            draft.note(&Field::parse(line)?)?;
            return Ok(taken);
        }
        if let Some(answer) = draft.finish(self.asked)? {
            self.answer = Some(answer);
            self.state = State::Body(match answer.body {
                AnswerBody::Framed(body) => Place::start(body),
                AnswerBody::UntilClose => Place::Close,
            });
        } else if self.interim == MAX_INTERIM {
            return Err(Flaw::Interim);
        } else {
            self.interim += 1;
            self.state = State::StatusLine;
        }
        Ok(taken)
    }
}

impl Draft {
    fn note(&mut self, field: &Field<'_>) -> Result<(), Refusal> {
        self.framing.note(field)?;
        if self.is_http10 && self.framing.is_chunked {
            return Err(Refusal::TransferEncodingOld);
        }
        Ok(())
    }

    /// What the whole head says; `None` if it is that of an interim answer.
    fn finish(&self, asked: Asked) -> Result<Option<Answer>, Flaw> {
        let framing = &self.framing;
        let has_length = framing.is_chunked || framing.content_length.is_some();
        let body = match self.status {
            100..200 if has_length => return Err(Flaw::Length),
            101 if !asked.upgrade || self.is_http10 || !framing.upgrade || framing.offer == Offer::Nothing => {
                return Err(Flaw::Switching);
            }
            101 => AnswerBody::Framed(Body::None),
            // HTTP/1.0 has no interim answers (RFC 9110 §15.2).
            100..200 if self.is_http10 => return Err(Flaw::StatusLine),
            100..200 => return Ok(None),
            // `Content-Length: 0` is not allowed here either, but often sent, and says what is so.
            204 if has_length && framing.content_length != Some(0) => return Err(Flaw::Length),
            204 | 304 => AnswerBody::Framed(Body::None),
            _ if asked.is_head => AnswerBody::Framed(Body::None),
            _ if framing.is_chunked => AnswerBody::Framed(Body::Chunked),
            _ => {
                framing.content_length.map_or(AnswerBody::UntilClose, |length| AnswerBody::Framed(Body::Length(length)))
            }
        };
        let is_kept = !framing.close && (!self.is_http10 || framing.keep_alive);
        Ok(Some(Answer {
            status: self.status,
            body,
            is_http10: self.is_http10,
            is_persistent: is_kept && body != AnswerBody::UntilClose && self.status != 101,
        }))
    }
}
