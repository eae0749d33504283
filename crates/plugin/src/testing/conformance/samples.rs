//! Requests of odd shapes, and answers to match.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::consumer::Consumer;
use crate::testing::request::Request;

/// A request, and what a target answers if it gets there.
pub(super) struct Sample {
    what: &'static str,
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) shape: Box<dyn Fn(Request<'_>) -> Request<'_>>,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) chunks: Vec<Bytes>,
}

/// Fields that plugins are likely to read.
const READ: [HeaderName; 14] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::ORIGIN,
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::IF_NONE_MATCH,
    header::RANGE,
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("accept-version"),
];

/// One line more than any buffer a plugin could have for a header, path or chunk on the stack.
const LONG: usize = 64 * 1024;

/// All of them.
pub(super) fn all() -> Vec<Sample> {
    let mut samples = heads();
    samples.extend(targets());
    samples.extend(methods());
    samples.extend(bodies());
    samples.extend(answers());
    samples
}

/// Two ordinary requests that differ in everything.
pub(super) fn pair() -> (Sample, Sample) {
    let a = sample("one of two requests", Method::POST, "/a/1?x=a", |request| {
        let request = request.client("192.0.2.1").consumer(Consumer { tier: Some("a".into()), ..Consumer::new("a") });
        request.header("x-request-id", "aaaaaaaa").header("x-api-key", "a").chunks(["aaaa", "aa", ""]).param("id", "1")
    });
    let b = sample("the other of two requests", Method::PUT, "/b/2?y=b", |request| {
        let request = request.client("2001:db8::2").consumer(Consumer::new("b")).host("b.test");
        request.header("origin", "https://b.test").header("cookie", "b=b").chunks(["b", "", "bbbbb"]).param("id", "2")
    });
    let a = a.answered(StatusCode::OK, &[("x-from", "a")], &["AAAA", "", "A"]);
    (a, b.answered(StatusCode::NOT_FOUND, &[("x-from", "b"), ("vary", "b")], &["B", "BBB", "B"]))
}

#[expect(clippy::redundant_closure_for_method_calls, reason = "the bare method is for one lifetime only")]
fn heads() -> Vec<Sample> {
    vec![
        get("a request", |request| request),
        get("a request without any header", |request| request.without_host()),
        get("two hosts", |request| request.header("host", "other.test")),
        get("a host that is none", |request| request.host("[::1:80:x")),
        get("empty headers", |request| READ.iter().fold(request, |request, name| request.header(name, ""))),
        get("headers of 64 KiB", |request| {
            READ.iter().fold(request, |request, name| request.header(name, vec![b'a'; LONG]))
        }),
        get("headers that are not UTF-8", |request| {
            READ.iter().fold(request, |request, name| request.header(name, b"\x80\xff Bearer \xc3("))
        }),
        get("headers given twice", |request| {
            READ.iter().chain(&READ).fold(request, |request, name| request.header(name, "Bearer a.b.c"))
        }),
        get("headers of punctuation", |request| {
            READ.iter().fold(request, |request, name| request.header(name, ";,=\"\\..;;==, ,\t%00%ff${request.path}"))
        }),
        get("numbers out of range", |request| {
            READ.iter().fold(request, |request, name| request.header(name, "-99999999999999999999999999"))
        }),
        get("an IPv6 client", |request| request.client("2001:db8::1")),
        get("a consumer without a name", |request| request.consumer(Consumer::new(""))),
        get("a consumer with odd claims", |request| {
            let claims = serde_json::json!({ "sub": null, "plan": [{}], "roles": -1, "é": "\u{0}\n" });
            let tier = Some(Arc::from("no-such-tier"));
            request.consumer(Consumer { tier, claims: Some(Arc::new(claims)), ..Consumer::new("é\r\n\u{0}") })
        }),
    ]
}

fn targets() -> Vec<Sample> {
    let targets = [
        ("a path of 60 KiB", format!("/{}", "a/".repeat(30 * 1024))),
        ("a query of 60 KiB", format!("/?{}", "a=b&".repeat(15 * 1024))),
        ("a path with broken percent-encoding", "/%zz/%/%f/%00%ff%C3%28".to_owned()),
        ("a query of punctuation", "/?&&=&a&=b&a==c&%ff=%zz&+=+".to_owned()),
        ("a path of slashes and dots", "//..//.///..".to_owned()),
        ("an absolute target", "http://user@other.test:1/x?y".to_owned()),
        ("an empty query", "/?".to_owned()),
    ];
    targets.map(|(what, target)| sample(what, Method::GET, target, |request| request)).into()
}

fn methods() -> Vec<Sample> {
    let purge = Method::from_bytes(b"PURGE").unwrap_or(Method::TRACE);
    vec![
        sample("HEAD", Method::HEAD, "/a", |request| request),
        sample("OPTIONS *", Method::OPTIONS, "*", |request| request),
        sample("CONNECT", Method::CONNECT, "other.test:443", |request| request),
        sample("a method of its own", purge, "/a", |request| request),
        sample("a preflight", Method::OPTIONS, "/a", |request| {
            let request = request.header("origin", "https://app.example.com");
            request.header("access-control-request-method", "PUT").header("access-control-request-headers", "x-a, ,x-b")
        }),
        sample("an upgrade", Method::GET, "/a", |request| {
            request.header("connection", "upgrade").header("upgrade", "websocket")
        }),
    ]
}

pub(super) fn bodies() -> Vec<Sample> {
    let post = |what, chunks: &'static [usize]| {
        sample(what, Method::POST, "/a", move |request| request.chunks(chunks.iter().map(|size| filled(*size))))
    };
    vec![
        post("an empty body", &[0]),
        post("a body that ends in an empty chunk", &[1, 0]),
        post("a body of single bytes", &[1, 1, 1, 0, 1]),
        post("a body of 64 KiB chunks", &[LONG, LONG, 0, LONG]),
        sample("a body that is called JSON and is none", Method::POST, "/a", |request| {
            request.header("content-type", "application/json").body(&b"{\"a\": [1, \xff"[..])
        }),
    ]
}

fn answers() -> Vec<Sample> {
    let answered = |what, status, headers: &[(&str, &str)], chunks: &[&str]| {
        get(what, |request| request).answered(status, headers, chunks)
    };
    let mut binary = answered("an answer of 64 KiB chunks that is not text", StatusCode::OK, &[], &[]);
    for name in [header::CONTENT_TYPE, header::SET_COOKIE, header::VARY, header::ETAG, header::LOCATION] {
        if let Ok(value) = HeaderValue::from_bytes(b"\x80\xff") {
            binary.headers.append(name, value);
        }
    }
    binary.chunks = vec![filled(LONG), Bytes::new(), filled(1), Bytes::from(vec![0xff; LONG]), Bytes::new()];
    vec![
        answered("an answer without a body", StatusCode::NO_CONTENT, &[], &[]),
        answered("an answer of an empty chunk", StatusCode::OK, &[("content-length", "0")], &[""]),
        answered("a 304", StatusCode::NOT_MODIFIED, &[("etag", "\"x\"")], &[]),
        answered("a 500", StatusCode::INTERNAL_SERVER_ERROR, &[("content-type", "text/html")], &["<p>", "", "</p>"]),
        answered(
            "an answer called JSON that is none",
            StatusCode::OK,
            &[("content-type", "application/json")],
            &["{\"a"],
        ),
        answered(
            "an answer with headers twice",
            StatusCode::OK,
            &[("vary", "*"), ("vary", ""), ("vary", "origin,,a")],
            &["x"],
        ),
        binary,
    ]
}

fn filled(size: usize) -> Bytes {
    Bytes::from(vec![b'x'; size])
}

fn get(what: &'static str, shape: impl Fn(Request<'_>) -> Request<'_> + 'static) -> Sample {
    sample(what, Method::GET, "/a/b?c=d", shape)
}

fn sample(
    what: &'static str,
    method: Method,
    target: impl Into<String>,
    shape: impl Fn(Request<'_>) -> Request<'_> + 'static,
) -> Sample {
    let chunks = vec![Bytes::from_static(b"an ans"), Bytes::from_static(b"wer")];
    let (shape, headers) = (Box::new(shape), HeaderMap::new());
    Sample { what, method, target: target.into(), shape, status: StatusCode::OK, headers, chunks }
        .answered_with("content-type", "text/plain")
}

impl Sample {
    fn answered_with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    /// With this answer instead.
    fn answered(mut self, status: StatusCode, headers: &[(&str, &str)], chunks: &[&str]) -> Self {
        self.status = status;
        self.headers = headers
            .iter()
            .filter_map(|(name, value)| Some((HeaderName::try_from(*name).ok()?, HeaderValue::from_str(value).ok()?)))
            .collect();
        self.chunks = chunks.iter().map(|chunk| Bytes::copy_from_slice(chunk.as_bytes())).collect();
        self
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target.get(..80).unwrap_or(&self.target);
        write!(f, "{} ({} {target})", self.what, self.method)
    }
}
