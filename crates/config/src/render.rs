//! How errors look: a headline that editors can jump from, the source line, a caret, notes, a count at the end.

use std::fmt::{self, Write as _};

use crate::diagnostic::Diagnostic;

/// More errors than anybody reads at once.
const SHOWN: usize = 100;
/// Source lines longer than this are cut around the caret.
const LINE_WIDTH: usize = 140;
/// How much of a cut line stands before the caret.
const LEAD: usize = 60;

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
        let (line, caret) = cut(&d.source_line, d.place.column as usize, d.width as usize);
        let space = if line.is_empty() { "" } else { " " };
        write!(f, "\n {number:>gutter$} |{space}{line}\n {:gutter$} | {caret}", "")?;
    }
    for note in &d.notes {
        write!(f, "\n {:gutter$} = {note}", "")?;
    }
    Ok(())
}

/// The source line, cut when it is long, and the line of carets below it.
fn cut(line: &str, column: usize, width: usize) -> (String, String) {
    let chars: Vec<char> = line.chars().map(printable).collect();
    let at = column.saturating_sub(1).min(chars.len());
    let skip = if chars.len() > LINE_WIDTH && at > LEAD { at - LEAD } else { 0 };
    let shown = chars.get(skip..chars.len().min(skip + LINE_WIDTH)).unwrap_or_default();
    let mut out = String::with_capacity(line.len() + 8);
    let mut pad = String::new();
    if skip > 0 {
        out.push('…');
        pad.push(' ');
    }
    out.extend(shown);
    if skip + shown.len() < chars.len() {
        out.push('…');
    }
    // Tabs stay tabs, so that the caret stands right whatever their width.
    let before = shown.get(..at - skip).unwrap_or_default();
    pad.extend(before.iter().map(|c| if *c == '\t' { '\t' } else { ' ' }));
    let room = shown.len().saturating_sub(at - skip).max(1);
    let carets = width.clamp(1, room);
    pad.extend(std::iter::repeat_n('^', carets));
    (out.trim_end().to_owned(), pad)
}

/// A file must not be able to steer the reader's terminal.
fn printable(c: char) -> char {
    if c.is_control() && c != '\t' { '\u{fffd}' } else { c }
}

pub(crate) fn diagnostics(all: &[Diagnostic], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for d in all.iter().take(SHOWN) {
        writeln!(f, "{d}\n")?;
    }
    if all.len() > SHOWN {
        writeln!(f, "… and {} more\n", all.len() - SHOWN)?;
    }
    let mut files: Vec<&str> = Vec::new();
    for d in all {
        if !files.contains(&&*d.place.file) {
            files.push(&d.place.file);
        }
    }
    let errors = if all.len() == 1 { "error" } else { "errors" };
    match files.as_slice() {
        [file] => write!(f, "{} {errors} in {file}", all.len()),
        _ => write!(f, "{} {errors} in {} files", all.len(), files.len()),
    }
}
