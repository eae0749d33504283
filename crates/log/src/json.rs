//! JSON (RFC 8259) written straight into a buffer: no value in between, no allocation, and no control character that a terminal
//! could obey.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The most bytes of one text that a line repeats. What is longer is cut, and ends in `…`. (Arbitrary: longer than any path
/// that people look at, and far from what fills a disk.)
pub const MAX_TEXT_BYTES: usize = 8 * 1024;

/// One object, written field by field into a line. [`Object::end`] closes it.
#[derive(Debug)]
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
}

/// One list of objects. [`Array::end`] closes it.
#[derive(Debug)]
pub struct Array<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    /// Goes on with an object that has begun and has a field already.
    pub(crate) fn within(out: &'o mut Vec<u8>) -> Self {
        Self { out }
    }

    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A text. `name` is one that needs no escapes, here and below.
    pub fn text(&mut self, name: &'static str, value: &str) -> &mut Self {
        quoted(self.name(name), cut(value, MAX_TEXT_BYTES));
        self
    }

    /// A text that was cut where it came from.
    pub(crate) fn long_text(&mut self, name: &'static str, value: &str) -> &mut Self {
        quoted(self.name(name), cut(value, usize::MAX));
        self
    }

    /// A text, or `null`.
    pub fn text_or_null(&mut self, name: &'static str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(name, value),
            None => self.null(name),
        }
    }

    /// A whole number.
    pub fn number(&mut self, name: &'static str, value: impl Into<u64>) -> &mut Self {
        digits(self.name(name), value.into());
        self
    }

    /// A whole number, or `null`.
    pub fn number_or_null(&mut self, name: &'static str, value: Option<impl Into<u64>>) -> &mut Self {
        match value {
            Some(value) => self.number(name, value),
            None => self.null(name),
        }
    }

    /// A duration in milliseconds, to the microsecond.
    pub fn milliseconds(&mut self, name: &'static str, value: Duration) -> &mut Self {
        let micros = u64::try_from((value.as_nanos() + 500) / 1000).unwrap_or(u64::MAX);
        let out = self.name(name);
        digits(out, micros / 1000);
        let rest = micros % 1000;
        let digit = |number: u64| b'0' + u8::try_from(number % 10).unwrap_or_default();
        out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
        self
    }

    /// An address.
    pub fn ip(&mut self, name: &'static str, value: IpAddr) -> &mut Self {
        let out = self.name(name);
        out.push(b'"');
        address(out, value);
        out.push(b'"');
        self
    }

    /// An address with its port.
    pub fn socket(&mut self, name: &'static str, value: SocketAddr) -> &mut Self {
        let out = self.name(name);
        out.push(b'"');
        if value.is_ipv4() {
            address(out, value.ip());
            out.push(b':');
            digits(out, u64::from(value.port()));
        } else {
            // Writing to memory does not fail.
            write!(out, "{value}").ok();
        }
        out.push(b'"');
        self
    }

    /// An address with its port, or `null`.
    pub fn socket_or_null(&mut self, name: &'static str, value: Option<SocketAddr>) -> &mut Self {
        match value {
            Some(value) => self.socket(name, value),
            None => self.null(name),
        }
    }

    /// Nothing.
    pub fn null(&mut self, name: &'static str) -> &mut Self {
        self.name(name).extend_from_slice(b"null");
        self
    }

    /// A list of objects.
    pub fn array(&mut self, name: &'static str) -> Array<'_> {
        let out = self.name(name);
        out.push(b'[');
        Array { out, is_empty: true }
    }

    /// What is JSON already: a number, `true`.
    pub(crate) fn raw(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.name(name).extend_from_slice(value.as_bytes());
        self
    }

    /// Closes it.
    pub fn end(&mut self) {
        self.out.push(b'}');
    }
}

impl Array<'_> {
    /// Its next object.
    pub fn object(&mut self) -> Object<'_> {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.out.push(b',');
        }
        self.out.push(b'{');
        Object { out: self.out }
    }

    /// Closes it.
    pub fn end(self) {
        self.out.push(b']');
    }
}

/// The part of a text that is told, and whether it was cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut<'t> {
    text: &'t str,
    is_cut: bool,
}

/// At most `most` bytes of a text, in whole characters.
pub(crate) fn cut(text: &str, most: usize) -> Cut<'_> {
    if text.len() <= most {
        return Cut { text, is_cut: false };
    }
    let end = text.floor_char_boundary(most);
    Cut { text: text.get(..end).unwrap_or_default(), is_cut: true }
}

/// Appends a text as JSON has it.
pub(crate) fn quoted(out: &mut Vec<u8>, Cut { text, is_cut }: Cut<'_>) {
    out.push(b'"');
    escaped(out, text.as_bytes());
    if is_cut {
        out.extend_from_slice("…".as_bytes());
    }
    out.push(b'"');
}

/// Whether none of eight bytes is a control character, a quote, a backslash, or a part of a character beyond ASCII.
fn is_plain(eight: [u8; 8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES * 0x80;
    // The trick of haszero(v): https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord. Bytes of 0x80 and more are told
    // by their own highest bit.
    let word = u64::from_ne_bytes(eight);
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let below_space = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    let special = has_zero(word ^ (ONES * u64::from(b'"')))
        | has_zero(word ^ (ONES * u64::from(b'\\')))
        | has_zero(word ^ (ONES * 0x7f));
    (below_space | special | word & HIGHS) == 0
}

/// Appends text with escapes where JSON wants them, and for DEL and the control characters of C1 (U+0080 to U+009F), which
/// terminals obey.
fn escaped(out: &mut Vec<u8>, mut text: &[u8]) {
    let mut rest = text;
    loop {
        if let Some((eight, after)) = rest.split_first_chunk::<8>()
            && is_plain(*eight)
        {
            rest = after;
            continue;
        }
        let Some((&byte, after)) = rest.split_first() else { break };
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 | 0x7f => &unicode(byte),
            0xc2 if matches!(after.first(), Some(0x80..0xa0)) => &unicode(after.first().copied().unwrap_or_default()),
            _ => {
                rest = after;
                continue;
            }
        };
        let clean = text.len() - rest.len();
        out.extend_from_slice(text.get(..clean).unwrap_or_default());
        out.extend_from_slice(escape);
        rest = if byte == 0xc2 { after.get(1..).unwrap_or_default() } else { after };
        text = rest;
    }
    out.extend_from_slice(text);
}

/// `\u001b`.
fn unicode(byte: u8) -> [u8; 6] {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    [b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0xf)]
}

fn digits(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (place, part) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                digits(out, u64::from(part));
            }
        }
        // Writing to memory does not fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn object(fill: impl FnOnce(&mut Object<'_>)) -> Value {
        let mut out = b"{".to_vec();
        let mut object = Object::within(&mut out);
        fill(&mut object);
        object.end();
        serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)))
    }

    /// Texts that want to break out: quotes, backslashes, escapes, controls of C0 and C1, and beyond.
    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[\\x00-\\x20\"\\\\/\\x7f\\u{80}-\\u{a0}ab\\u{2028}\\u{10ffff}]{0,40}",
            "[a-z/]{0,40}[\"\\\\\\x1b\\u{9b}][a-z/]{0,40}",
        ]
    }

    proptest! {
        #[test]
        fn a_text_is_read_as_it_was_and_has_no_control_character_in_it(text in hostile()) {
            let mut out = Vec::new();
            quoted(&mut out, cut(&text, MAX_TEXT_BYTES));
            let written = std::str::from_utf8(&out).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(written).unwrap(), text);
            prop_assert!(!written.chars().any(char::is_control), "{written:?}");
        }

        #[test]
        fn an_object_is_what_serde_json_makes_of_the_same(
            texts in proptest::collection::vec(hostile(), 3),
            number: u64,
            // serde_json reads longer numbers a little wrong.
            nanos in 0..1_000_000_000_000_000_u64,
            ip: IpAddr,
            port: u16,
        ) {
            let duration = Duration::from_nanos(nanos);
            let written = object(|object| {
                object.text("a", &texts[0]).text_or_null("b", Some(&texts[1])).text_or_null("c", None).null("d");
                object.number("e", number).ip("f", ip).socket("g", SocketAddr::new(ip, port));
                object.milliseconds("h", duration);
                let mut list = object.array("i");
                list.object().text("j", &texts[2]).number("k", 7_u32).end();
                list.object().text("j", &texts[0]).end();
                list.end();
                object.array("l").end();
            });
            let micros = (nanos + 500) / 1000;
            let milliseconds: f64 = format!("{}.{:03}", micros / 1000, micros % 1000).parse().unwrap();
            let wanted = json!({
                "a": texts[0], "b": texts[1], "c": null, "d": null,
                "e": number, "f": ip, "g": SocketAddr::new(ip, port),
                "h": milliseconds,
                "i": [{ "j": texts[2], "k": 7 }, { "j": texts[0] }],
                "l": [],
            });
            prop_assert_eq!(written, wanted);
        }

        #[test]
        fn a_long_text_is_cut_between_characters(text in "\\PC{0,40}", most in 0_usize..40) {
            let mut out = Vec::new();
            quoted(&mut out, cut(&text, most));
            let read: String = serde_json::from_slice(&out).unwrap();
            if text.len() <= most {
                prop_assert_eq!(read, text);
            } else {
                let begin = read.strip_suffix('…').unwrap();
                prop_assert!(text.starts_with(begin) && begin.len() <= most && begin.len() + 4 > most);
            }
        }
    }

    #[test]
    fn durations_are_told_to_the_microsecond() {
        let written = |nanos| {
            let told = object(|object| {
                object.milliseconds("ms", Duration::from_nanos(nanos));
            });
            told["ms"].clone()
        };
        assert_eq!(written(0), json!(0.0));
        assert_eq!(written(1_499), json!(0.001));
        assert_eq!(written(1_500), json!(0.002));
        assert_eq!(written(12_034_500_000), json!(12_034.5));
    }
}
