//! Whole bodies: where they are read from, what has been gathered of one, and why a plugin does not get it.

#[cfg(any(test, feature = "testing"))]
use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{HeaderName, header};

/// Memory that is taken for a body before any of it has come, where its length is announced, in bytes. Arbitrary: few bodies are
/// longer, and a client that announces much and sends nothing holds no more than this.
const FIRST: usize = 16 * 1024;

/// Why a plugin does not get a whole body. With `?` a hook passes it on, and the gateway answers as the variants say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It is longer than the plugin, another one or the route allows: 413 for the body of a request.
    #[error("the body is longer than the {limit} bytes that are held of it")]
    TooLarge {
        /// The bound that it passed, in bytes.
        limit: u64,
    },
    /// It broke off, is malformed, came too slowly or not in time. The request ends here, whatever the hook returns.
    #[error("the body did not come whole")]
    Incomplete,
}

/// The body could not be read to its end. Whoever reads it keeps why.
#[derive(Debug, Clone, Copy)]
pub struct Broken;

/// Where the engine reads a body from: a connection in production, chunks in the test kit.
pub trait BodySource: Send + Sync + fmt::Debug {
    /// Whether there is a body at all.
    fn has_body(&self) -> bool;

    /// Its length in bytes, if the head told it.
    fn announced(&self) -> Option<u64>;

    /// The longest body that is let through, in bytes, whatever plugins say.
    fn limit(&self) -> u64;

    /// The next bytes; `None` at the end. Fails when they have not come by `until`, or by an earlier deadline of the source's own.
    /// What has come is handed over or stays, if the future is dropped.
    fn next(&mut self, until: Option<Instant>) -> BoxFuture<'_, Result<Option<Bytes>, Broken>>;
}

/// Of a request without a body.
#[derive(Debug, Clone, Copy)]
pub struct NoBody;

impl BodySource for NoBody {
    fn has_body(&self) -> bool {
        false
    }

    fn announced(&self) -> Option<u64> {
        None
    }

    fn limit(&self) -> u64 {
        0
    }

    fn next(&mut self, _until: Option<Instant>) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// What has been gathered of a body, for all plugins and all attempts.
#[derive(Debug, Default)]
pub struct GatheredBody {
    /// What has come of one that has not come whole, or not yet.
    coming: BytesMut,
    whole: Option<Bytes>,
    /// What of it has still to be sent in this attempt.
    unsent: Bytes,
    is_changed: bool,
    is_broken: bool,
}

impl GatheredBody {
    /// All of it, if it has come whole or a plugin has set it.
    pub fn whole(&self) -> Option<&Bytes> {
        self.whole.as_ref()
    }

    /// What came of one that is longer than a plugin holds: what comes before the rest, which has not been read.
    pub fn beginning(&self) -> &[u8] {
        &self.coming
    }

    /// Whether a plugin has set it.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Another attempt sends it from its first byte on.
    pub fn rewind(&mut self) {
        self.unsent = self.whole.clone().unwrap_or_default();
    }

    /// The next piece to be sent of a whole one, of at most `most` bytes; `None` once all has been.
    pub fn next_piece(&mut self, most: usize) -> Option<Bytes> {
        (!self.unsent.is_empty()).then(|| self.unsent.split_to(most.min(self.unsent.len())))
    }

    /// Whether some of it has still to be sent.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    pub(crate) fn set(&mut self, body: Bytes) {
        *self = Self { whole: Some(body), is_changed: true, is_broken: self.is_broken, ..Self::default() };
    }

    /// Reads the body to its end.
    pub(crate) async fn gather(
        &mut self,
        source: &mut (dyn BodySource + '_),
        max: u64,
        until: Option<Instant>,
    ) -> Result<Bytes, BodyError> {
        let whole = match &self.whole {
            Some(whole) => whole.clone(),
            None => self.read(source, max, until).await?,
        };
        if whole.len() as u64 > max { Err(BodyError::TooLarge { limit: max }) } else { Ok(whole) }
    }

    async fn read(
        &mut self,
        source: &mut (dyn BodySource + '_),
        max: u64,
        until: Option<Instant>,
    ) -> Result<Bytes, BodyError> {
        let limit = max.min(source.limit());
        let fits = |length: u64| if length > limit { Err(BodyError::TooLarge { limit }) } else { Ok(()) };
        // Refused before its client is asked to send it.
        fits(source.announced().unwrap_or_default().max(self.coming.len() as u64))?;
        if self.is_broken {
            return Err(BodyError::Incomplete);
        }
        if source.has_body() && self.coming.is_empty() {
            let announced = source.announced().and_then(|length| usize::try_from(length).ok());
            self.coming.reserve(announced.unwrap_or_default().min(FIRST));
        }
        while source.has_body() {
            match source.next(until).await {
                // A copy: a piece of what was read may hold much more than itself in memory.
                Ok(Some(bytes)) => self.coming.extend_from_slice(&bytes),
                Ok(None) => break,
                Err(Broken) => {
                    self.is_broken = true;
                    return Err(BodyError::Incomplete);
                }
            }
            fits(self.coming.len() as u64)?;
        }
        let whole = std::mem::take(&mut self.coming).freeze();
        self.whole = Some(whole.clone());
        Ok(whole)
    }

    /// Reads what has not been read, and throws it away: a plugin has set another body.
    ///
    /// # Errors
    /// It is longer than is let through, or did not come whole.
    pub async fn discard_rest(source: &mut (dyn BodySource + '_), limit: u64) -> Result<(), BodyError> {
        let limit = limit.min(source.limit());
        if source.announced().is_some_and(|length| length > limit) {
            return Err(BodyError::TooLarge { limit });
        }
        let mut read = 0;
        while source.has_body() {
            let Some(bytes) = source.next(None).await.map_err(|Broken| BodyError::Incomplete)? else { break };
            read += bytes.len() as u64;
            if read > limit {
                return Err(BodyError::TooLarge { limit });
            }
        }
        Ok(())
    }
}

/// Fields that say something of the bytes of a body, and are no longer true when it is another one (RFC 9530, RFC 9110 §8.4). A
/// plugin that sets a body in a coding says so after it has set it.
static OF_CONTENT: [HeaderName; 5] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    header::CONTENT_ENCODING,
];

pub(crate) fn fields_of_content() -> &'static [HeaderName] {
    &OF_CONTENT
}

/// A body that is there already, cut into chunks.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug, Default, Clone)]
pub(crate) struct Chunks {
    left: VecDeque<Bytes>,
    has_body: bool,
    /// It does not come to its end.
    pub(crate) breaks_off: bool,
}

#[cfg(any(test, feature = "testing"))]
impl Chunks {
    pub(crate) fn of(chunks: &[Bytes]) -> Self {
        Self { left: chunks.iter().cloned().collect(), has_body: !chunks.is_empty(), breaks_off: false }
    }
}

#[cfg(any(test, feature = "testing"))]
impl BodySource for Chunks {
    fn has_body(&self) -> bool {
        self.has_body
    }

    fn announced(&self) -> Option<u64> {
        None
    }

    fn limit(&self) -> u64 {
        u64::MAX
    }

    fn next(&mut self, _until: Option<Instant>) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        let next = match self.left.pop_front() {
            None if self.breaks_off => Err(Broken),
            next => Ok(next),
        };
        Box::pin(std::future::ready(next))
    }
}
