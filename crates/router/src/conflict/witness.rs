//! A request that shows a conflict.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// A concrete request, complete enough to be sent. Displays as `GET http://api.example.com/users/1?a=b (x-beta: 1)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The method.
    pub method: Method,
    /// The host.
    pub host: String,
    /// The path, normal.
    pub path: String,
    /// Header fields, but for cookies.
    pub headers: Vec<(HeaderName, String)>,
    /// Query parameters, decoded.
    pub query: Vec<(String, String)>,
    /// Cookies.
    pub cookies: Vec<(String, String)>,
}

impl Witness {
    /// The query as it stands in a request target, without `?`.
    pub fn query_string(&self) -> String {
        let pairs = self.query.iter().map(|(name, value)| match &**value {
            "" => encode(name),
            value => format!("{}={}", encode(name), encode(value)),
        });
        pairs.collect::<Vec<_>>().join("&")
    }

    /// All header fields, with one for the cookies. What cannot stand in a header field is left out.
    pub fn header_map(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in self.header_lines() {
            if let Ok(value) = HeaderValue::from_str(&value) {
                map.append(name, value);
            }
        }
        map
    }

    fn header_lines(&self) -> Vec<(HeaderName, String)> {
        let mut lines = self.headers.clone();
        if !self.cookies.is_empty() {
            let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
            lines.push((header::COOKIE, cookies.collect::<Vec<_>>().join("; ")));
        }
        lines
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} http://{}{}", self.method, self.host, self.path)?;
        if !self.query.is_empty() {
            write!(f, "?{}", self.query_string())?;
        }
        for (index, (name, value)) in self.header_lines().iter().enumerate() {
            write!(f, "{}{name}: {value}", if index == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.headers.is_empty() && self.cookies.is_empty() { "" } else { ")" })
    }
}

/// Form encoding, with everything but unreserved characters encoded.
fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.extend([byte >> 4, byte & 0xf].into_iter().filter_map(upper_hex));
            }
        }
    }
    out
}

fn upper_hex(digit: u8) -> Option<char> {
    char::from_digit(digit.into(), 16).map(|digit| digit.to_ascii_uppercase())
}
