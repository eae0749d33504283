//! Hosts, and field lines.

use super::{Refused, refuse};
use crate::wire::Bench;

/// All field lines of a head, with their ends.
const HOSTS: &[Refused] = &[
    ("9112 §3.2", "no Host", b"", 400),
    ("9112 §3.2", "no Host among other fields", b"Accept: */*\r\nX-Host: a.example\r\n", 400),
    ("9112 §3.2", "two Hosts", b"Host: a.example\r\nHost: b.example\r\n", 400),
    ("9112 §3.2", "the same Host twice", b"Host: a.example\r\nHost: a.example\r\n", 400),
    ("9112 §3.2", "two Hosts in other cases", b"Host: a.example\r\nhOST: b.example\r\n", 400),
    ("9112 §3.2", "two Hosts far apart", b"Host: a.example\r\nA: b\r\nC: d\r\nHost: b.example\r\n", 400),
    ("9110 §7.2", "an empty Host", b"Host:\r\n", 400),
    ("9110 §7.2", "a Host of spaces", b"Host:   \r\n", 400),
    ("9110 §7.2", "two names in one Host", b"Host: a.example, b.example\r\n", 400),
    ("9110 §7.2", "a space within Host", b"Host: a.example b\r\n", 400),
    ("9110 §7.2", "a path in Host", b"Host: a.example/x\r\n", 400),
    ("9110 §7.2", "a query in Host", b"Host: a.example?x\r\n", 400),
    ("9110 §7.2", "a fragment in Host", b"Host: a.example#x\r\n", 400),
    ("9110 §4.2.4", "user information in Host", b"Host: u@a.example\r\n", 400),
    ("9110 §7.2", "a scheme in Host", b"Host: http://a.example\r\n", 400),
    ("3986 §3.2.3", "a port of letters", b"Host: a.example:http\r\n", 400),
    ("3986 §3.2.3", "a port beyond 65535", b"Host: a.example:65536\r\n", 400),
    ("3986 §3.2.3", "a signed port", b"Host: a.example:+80\r\n", 400),
    ("3986 §3.2.3", "an empty port", b"Host: a.example:\r\n", 400),
    ("3986 §3.2.3", "two ports", b"Host: a.example:80:80\r\n", 400),
    ("3986 §3.2.3", "a port without a host", b"Host: :80\r\n", 400),
    ("3986 §3.2.2", "IPv6 without brackets", b"Host: ::1\r\n", 400),
    ("3986 §3.2.2", "an open bracket", b"Host: [::1\r\n", 400),
    ("3986 §3.2.2", "brackets around a name", b"Host: [a.example]\r\n", 400),
    ("6874 §1", "IPv6 with a zone", b"Host: [fe80::1%25eth0]\r\n", 400),
    ("3986 §3.2.2", "something behind the brackets", b"Host: [::1]x\r\n", 400),
    ("3986 §3.2.2", "a bad escape in Host", b"Host: a%zz.example\r\n", 400),
    ("3986 §3.2.2", "a backslash in Host", b"Host: a.example\\@b.example\r\n", 400),
    ("3986 §3.2.2", "a letter beyond ASCII in Host", b"Host: \xc3\xa4.example\r\n", 400),
    ("1034 §3.1", "a Host of a dot", b"Host: .\r\n", 400),
    ("1034 §3.1", "a Host that ends in two dots", b"Host: a.example..\r\n", 400),
    ("1034 §3.1", "two dots before a port", b"Host: a.example..:80\r\n", 400),
    ("1034 §3.1", "a Host that begins with a dot", b"Host: .a.example\r\n", 400),
    ("1034 §3.1", "two dots within Host", b"Host: a..example\r\n", 400),
    ("9110 §5.5", "NUL in Host", b"Host: a.example\0b\r\n", 400),
    ("9112 §5.1", "a space before the colon of Host", b"Host : a.example\r\n", 400),
    ("9112 §5.2", "a folded Host", b"Host: a.example\r\n b.example\r\n", 400),
    ("9112 §3.2", "a Host that only a folded line brings", b"X: y\r\n Host: a.example\r\n", 400),
];

/// Field lines beside a good Host, with their ends.
const FIELDS: &[Refused] = &[
    ("9112 §5", "a line without a colon", b"Nothing\r\n", 400),
    ("9112 §5", "a line of spaces", b"  \r\n", 400),
    ("9110 §5.1", "an empty name", b": value\r\n", 400),
    ("9112 §5.1", "a space before the colon", b"X-A : b\r\n", 400),
    ("9112 §5.1", "a tab before the colon", b"X-A\t: b\r\n", 400),
    ("9110 §5.1", "a space within a name", b"X A: b\r\n", 400),
    ("9112 §5.2", "a folded value", b"X-A: b\r\n c\r\n", 400),
    ("9112 §5.2", "a value folded with a tab", b"X-A: b\r\n\tc\r\n", 400),
    ("9112 §5.2", "a folded line of nothing", b"X-A: b\r\n \r\n", 400),
    ("9110 §5.1", "NUL in a name", b"X\0A: b\r\n", 400),
    ("9110 §5.1", "DEL in a name", b"X\x7fA: b\r\n", 400),
    ("9110 §5.1", "a name in quotes", b"\"X-A\": b\r\n", 400),
    ("9110 §5.1", "parentheses in a name", b"X(A): b\r\n", 400),
    ("9110 §5.1", "a slash in a name", b"X/A: b\r\n", 400),
    ("9110 §5.1", "an at sign in a name", b"X@A: b\r\n", 400),
    ("9110 §5.1", "braces in a name", b"X{A}: b\r\n", 400),
    ("9110 §5.1", "a letter beyond ASCII in a name", b"X-\xe4: b\r\n", 400),
    ("9110 §5.5", "NUL in a value", b"X-A: b\0c\r\n", 400),
    ("9110 §5.5", "NUL at the end of a value", b"X-A: b\0\r\n", 400),
    ("9110 §5.5", "a bell in a value", b"X-A: b\x07c\r\n", 400),
    ("9110 §5.5", "escape in a value", b"X-A: b\x1bc\r\n", 400),
    ("9110 §5.5", "DEL in a value", b"X-A: b\x7fc\r\n", 400),
    ("9110 §5.5", "a vertical tab in a value", b"X-A: b\x0bc\r\n", 400),
    ("9112 §2.2", "a bare CR in a value", b"X-A: b\rc\r\n", 400),
    ("9112 §2.2", "a bare CR that looks like a field", b"X-A: b\rTransfer-Encoding: chunked\r\n", 400),
    ("9112 §2.2", "a bare LF in a value", b"X-A: b\nX-B: c\r\n", 400),
    ("9112 §2.2", "two CRs before the LF", b"X-A: b\r\r\n", 400),
    ("9112 §2.2", "a CR in a name", b"X\rA: b\r\n", 400),
    ("9110 §10.1.1", "an Expect that nobody knows", b"Expect: 200-ok\r\n", 417),
    ("9110 §10.1.1", "an Expect of two things", b"Expect: 100-continue, x\r\n", 417),
    ("9110 §10.1.1", "two Expects", b"Expect: 100-continue\r\nExpect: 100-continue\r\n", 417),
    ("9110 §7.6.1", "Connection nominates Host", b"Connection: Host\r\n", 400),
    ("9110 §7.6.1", "Connection nominates Content-Length", b"Connection: close, content-length\r\n", 400),
    ("9110 §7.6.1", "Connection nominates Transfer-Encoding", b"Connection: transfer-encoding\r\n", 400),
    ("9110 §7.6.1", "Connection nominates Authorization", b"Connection: Authorization\r\n", 400),
    ("9110 §7.6.1", "Connection nominates Cookie", b"Connection: keep-alive, cookie\r\n", 400),
    ("9110 §7.6.1", "Connection nominates X-Forwarded-For", b"Connection: X-Forwarded-For\r\n", 400),
    ("9110 §7.6.1", "Connection nominates Via", b"Connection: via\r\n", 400),
    ("9110 §7.6.1", "a second Connection nominates Host", b"Connection: close\r\nConnection: host\r\n", 400),
    ("9110 §7.6.1", "an option that is no token", b"Connection: clo se\r\n", 400),
    ("9110 §7.6.1", "an option in quotes", b"Connection: \"close\"\r\n", 400),
    ("9110 §5.6.1", "eleven options", b"Connection: a,b,c,d,e,f,g,h,i,j,k\r\n", 400),
    ("9110 §5.6.1", "eleven commas", b"Connection: ,,,,,,,,,,,close\r\n", 400),
    ("9110 §7.8", "Upgrade that Connection does not name", b"Upgrade: websocket\r\n", 400),
    ("9110 §7.8", "an empty Upgrade", b"Connection: upgrade\r\nUpgrade:\r\n", 400),
    ("9110 §7.8", "an Upgrade that is no token", b"Connection: upgrade\r\nUpgrade: web socket\r\n", 400),
    ("9110 §7.8", "an Upgrade with an empty version", b"Connection: upgrade\r\nUpgrade: foo/\r\n", 400),
    ("9110 §7.8", "Upgrade with a body", b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n", 400),
    ("9110 §7.8", "Upgrade with chunks", b"Connection: upgrade\r\nUpgrade: foo\r\nTransfer-Encoding: chunked\r\n", 400),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_exactly_one_good_host_is_refused() {
    let mut bench = Bench::new().await;
    refuse(&mut bench, HOSTS, |fields| [b"GET / HTTP/1.1\r\n", fields, b"\r\n"].concat()).await;
    bench.finish(HOSTS.len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_field_is_refused() {
    let mut bench = Bench::new().await;
    refuse(&mut bench, FIELDS, |fields| [b"GET / HTTP/1.1\r\nHost: a.example\r\n", fields, b"\r\n"].concat()).await;
    bench.finish(FIELDS.len(), 45);
}
