//! What the scanner says of broken YAML, in words that name the slip.

use super::{Lines, Span};

/// A message, and whether the place where the innermost list or map began belongs to it.
pub(super) struct Explained {
    pub(super) message: String,
    pub(super) open: bool,
}

pub(super) fn explain(info: &str, at: Span, text: &str) -> Explained {
    let lines = Lines::new(text.into());
    let (line, rest) = (lines.line(at.line), lines.rest(at.line, at.column));
    let alone = |message: &str| Explained { message: message.to_owned(), open: false };
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
    if info.contains("mapping values are not allowed") {
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
        return Explained { message, open: true };
    }
    if let Some(text) = unquoted_bracket(line) {
        return alone(&format!("a text that begins with {{ or [ needs quotes: \"{text}\""));
    }
    if info.contains("block mapping") || info.contains("block collection") {
        return alone("this line's indentation fits none of the lines above");
    }
    alone(&format!("not valid YAML: {info}"))
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
