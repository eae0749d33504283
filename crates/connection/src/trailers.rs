//! Trailers on their way: the fields after a body (RFC 9110 §6.5). Whichever connection reads them leaves them here, and whoever
//! writes the body on the other side puts them behind it.

use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use portreeve_wire::http1::{self, Bounds, Refusal};

/// Trailers on their way over one connection. An exchange has its own: a client's [`Line`](crate::listener::Line), an
/// attempt's [`UpstreamAttempt`].
#[derive(Debug, Default)]
pub struct Carrier {
    /// Those that came.
    came: Mutex<Option<Box<HeaderMap>>>,
    /// Those that are to be sent.
    due: Mutex<Option<Box<HeaderMap>>>,
    /// The message that goes out may have some.
    is_open: AtomicBool,
    is_used: AtomicBool,
}

impl Carrier {
    /// Another message comes and goes.
    pub fn clear(&self) {
        if self.is_used.swap(false, Ordering::Relaxed) {
            self.is_open.store(false, Ordering::Relaxed);
            (*self.came.lock(), *self.due.lock()) = (None, None);
        }
    }

    /// These came, behind a body in chunks.
    pub fn bring(&self, trailers: &http1::Trailers) {
        if !trailers.is_empty() {
            self.bring_fields(
                trailers
                    .iter()
                    .filter_map(|(name, value)| {
                        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
                    })
                    .collect(),
            );
        }
    }

    /// These came.
    pub fn bring_fields(&self, fields: HeaderMap) {
        self.is_used.store(true, Ordering::Relaxed);
        *self.came.lock() = Some(Box::new(fields));
    }

    /// Those that came, for another attempt as well.
    pub fn came(&self) -> Option<Box<HeaderMap>> {
        self.came.lock().clone()
    }

    /// Those that came, once.
    pub fn take_came(&self) -> Option<Box<HeaderMap>> {
        self.came.lock().take()
    }

    /// Whether some came.
    pub fn have_come(&self) -> bool {
        self.is_used.load(Ordering::Relaxed) && self.came.lock().is_some()
    }

    /// The message that goes out from here on may have some.
    pub fn open(&self) {
        self.is_used.store(true, Ordering::Relaxed);
        self.is_open.store(true, Ordering::Relaxed);
    }

    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Those that are to be sent, once.
    pub fn take_due(&self) -> Option<Box<HeaderMap>> {
        if self.is_used.load(Ordering::Relaxed) { self.due.lock().take() } else { None }
    }

    /// There are some to be sent.
    pub fn has_due(&self) -> bool {
        self.is_used.load(Ordering::Relaxed) && self.due.lock().is_some()
    }

    /// Another connection is heard: what came on this one is not said, what came on that one is.
    pub fn replace(&self, by: &Self) {
        let came = by.came.lock().take();
        if came.is_some() {
            self.is_used.store(true, Ordering::Relaxed);
        }
        *self.came.lock() = came;
    }

    /// These are to be sent behind the message that goes out.
    pub fn send(&self, fields: Box<HeaderMap>) {
        self.is_used.store(true, Ordering::Relaxed);
        *self.due.lock() = Some(fields);
    }
}

/// Writes their lines in HTTP/1.1.
pub fn write(out: &mut Vec<u8>, fields: &HeaderMap) {
    for (name, value) in fields {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// Bytes of their lines in HTTP/1.1.
fn size(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// Holds the trailers of a request in HTTP/2 to what HTTP/1.1 allows.
///
/// # Errors
/// Why the request is refused.
pub fn check(fields: &HeaderMap, bounds: &Bounds) -> Result<(), Refusal> {
    if fields.len() > bounds.fields {
        return Err(Refusal::TooManyFields);
    }
    if size(fields) > bounds.trailer_bytes {
        return Err(Refusal::TrailersTooLarge);
    }
    if fields.keys().all(may_follow) { Ok(()) } else { Err(Refusal::Trailer) }
}

/// Whether a field of this name may come behind a body.
pub fn may_follow(name: &HeaderName) -> bool {
    http1::may_be_trailer(name.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn trailers_are_bounded_in_number_and_size() {
        let bounds = Bounds { fields: 2, trailer_bytes: 20, ..Bounds::default() };
        assert_eq!(check(&fields(&[("a", "12345"), ("b", "12345")]), &bounds), Ok(()));
        assert_eq!(check(&fields(&[("a", "12345"), ("b", "123456")]), &bounds), Err(Refusal::TrailersTooLarge));
        assert_eq!(check(&fields(&[("a", ""), ("b", ""), ("c", "")]), &bounds), Err(Refusal::TooManyFields));
    }
}
