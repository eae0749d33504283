//! How errors look: a headline that editors can jump from, the source line, a caret, notes, a count at the end.

use std::fmt::{self, Write as _};

use crate::diagnostic::Diagnostic;

/// Source lines longer than this are cut around the caret.
const LINE_WIDTH: usize = 140;
/// How much of a cut line stands before the caret.
const LEAD: usize = 60;

/// The part of a source line around what is meant, so small that a diagnostic costs the same whatever the line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Excerpt {
    text: String,
    /// The column of the first character of `text` in its line, from 1.
    from: u32,
    /// Whether the line goes on behind `text`.
    goes_on: bool,
    /// How many characters stand before those meant, and how many are meant.
    caret: (usize, usize),
}

impl Excerpt {
    /// Cuts a line around the `width` characters from `column` (from 1) on.
    pub(crate) fn new(line: &str, column: u32, width: u32) -> Self {
        let at = (column as usize).saturating_sub(1);
        // No more of the line is looked at than is needed to know whether it is long.
        let mut rest = line.chars();
        let is_long = rest.nth(LINE_WIDTH).is_some();
        let at = at.min(if is_long { at } else { line.chars().count() });
        let skip = if is_long { at.saturating_sub(LEAD) } else { 0 };
        let mut chars = line.chars();
        if let Some(last) = skip.checked_sub(1) {
            chars.nth(last);
        }
        let text: String = chars.by_ref().take(LINE_WIDTH).map(printable).collect();
        let goes_on = chars.next().is_some();
        let from = u32::try_from(skip + 1).unwrap_or(u32::MAX);
        Self { text, from, goes_on, caret: (at - skip, width as usize) }
    }

    /// Prints `***` over the characters from column `from` to before `to`, as wide as they were so that carets still fit.
    pub(crate) fn hide(&mut self, from: u32, to: u32) {
        // A line may have thousands of them, and few are in sight.
        let end = self.from.saturating_add(u32::try_from(LINE_WIDTH).unwrap_or(u32::MAX));
        if to <= self.from || from >= end {
            return;
        }
        let columns = self.from..;
        let masked =
            columns.zip(self.text.chars()).map(|(column, c)| if (from..to).contains(&column) { '*' } else { c });
        self.text = masked.collect();
    }

    /// The text with marks where it was cut, and the line of carets below it.
    fn lines(&self) -> (String, String) {
        let is_cut = self.from > 1;
        let start = if is_cut { "…" } else { "" };
        let end = if self.goes_on { "…" } else { "" };
        let line = format!("{start}{}{end}", self.text);
        let (before, width) = self.caret;
        // Tabs stay tabs, so that the caret stands right whatever their width.
        let pad = self.text.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' });
        let room = self.text.chars().count().saturating_sub(before).max(1);
        let carets = std::iter::repeat_n('^', width.clamp(1, room));
        let carets = is_cut.then_some(' ').into_iter().chain(pad).chain(carets).collect();
        (line.trim_end().to_owned(), carets)
    }
}

pub(crate) fn headline(d: &Diagnostic) -> String {
    let mut out = String::new();
    let place = &d.place;
    // Writing to a String cannot fail.
    let _infallible = if place.line == 0 {
        write!(out, "{}: ", place.file)
    } else {
        write!(out, "{}:{}:{}: ", place.file, place.line, place.column)
    };
    if !d.shown_path.is_empty() {
        out.push_str(&d.shown_path);
        out.push_str(": ");
    }
    out.push_str(&d.message);
    out
}

pub(crate) fn diagnostic(d: &Diagnostic, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&headline(d))?;
    let number = d.place.line.to_string();
    let gutter = number.len().max(4);
    if d.place.line != 0 {
        let (line, caret) = d.excerpt.lines();
        let space = if line.is_empty() { "" } else { " " };
        write!(f, "\n {number:>gutter$} |{space}{line}\n {:gutter$} | {caret}", "")?;
    }
    for note in &d.notes {
        write!(f, "\n {:gutter$} = {note}", "")?;
    }
    Ok(())
}

/// A file must not be able to steer the reader's terminal.
fn printable(c: char) -> char {
    if c.is_control() && c != '\t' { '\u{fffd}' } else { c }
}

pub(crate) fn diagnostics(all: &[Diagnostic], left_out: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for d in all {
        writeln!(f, "{d}\n")?;
    }
    let errors = |count: usize| format!("{} error{}", grouped(count), if count == 1 { "" } else { "s" });
    if left_out > 0 {
        writeln!(f, "… and {} more {}\n", grouped(left_out), if left_out == 1 { "error" } else { "errors" })?;
    }
    let mut files: Vec<&str> = all.iter().map(|d| &*d.place.file).collect();
    files.sort_unstable();
    files.dedup();
    match files.as_slice() {
        [file] => write!(f, "{} in {file}", errors(all.len() + left_out)),
        _ => write!(f, "{} in {} files", errors(all.len() + left_out), files.len()),
    }
}

/// A number as people read it: `5,900`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut out = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && position % 3 == first {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str, column: u32, width: u32) -> (String, String) {
        Excerpt::new(line, column, width).lines()
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret_and_the_caret_stays_right() {
        let line: String = ('a'..='z').cycle().take(600_000).collect();
        for column in [1, 59, 60, 61, 62, 139, 140, 141, 300_000, 599_999, 600_000] {
            let (text, carets) = shown(&line, column, 1);
            let meant = line.chars().nth(column as usize - 1);
            let under = carets.chars().position(|c| c == '^').unwrap();
            assert_eq!(text.chars().nth(under), meant, "{column}: {text}\n{carets}");
            assert!(text.chars().count() <= LINE_WIDTH + 2);
            assert_eq!(text.starts_with('…'), column as usize > LEAD + 1, "{column}");
            assert_eq!(text.ends_with('…'), column < 599_900, "{column}");
        }
    }

    #[test]
    fn a_line_that_is_not_long_stays_whole() {
        assert_eq!(shown("a: \tü", 5, 1), ("a: \tü".to_owned(), "   \t^".to_owned()));
        let line = "x".repeat(LINE_WIDTH);
        assert_eq!(shown(&line, 140, 9).0, line);
        assert_eq!(shown("", 7, 3), (String::new(), "^".to_owned()));
    }

    #[test]
    fn a_secret_is_hidden_wherever_the_line_is_cut() {
        let mut excerpt = Excerpt::new(&format!("{}hunter2{}", "x".repeat(400), "y".repeat(400)), 395, 2);
        excerpt.hide(401, 408);
        let (text, carets) = excerpt.lines();
        assert!(text.contains("xx*******yy") && !text.contains("hunter"), "{text}\n{carets}");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([7, 999, 5_900, 1_234_567].map(grouped), ["7", "999", "5,900", "1,234,567"]);
    }
}
