//! A second reading of the same RFCs, written apart from the first: naive, on a whole buffer, with text functions. It
//! knows no bounds but the length of a method, so it is only asked about small inputs.

use portreeve_wire::http1::{Body, Head};

/// What `Connection` may not name.
const OF_THE_MESSAGE: &str = "authorization cache-control content-encoding content-length content-range content-type cookie \
    date expect forwarded host max-forwards origin range set-cookie transfer-encoding via x-forwarded-for \
    x-forwarded-host x-forwarded-proto x-real-ip";

/// What may not come after a body.
const NO_TRAILERS: &str = "age authorization cache-control connection content-encoding content-length content-range \
    content-type cookie date expect expires forwarded host if-match if-modified-since if-none-match if-range \
    if-unmodified-since keep-alive location max-forwards pragma proxy-authenticate proxy-authentication-info \
    proxy-authorization proxy-connection range retry-after set-cookie te trailer transfer-encoding upgrade vary via \
    www-authenticate x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip";

/// How a connection ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// After a message.
    Clean,
    /// Within one that may still become well-formed, or not.
    Open,
    /// In something that is no message.
    Broken,
}

/// The ends of the messages in `bytes`, with what their heads say.
pub(crate) fn read(bytes: &[u8]) -> (Vec<(usize, Head)>, Ending) {
    // One char for each byte.
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let text: Vec<char> = text.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < text.len() {
        match message(&text[at..]) {
            Ok(Some((length, head))) => {
                at += length;
                found.push((at, head));
            }
            Ok(None) => return (found, Ending::Open),
            Err(()) => return (found, Ending::Broken),
        }
    }
    (found, Ending::Clean)
}

fn ensure(holds: bool) -> Result<(), ()> {
    if holds { Ok(()) } else { Err(()) }
}

/// The lines up to an empty one, and the length of all; `None` if there is no empty one.
fn block(text: &[char]) -> Result<Option<(Vec<String>, usize)>, ()> {
    let (mut lines, mut line, mut length) = (Vec::new(), String::new(), 0);
    for &char in text {
        length += 1;
        line.push(char);
        if char == '\n' {
            ensure(line.ends_with("\r\n"))?;
            let content = line[..line.len() - 2].to_owned();
            ensure(!content.contains('\r'))?;
            if content.is_empty() {
                return Ok(Some((lines, length)));
            }
            lines.push(content);
            line.clear();
        }
    }
    Ok(None)
}

fn message(text: &[char]) -> Result<Option<(usize, Head)>, ()> {
    let blank = if text.starts_with(&['\r', '\n']) { 2 } else { 0 };
    let text = &text[blank..];
    // A second empty line is not ignored.
    ensure(!text.starts_with(&['\r', '\n']))?;
    let Some((lines, head_length)) = block(text)? else { return Ok(None) };
    let head = head(&lines)?;
    let rest = &text[head_length..];
    let body_length = match head.body {
        Body::None => 0,
        Body::Length(length) if length > rest.len() as u64 => return Ok(None),
        Body::Length(length) => usize::try_from(length).map_err(|_| ())?,
        Body::Chunked => match chunks(rest)? {
            None => return Ok(None),
            Some(length) => length,
        },
    };
    Ok(Some((blank + head_length + body_length, head)))
}

fn token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn fields(lines: &[String]) -> Result<Vec<(String, String)>, ()> {
    let field = |line: &String| {
        let (name, value) = line.split_once(':').ok_or(())?;
        let may_stand = |c: char| c == '\t' || (' '..='~').contains(&c) || c >= '\u{80}';
        ensure(token(name) && value.chars().all(may_stand))?;
        let name = name.to_lowercase();
        for real in ["transfer-encoding", "content-length"] {
            let mapped: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            ensure(mapped != real || name == real)?;
        }
        Ok((name, value.trim_matches([' ', '\t']).to_owned()))
    };
    lines.iter().map(field).collect()
}

/// Host in small letters, and port.
fn authority(text: &str) -> Result<(String, Option<u16>), ()> {
    let (host, port) = match text.rfind(':') {
        Some(at) if !text.ends_with(']') => (&text[..at], Some(&text[at + 1..])),
        _ => (text, None),
    };
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(())?;
        inner.parse::<std::net::Ipv6Addr>().map_err(|_| ())?;
    } else {
        ensure((1..=254).contains(&host.len()))?;
        ensure(host.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c)))?;
    }
    let port = match port {
        None => None,
        Some(port) => {
            ensure(port.chars().all(|c| c.is_ascii_digit()) && port.len() <= 5)?;
            Some(port.parse().map_err(|_| ())?)
        }
    };
    Ok((host.to_lowercase(), port))
}

/// Percent-escapes, the characters of RFC 3986, and those that browsers leave raw.
fn path(text: &str) -> Result<(), ()> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    for (text, raw) in [(path, "[]|"), (query, "[]|\\^`{}?")] {
        for (index, part) in text.split('%').enumerate() {
            let mut rest = part.chars();
            if index > 0 {
                let mut hex = || rest.next().is_some_and(|c| c.is_ascii_hexdigit());
                ensure(hex() && hex())?;
            }
            ensure(rest.all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(c) || raw.contains(c)))?;
        }
    }
    Ok(())
}

fn head(lines: &[String]) -> Result<Head, ()> {
    let words: Vec<&str> = lines.first().ok_or(())?.split(' ').collect();
    let [method, target, version] = words[..] else { return Err(()) };
    ensure(token(method) && method.len() <= 32 && method != "CONNECT")?;
    ensure(version == "HTTP/1.1" || version == "HTTP/1.0")?;
    let is_http10 = version == "HTTP/1.0";
    let fields = fields(&lines[1..])?;
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    };
    let list = |name: &str| -> Vec<String> {
        all(name)
            .iter()
            .flat_map(|value| value.split(','))
            .map(|e| e.trim_matches([' ', '\t']).to_lowercase())
            .collect()
    };

    let hosts = all("host");
    ensure(hosts.len() <= 1)?;
    let host = hosts.first().map(|host| authority(host)).transpose()?;
    if target.starts_with('/') {
        path(target)?;
        ensure(host.is_some() || is_http10)?;
    } else if target == "*" {
        ensure(method == "OPTIONS" && host.is_some())?;
    } else {
        let (scheme, rest) = target.split_once("://").ok_or(())?;
        let default = match scheme.to_lowercase().as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(()),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        path(&rest[end..])?;
        let (name, port) = authority(&rest[..end])?;
        let (host, host_port) = host.ok_or(())?;
        ensure(name == host && port.unwrap_or(default) == host_port.unwrap_or(default))?;
    }

    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    ensure(lengths.len() + codings.len() <= 1)?;
    let body = if let [length] = lengths[..] {
        ensure((1..=19).contains(&length.len()) && length.chars().all(|c| c.is_ascii_digit()))?;
        Body::Length(length.parse().map_err(|_| ())?)
    } else if let [coding] = codings[..] {
        ensure(coding.to_lowercase() == "chunked" && !is_http10)?;
        Body::Chunked
    } else {
        Body::None
    };

    let options = list("connection");
    ensure(options.len() <= 10 && options.iter().all(|option| option.is_empty() || token(option)))?;
    let nominated = OF_THE_MESSAGE.split_whitespace().collect::<Vec<_>>();
    ensure(!options.iter().any(|option| nominated.contains(&option.as_str())))?;
    let option = |name: &str| options.iter().any(|option| option == name);

    let offers = list("upgrade");
    ensure(offers.iter().all(|offer| offer.splitn(2, '/').all(token)))?;
    let is_offered = !offers.is_empty() && !is_http10;
    ensure(!is_offered || option("upgrade"))?;
    let upgrade = is_offered && offers.iter().any(|offer| offer != "h2c");
    ensure(!upgrade || matches!(body, Body::None | Body::Length(0)))?;

    let expectations = all("expect");
    ensure(expectations.len() <= 1 && expectations.iter().all(|value| value.to_lowercase() == "100-continue"))?;
    Ok(Head {
        body,
        upgrade,
        is_http10,
        expects_continue: !expectations.is_empty() && !is_http10,
        is_head: method == "HEAD",
        is_persistent: !option("close") && (!is_http10 || option("keep-alive")),
    })
}

/// The length of a chunked body.
fn chunks(text: &[char]) -> Result<Option<usize>, ()> {
    let mut at = 0;
    loop {
        let Some(end) = text[at..].iter().position(|&c| c == '\n') else { return Ok(None) };
        let line: String = text[at..=at + end].iter().collect();
        at += end + 1;
        let line = line.strip_suffix("\r\n").ok_or(())?;
        let digits = line.chars().take_while(char::is_ascii_hexdigit).count();
        let (size, extensions) = line.split_at(digits);
        ensure((1..=16).contains(&size.len()))?;
        extension(extensions)?;
        let size = u64::from_str_radix(size, 16).map_err(|_| ())?;
        if size == 0 {
            let Some((lines, length)) = block(&text[at..])? else { return Ok(None) };
            let forbidden = NO_TRAILERS.split_whitespace().collect::<Vec<_>>();
            ensure(!fields(&lines)?.iter().any(|(name, _)| forbidden.contains(&name.as_str())))?;
            return Ok(Some(at + length));
        }
        let left = text.len() - at;
        if size + 2 > left as u64 {
            // What there is of the end of the chunk must be right.
            let end: String = text[at..].iter().skip(usize::try_from(size).unwrap_or(usize::MAX)).collect();
            ensure("\r\n".starts_with(&end))?;
            return Ok(None);
        }
        at += usize::try_from(size).map_err(|_| ())?;
        ensure(text[at..].starts_with(&['\r', '\n']))?;
        at += 2;
    }
}

/// By trying: one extension after the other, each to the next semicolon that is not within quotes.
fn extension(text: &str) -> Result<(), ()> {
    let (mut parts, mut is_quoted, mut is_escaped) = (vec![String::new()], false, false);
    for c in text.chars() {
        ensure(c == '\t' || (' '..='~').contains(&c) || c >= '\u{80}')?;
        if c == ';' && !is_quoted {
            parts.push(String::new());
            continue;
        }
        parts.last_mut().unwrap().push(c);
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
    }
    ensure(!is_quoted)?;
    let blank = [' ', '\t'];
    let last = parts.len() - 1;
    for (index, part) in parts.iter().enumerate() {
        // White space may stand before a semicolon, not at the end of the line.
        ensure(index < last || !part.ends_with(blank))?;
        let part = part.trim_matches(blank);
        if index == 0 {
            ensure(part.is_empty())?;
            continue;
        }
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end_matches(blank), Some(value.trim_start_matches(blank))),
            None => (part, None),
        };
        ensure(token(name))?;
        let Some(value) = value else { continue };
        if !token(value) {
            let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).ok_or(())?;
            // Quotes and backslashes within are escaped.
            let unescaped = inner.replace("\\\\", "").replace("\\\"", "");
            ensure(!unescaped.contains('"') && (!inner.ends_with('\\') || unescaped.len() < inner.len()))?;
        }
    }
    Ok(())
}
