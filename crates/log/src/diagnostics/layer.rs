//! From events to lines: JSON for programs, one readable line for people.

use std::sync::Arc;

use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer as SubscriberLayer};

use super::SHARE;
use super::event::{Event, Value};
use super::limiter::{Kind, Like, Limiter, Verdict};
use crate::json::{MAX_TEXT_BYTES, Object, cut, quoted};
use crate::time::{Calendar, Moment};
use crate::writer::Log;

/// What lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Json,
    Text,
}

/// Makes lines of events.
#[derive(Debug)]
pub(super) struct Layer {
    log: Log,
    limiter: Arc<Limiter>,
    style: Style,
}

impl Layer {
    pub(super) fn new(log: Log, limiter: Arc<Limiter>, style: Style) -> Self {
        Self { log, limiter, style }
    }
}

impl<S: Subscriber> SubscriberLayer<S> for Layer {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let (metadata, told) = (event.metadata(), Event::of(event));
        let level = *metadata.level();
        let module = told.module.as_deref().unwrap_or(metadata.target());
        // Whoever asks for more than is told by default gets all of it.
        if level <= Level::INFO {
            let kind = Kind { callsite: metadata.callsite(), of: told.of_whom() };
            let like = || Like { level, module: module.to_owned(), message: told.message.clone() };
            match self.limiter.check(kind, like) {
                Verdict::Written => {}
                Verdict::FirstLeftOut => return self.log.wake(),
                Verdict::LeftOut => return,
            }
        }
        let share = if level == Level::ERROR { 1.0 } else { SHARE };
        let (before, after) = self.style.line(level, module, &told.message, &told.fields);
        self.log.text(share, before, &after);
    }
}

impl Style {
    /// What stands before the time of a line, and what behind it.
    fn line(
        self,
        level: Level,
        module: &str,
        message: &str,
        fields: &[(&'static str, Value)],
    ) -> (&'static str, String) {
        match self {
            Self::Json => ("{\"time\":\"", json(level, module, message, fields)),
            Self::Text => ("", text(level, module, message, fields)),
        }
    }

    fn write(self, now: Moment, level: Level, fields: &[(&'static str, Value)], message: &str, out: &mut Vec<u8>) {
        let (before, after) = self.line(level, module_path!(), message, fields);
        out.extend_from_slice(before.as_bytes());
        Calendar::default().write(now, out);
        out.extend_from_slice(after.as_bytes());
        out.push(b'\n');
    }

    /// Appends that so many lines had no room.
    pub(super) fn lost(self, now: Moment, count: u64, out: &mut Vec<u8>) {
        let message = "The reader of this log was behind; lines were dropped.";
        self.write(now, Level::WARN, &[("lines", Value::Plain(count.to_string()))], message, out);
    }

    /// Appends that so many lines like this one were left out.
    pub(super) fn left_out(self, now: Moment, like: &Like, count: u64, out: &mut Vec<u8>) {
        let fields = [
            ("lines", Value::Plain(count.to_string())),
            ("like", Value::Text(like.message.clone())),
            ("of", Value::Text(like.module.clone())),
        ];
        self.write(now, like.level, &fields, &format!("{count} more lines like this left out."), out);
    }
}

fn json(level: Level, module: &str, message: &str, fields: &[(&'static str, Value)]) -> String {
    let mut out = b"\"".to_vec();
    let mut object = Object::within(&mut out);
    object.text("level", level.as_str());
    object.long_text("message", message);
    for (name, value) in fields {
        match value {
            Value::Text(text) => object.long_text(name, text),
            Value::Plain(plain) => object.raw(name, plain),
        };
    }
    object.text("module", module).end();
    String::from_utf8(out).unwrap_or_default()
}

fn text(level: Level, module: &str, message: &str, fields: &[(&'static str, Value)]) -> String {
    let mut out = format!(" {level:>5} {module}: {}", plain(message));
    for (name, value) in fields {
        out.push(' ');
        out.push_str(name);
        out.push('=');
        match value {
            Value::Plain(plain) => out.push_str(plain),
            // Several lines are for people to read: the errors of a file.
            Value::Text(lines) if lines.contains('\n') && module.starts_with("portreeve::") => {
                for line in lines.lines() {
                    out.push_str("\n  ");
                    out.push_str(&plain(line));
                }
            }
            Value::Text(text) => {
                let mut quote = Vec::new();
                quoted(&mut quote, cut(text, MAX_TEXT_BYTES));
                out.push_str(&String::from_utf8_lossy(&quote));
            }
        }
    }
    out
}

/// Without anything that a terminal obeys.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
