//! One event as a line is made of it: its message and its fields, cut where they come from outside, each name once.

use std::fmt::{self, Debug, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tracing::field::{Field, Visit};

/// The most bytes of one value. What is longer is cut, and ends in `…`.
const MAX_VALUE: usize = 1024;
/// The same where only an operator can be the cause: the errors of a whole file.
const MAX_OPERATORS: usize = 32 * 1024;
/// Whose events only an operator causes: those of the command line, reloads and the admin port.
const OPERATORS: &str = "portreeve::";

/// The names that a line has for itself.
pub(super) const RESERVED: [&str; 6] = ["time", "timestamp", "level", "message", "module", "fields"];
/// Fields that name something of the configuration or a place in the code: lines that differ in them are not alike.
const NAMING: [&str; 8] = ["upstream", "target", "listener", "route", "plugin", "place", "names", "location"];

/// A value of a field.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    /// To be escaped.
    Text(String),
    /// As it is: a number, `true`.
    Plain(String),
}

/// What an event says.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, Value)>,
    /// Where a line of the crate `log` comes from: for `tracing` they all come from the same place.
    pub(super) module: Option<String>,
    most: usize,
    naming: DefaultHasher,
}

impl Event {
    pub(super) fn of(event: &tracing::Event<'_>) -> Self {
        let is_operators = event.metadata().target().starts_with(OPERATORS);
        let most = if is_operators { MAX_OPERATORS } else { MAX_VALUE };
        let mut told =
            Self { message: String::new(), fields: Vec::new(), module: None, most, naming: DefaultHasher::new() };
        event.record(&mut told);
        told
    }

    /// What tells it from events of the same place in the code.
    pub(super) fn of_whom(&self) -> u64 {
        let mut hasher = self.naming.clone();
        self.module.hash(&mut hasher);
        hasher.finish()
    }

    fn take(&mut self, field: &Field, value: Value) {
        let name = field.name();
        let (Value::Text(text) | Value::Plain(text)) = &value;
        if NAMING.contains(&name) {
            (name, text).hash(&mut self.naming);
        }
        match (name, value) {
            ("message", Value::Text(text) | Value::Plain(text)) => self.message = text,
            ("log.target", Value::Text(text)) => self.module = Some(text),
            (name, _) if name.starts_with("log.") => {}
            // A line has each name once. No place of ours uses one of a line's own or the same twice; others may.
            (name, _) if RESERVED.contains(&name) || self.fields.iter().any(|(known, _)| *known == name) => {}
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Event {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = Bounded { text: String::new(), left: self.most };
        // Fails where the text is full; what a value then says is not asked for.
        if write!(text, "{value:?}").is_err() {
            text.text.push('…');
        }
        self.take(field, Value::Text(text.text));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity.
        let value = if value.is_finite() { Value::Plain(value.to_string()) } else { Value::Text(value.to_string()) };
        self.take(field, value);
    }
}

/// A text that takes only so much.
struct Bounded {
    text: String,
    left: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if more.len() <= self.left {
            self.left -= more.len();
            self.text.push_str(more);
            return Ok(());
        }
        let end = more.floor_char_boundary(self.left);
        self.text.push_str(more.get(..end).unwrap_or_default());
        self.left = 0;
        Err(fmt::Error)
    }
}
