//! The answers of all calls as they come in, and the scope in which the body's references find them.

use std::fmt::Write as _;

use portreeve_plugin::RequestCx;
use portreeve_plugin::template::{Datum, Reference, Scope};
use serde_json::Value;

use crate::calls::{Failure, PreparedCall};

/// What every call has brought so far.
#[derive(Debug)]
pub(crate) struct Answers<'a> {
    calls: &'a [PreparedCall],
    /// By position of the call; `None` while its fallback stands.
    values: Vec<Option<Value>>,
    why: String,
}

/// The answers beside all that the request knows.
pub(crate) struct Seen<'a, R> {
    answers: &'a Answers<'a>,
    request: &'a R,
}

impl<'a> Answers<'a> {
    /// Nobody has answered yet.
    pub(crate) fn fallbacks(calls: &'a [PreparedCall]) -> Self {
        Self { calls, values: calls.iter().map(|_| None).collect(), why: String::new() }
    }

    pub(crate) fn put(&mut self, index: usize, value: Value) {
        if let Some(place) = self.values.get_mut(index) {
            *place = Some(value);
        }
    }

    /// Remembers why a fallback stands.
    pub(crate) fn missed(&mut self, call: &PreparedCall, failure: &Failure) {
        let separator = if self.why.is_empty() { "" } else { "; " };
        // Writing to a String cannot fail.
        write!(self.why, "{separator}optional call `{}` to {}: {failure}", call.name, call.upstream.name()).ok();
    }

    /// The names of the calls whose fallback stands, joined by commas.
    pub(crate) fn missing(&self) -> String {
        let missing = self.calls.iter().zip(&self.values).filter(|(_, value)| value.is_none());
        missing.map(|(call, _)| &*call.name).collect::<Vec<_>>().join(", ")
    }

    /// Why they stand.
    pub(crate) fn why(&self) -> String {
        if self.why.is_empty() {
            "an optional call could not be made from this request".to_owned()
        } else {
            self.why.clone()
        }
    }

    pub(crate) fn seen_from<'s>(&'s self, request: &'s RequestCx<'_>) -> impl Scope + 's {
        Seen { answers: self, request }
    }

    fn find(&self, name: &str) -> Option<&Value> {
        let (call, value) = self.calls.iter().zip(&self.values).find(|(call, _)| &*call.name == name)?;
        Some(value.as_ref().unwrap_or(&call.fallback))
    }
}

impl<R: Scope> Scope for Seen<'_, R> {
    fn resolve<'s>(&'s self, reference: &Reference) -> Option<Datum<'s>> {
        match reference {
            Reference::Call { name, path } => path.find(self.answers.find(name)?).map(Datum::Json),
            other => self.request.resolve(other),
        }
    }
}
