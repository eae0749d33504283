//! For all bytes: cuts do not matter, and a second reading of the RFCs agrees.

use portreeve_wire::forwarded;
use portreeve_wire::http1::{At, Bounds};
use portreeve_wire::proxy_protocol;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::drive::drive;
use crate::oracle::{self, Ending};
use crate::requests::whole;

const METHODS: &[&str] = &["GET", "POST", "HEAD", "OPTIONS", "M-SEARCH", "CONNECT", "G(T", ""];
const TARGETS: &[&str] = &[
    "/",
    "/a/b?c=d",
    "//",
    "/%41",
    "/%4",
    "/[",
    "/|",
    "*",
    "a:80",
    "http://a/",
    "http://a",
    "HTTPS://a:443?x",
    "http://b/",
    "http://u@a/",
    "ftp://a/",
    "/a b",
    "",
];
const VERSIONS: &[&str] = &["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "http/1.1", ""];
/// Lines that are fine, most of them.
const FINE: &[&str] = &[
    "accept: */*",
    "x:",
    "x-y_z: a:b",
    "Connection: close",
    "Connection: keep-alive, te",
    "Connection: upgrade",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "Expect: 100-continue",
    "Content-Length: 0",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Host: a",
];
/// Lines that are not.
const ODD: &[&str] = &[
    "Host: a",
    "host: b",
    "Host: a:80",
    "Host: [::1]",
    "Host: a,b",
    "Content-Length: 5, 5",
    "Content-Length: +5",
    "Content-Length : 5",
    "Content_Length: 5",
    "Transfer-Encoding: gzip, chunked",
    "Transfer_Encoding: chunked",
    "Transfer-Encoding:\x0bchunked",
    " folded: x",
    "\tx",
    ": x",
    "no colon",
    "x: a\rb",
    "x: a\nb",
    "x: \0",
    "Connection: host",
    "Connection: a b",
    "Connection: ,,,,,,,,,,,",
    "Upgrade: a b",
    "Expect: x",
    "",
];
const BODIES: &[&str] = &[
    "",
    "12345",
    "0\r\n\r\n",
    "5\r\n12345\r\n0\r\n\r\n",
    "5;a=\"b\\\"\" ;c\r\n12345\r\n00\r\nx: y\r\n\r\n",
    "5 \r\n12345\r\n0\r\n\r\n",
    "5\n12345\r\n0\r\n\r\n",
    "5\r\n123456\r\n0\r\n\r\n",
    "0\r\nHost: a\r\n\r\n",
    "0\r\nx : y\r\n\r\n",
    "0x5\r\n12345\r\n0\r\n\r\n",
    "5;\r\n12345\r\n0\r\n\r\n",
];

fn request() -> impl Strategy<Value = String> {
    let mostly =
        |fine: &'static [&'static str], odd: &'static [&'static str]| prop_oneof![12 => select(fine), 1 => select(odd)];
    let line = (mostly(&METHODS[..4], METHODS), mostly(&TARGETS[..4], TARGETS), select(VERSIONS));
    let line = line.prop_map(|(method, target, version)| format!("{method} {target} {version}"));
    let host = prop_oneof![10 => Just(vec!["Host: a"]), 1 => Just(vec![])];
    let fields = vec(mostly(FINE, ODD), 0..4);
    let end = || prop_oneof![40 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\r\n")];
    (line, host, fields, end(), end(), select(BODIES)).prop_map(|(line, host, fields, end, last, body)| {
        let lines: Vec<_> = [line.as_str()].into_iter().chain(host).chain(fields).collect();
        // One line end may be odd: that of the request line, or the last one.
        format!("{}{end}{}{}{last}{body}", lines[0], lines[1..].join("\r\n"), if lines.len() > 1 { "\r\n" } else { "" })
    })
}

/// Some requests, and perhaps a byte changed, put in or taken out.
fn connection() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), select(b"\r\n\0 \t:;,=\"\\%a0_-[]\x7f\x80\xff".to_vec()), 0..6_u8);
    (vec(request(), 1..4), change).prop_map(|(requests, (at, byte, kind))| {
        let mut bytes = requests.concat().into_bytes();
        let at = at.index(bytes.len().max(1));
        match kind {
            0 if at < bytes.len() => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            _ => {}
        }
        bytes
    })
}

/// `bytes` in pieces that end at `cuts`.
fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.sort_unstable();
    ends.push(bytes.len());
    let mut start = 0;
    ends.into_iter().map(|end| &bytes[std::mem::replace(&mut start, end)..end]).collect()
}

/// Agreement of the reader with the oracle on one connection.
fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (trace, (messages, ending)) = (whole(bytes), oracle::read(bytes));
    let shown = bytes.escape_ascii();
    let found: Vec<_> = trace.messages.iter().map(|(end, head, _)| (*end, *head)).collect();
    prop_assert_eq!(&found, &messages, "{}", shown);
    let agrees = match ending {
        Ending::Clean => matches!(trace.last, Ok(At::End | At::Between)),
        // The oracle looks at whole heads: it may not have seen yet what is wrong.
        Ending::Open => !matches!(trace.last, Ok(At::End)),
        Ending::Broken => trace.last.is_err(),
    };
    prop_assert!(agrees, "{:?} but {:?}: {}", trace.last, ending, shown);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_verdict_does_not_depend_on_the_cuts(bytes in connection(), cuts in vec(any::<Index>(), 0..8)) {
        prop_assert_eq!(drive(Bounds::default(), pieces(&bytes, &cuts)), whole(&bytes));
        prop_assert_eq!(drive(Bounds::default(), bytes.chunks(1)), whole(&bytes));
        let tight = Bounds { head_bytes: 90, fields: 3, target_bytes: 7, trailer_bytes: 12, chunk_line_bytes: 10, extension_bytes: 8 };
        prop_assert_eq!(drive(tight, pieces(&bytes, &cuts)), drive(tight, [&bytes[..]]));
    }

    #[test]
    fn a_second_reading_of_the_rfcs_agrees(bytes in connection()) {
        agree(&bytes)?;
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..300), cuts in vec(any::<Index>(), 0..4)) {
        prop_assert_eq!(drive(Bounds::default(), pieces(&bytes, &cuts)), whole(&bytes));
        agree(&bytes)?;
        proxy_protocol::parse(&bytes).ok();
        let peer = [127, 0, 0, 1].into();
        forwarded::by_forwarded(peer, |_| true, [&bytes[..]].into_iter());
        forwarded::by_x_forwarded_for(peer, |_| true, [&bytes[..]].into_iter());
    }
}
