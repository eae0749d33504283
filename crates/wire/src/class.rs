//! Which byte may stand where: one table, one bit for each class.

/// `tchar` (RFC 9110 §5.6.2): methods, field names, options.
pub(crate) const TOKEN: u8 = 1;
/// What a path is made of, but for percent-escapes: `pchar` and `/` (RFC 3986 §3.3), and what browsers leave raw beside them
/// (<https://url.spec.whatwg.org/#path-percent-encode-set>): `[`, `]` and `|`. Whoever forwards it encodes those.
pub(crate) const PATH: u8 = 1 << 1;
/// The same for a query: `pchar`, `/` and `?` (RFC 3986 §3.4), and of browsers also `\`, `^`, a backtick, `{` and `}`
/// (<https://url.spec.whatwg.org/#query-percent-encode-set>).
pub(crate) const QUERY: u8 = 1 << 5;
/// What a name of a host is made of: `unreserved` (RFC 3986 §2.3). The grammar of `reg-name` also has escapes and
/// `sub-delims`; no name that can be looked up has (RFC 3986 §3.2.2), and `a.com,b.com` is not one host.
pub(crate) const HOST: u8 = 1 << 2;
/// `qdtext` (RFC 9110 §5.6.4): inside a quoted string, unescaped.
pub(crate) const QUOTED: u8 = 1 << 3;
/// `HTAB / SP / VCHAR / obs-text`: field values, and what a backslash may escape (RFC 9110 §5.5, §5.6.4).
pub(crate) const VALUE: u8 = 1 << 4;

static TABLE: [u8; 256] = table();

/// Whether `byte` is of `class`.
#[inline]
pub(crate) fn is(byte: u8, class: u8) -> bool {
    // A `u8` cannot miss a table of 256: the compiler drops the check.
    TABLE.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

/// Where the first byte stands that is not of `class`; the length if there is none.
#[inline]
pub(crate) fn run(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|&byte| !is(byte, class)).unwrap_or(bytes.len())
}

/// Whether `bytes` is a token: at least one `tchar`, and nothing else.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && run(bytes, TOKEN) == bytes.len()
}

/// Whether all bytes may stand in a field value. In blocks without a branch, so that they become vector code: values are
/// most of a head.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    let is_bad = |byte: u8| byte < b' ' && byte != b'\t' || byte == 0x7f;
    let (blocks, rest) = bytes.as_chunks::<16>();
    blocks.iter().all(|block| block.iter().fold(0, |bad, &byte| bad | u8::from(is_bad(byte))) == 0)
        && run(rest, VALUE) == rest.len()
}

/// Without `OWS` (spaces and tabs, RFC 9110 §5.6.3) at both ends.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// Without `OWS` at the beginning.
pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// Without `OWS` at the end.
pub(crate) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[expect(clippy::indexing_slicing, reason = "runs when compiled: a miss would be an error then")]
#[expect(clippy::cast_possible_truncation, reason = "counts to 255")]
const fn table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        let alphanumeric = byte.is_ascii_alphanumeric();
        let unreserved = alphanumeric || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let sub_delims = matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
        let value = byte == b'\t' || byte >= b' ' && byte != 0x7f;
        let mut classes = 0;
        if alphanumeric
            || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_')
            || matches!(byte, b'`' | b'|' | b'~')
        {
            classes |= TOKEN;
        }
        if unreserved || sub_delims || matches!(byte, b':' | b'@' | b'/' | b'[' | b']' | b'|') {
            classes |= PATH | QUERY;
        }
        if matches!(byte, b'?' | b'\\' | b'^' | b'`' | b'{' | b'}') {
            classes |= QUERY;
        }
        if unreserved {
            classes |= HOST;
        }
        if value && byte != b'"' && byte != b'\\' {
            classes |= QUOTED;
        }
        if value {
            classes |= VALUE;
        }
        table[index] = classes;
        index += 1;
    }
    table
}
