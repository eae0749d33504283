//! What the scanner says of broken YAML, in words that name the slip.

use super::{Lines, Span};

/// A message, and whether the place where the innermost list or map began belongs to it.
pub(super) struct Explained {
    pub(super) message: String,
    pub(super) open: bool,
    /// Line and column where the slip is, if that is not where the scanner noticed it.
    pub(super) place: Option<(u32, u32)>,
}

pub(super) fn explain(info: &str, at: Span, text: &str) -> Explained {
    let lines = Lines::new(text.into());
    let (line, rest) = (lines.line(at.line), lines.rest(at.line, at.column));
    let alone = |message: &str| Explained { message: message.to_owned(), open: false, place: None };
    if info.contains("unknown anchor") {
        let word: String = rest.chars().take_while(|c| !c.is_whitespace() && !",]}".contains(*c)).collect();
        let anchor = word.trim_start_matches('*');
        return alone(&format!(
            "{word} refers to an anchor &{anchor}, and there is none; a text that begins with * needs quotes"
        ));
    }
    if info.contains("tabs disallowed") {
        return alone("YAML is indented with spaces, not with tabs");
    }
    if info.contains("quoted scalar") && info.contains("end of stream") {
        return alone("this quote is never closed");
    }
    if info.contains("quoted scalar") && info.contains("indentation") {
        return alone("the closing quote is missing in this line; a text that goes on below is indented there");
    }
    if info.contains("found a tab") {
        let place = tab_below(&lines, at.line);
        return Explained { place, ..alone("YAML is indented with spaces, not with tabs") };
    }
    if let Some((quoted, column)) = unclosed_quote(&lines, at.line) {
        let message = format!(
            "the quote that is opened here is closed only in line {}, before something else; is the closing quote missing?",
            at.line
        );
        return Explained { message, open: false, place: Some((quoted, column)) };
    }
    if info.contains("mapping values are not allowed") {
        if let Some(column) = too_deep(&lines, at.line) {
            let place = Some((at.line, column));
            return Explained {
                place,
                ..alone(
                    "this line is indented deeper than the one above, whose key has its value already; begin both alike",
                )
            };
        }
        return alone(
            "no key may stand here: the line above lacks its colon, or a text with \": \" in it needs quotes",
        );
    }
    if let Some(template) = unquoted_template(line) {
        return alone(&format!("a template that begins a text needs quotes here: \"{template}\""));
    }
    if info.contains("flow") || (info == "invalid indentation") {
        let closing = if info.contains("sequence") { "]" } else { "}" };
        let message = format!("a comma or the closing {closing} is missing before this");
        return Explained { message, open: true, place: None };
    }
    if let Some(text) = unquoted_bracket(line) {
        return alone(&format!("a text that begins with {{ or [ needs quotes: \"{text}\""));
    }
    if info.contains("block mapping") || info.contains("block collection") {
        return alone("this line's indentation fits none of the lines above");
    }
    alone(&format!("not valid YAML: {info}"))
}

/// How far above a mistake the quote is looked for that was never closed.
const QUOTE_LINES: u32 = 20;

/// A quote in a line above that a quote in this line closes, as when the one that should have closed it was forgotten: line and
/// column of the quote that opens.
fn unclosed_quote(lines: &Lines, line: u32) -> Option<(u32, u32)> {
    for quote in ['"', '\''] {
        if odd_quotes(lines.line(line), quote).is_none() {
            continue;
        }
        let above = (line.saturating_sub(QUOTE_LINES)..line).rev().filter(|line| *line > 0);
        for above in above {
            let Some(code) = odd_quotes(lines.line(above), quote) else { continue };
            let before = code.rsplit_once(quote)?.0;
            // An apostrophe within a word opens nothing.
            let opens = before.is_empty() || before.ends_with([' ', '[', '{', ',']);
            return if opens { Some((above, u32::try_from(before.chars().count()).ok()? + 1)) } else { None };
        }
    }
    None
}

/// The first tab in the indentation of this line or one of those below.
fn tab_below(lines: &Lines, line: u32) -> Option<(u32, u32)> {
    (line..=line.saturating_add(QUOTE_LINES)).find_map(|line| {
        let text = lines.line(line);
        let indent = text.len() - text.trim_start().len();
        let tab = text.get(..indent)?.chars().position(|c| c == '\t')?;
        Some((line, u32::try_from(tab).ok()? + 1))
    })
}

/// The column at which a line begins that is indented deeper than the key of the line above, when that key has a value.
fn too_deep(lines: &Lines, line: u32) -> Option<u32> {
    let above = lines.line(line.checked_sub(1)?);
    let begin = |text: &str| text.len() - text.trim_start_matches([' ', '-']).len();
    let (_, value) = above.split_once(": ")?;
    let has_value = !value.trim().is_empty() && !value.trim_start().starts_with('#');
    let own = begin(lines.line(line));
    (has_value && own > begin(above)).then(|| u32::try_from(own).ok()).flatten().map(|own| own + 1)
}

/// The line without its comment, when it has an odd number of these quotes.
fn odd_quotes(line: &str, quote: char) -> Option<&str> {
    let code = line.split(" #").next().unwrap_or_default();
    (code.matches(quote).count() % 2 == 1).then_some(code)
}

/// `${…}` at the beginning of an unquoted text.
fn unquoted_template(line: &str) -> Option<&str> {
    let at = [": ${", "[${", "- ${", ", ${"].iter().find_map(|begin| Some(line.find(begin)? + begin.len() - 2))?;
    let template = line.get(at..)?;
    template.get(..=template.find('}')?)
}

/// `{version}/users`: a value that YAML takes for a map, with more text behind it.
fn unquoted_bracket(line: &str) -> Option<&str> {
    let (_, value) = line.split_once(": ")?;
    let value = value.trim();
    let behind = value.strip_prefix('{')?.split_once('}')?.1;
    let more = !behind.is_empty() && !behind.trim_start().starts_with('#');
    more.then_some(value)
}
