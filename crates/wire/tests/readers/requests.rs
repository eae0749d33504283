//! Requests, case by case, with the section that decides.

use portreeve_wire::http1::{At, Body, Bounds, Head, Refusal as R};

use crate::drive::{Trace, drive};

const CLEAN: Head = Head {
    body: Body::None,
    upgrade: false,
    is_http10: false,
    expects_continue: false,
    is_head: false,
    is_persistent: true,
};

/// All bytes at once, within the default bounds.
pub(crate) fn whole(bytes: &[u8]) -> Trace {
    drive(Bounds::default(), [bytes])
}

/// The same, one byte at a time.
fn trickled(bytes: &[u8]) -> Trace {
    drive(Bounds::default(), bytes.chunks(1))
}

/// A case: the section that decides, the bytes, and what is expected.
type Case<T> = (&'static str, Vec<u8>, T);

/// Lines written with `\n`, as they go over the wire.
fn head(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

fn line(line: &str) -> Vec<u8> {
    head(&format!("{line}\nHost: a\n\n"))
}

fn get(target: &str) -> Vec<u8> {
    line(&format!("GET {target} HTTP/1.1"))
}

fn host(host: &str) -> Vec<u8> {
    head(&format!("GET / HTTP/1.1\nHost:{host}\n\n"))
}

fn field(line: &str) -> Vec<u8> {
    head(&format!("GET / HTTP/1.1\nHost: a\n{line}\n\n"))
}

fn post(lines: &str) -> Vec<u8> {
    head(&format!("POST / HTTP/1.1\nHost: a\n{lines}\n\n"))
}

fn chunks(body: &str) -> Vec<u8> {
    head(&format!("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n{body}"))
}

/// The same, with bytes as they stand.
fn raw_chunks(body: &[u8]) -> Vec<u8> {
    [&chunks("")[..], body].concat()
}

/// One whole request, then nothing.
fn taken() -> Vec<Case<Head>> {
    let length = |body| Head { body: Body::Length(body), ..CLEAN };
    let chunked = Head { body: Body::Chunked, ..CLEAN };
    let http10 = Head { is_http10: true, is_persistent: false, ..CLEAN };
    vec![
        ("RFC 9112 §3", get("/"), CLEAN),
        ("RFC 9110 §9.1 any token", head("M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1\nHost: a\n\n"), CLEAN),
        ("RFC 9110 §9.1 case matters", head("get / HTTP/1.1\nHost: a\n\n"), CLEAN),
        ("RFC 9110 §9.3.2", head("HEAD / HTTP/1.1\nHost: a\n\n"), Head { is_head: true, ..CLEAN }),
        ("RFC 9112 §2.2 one empty line", head("\nGET / HTTP/1.1\nHost: a\n\n"), CLEAN),
        ("RFC 9112 §3.2.1 every pchar", get("/aZ09-._~!$&'()*+,;=:@%20%fF/"), CLEAN),
        ("RFC 9112 §3.2.1 empty segments", get("//a///b"), CLEAN),
        ("RFC 3986 §3.4", get("/?a=/b?c&d=%00"), CLEAN),
        ("RFC 3986 §3.4 empty query", get("/?"), CLEAN),
        ("RFC 9112 §3.2.2", get("http://a/b?c"), CLEAN),
        ("RFC 9112 §3.2.2 no path", get("http://a"), CLEAN),
        ("RFC 3986 §3.1, §6.2.2.1 case", get("HTTP://A?b"), CLEAN),
        ("RFC 3986 §6.2.3 default port", get("http://a:80/"), CLEAN),
        ("RFC 3986 §6.2.3 default port", head("GET https://a/ HTTP/1.1\nHost: a:443\n\n"), CLEAN),
        ("RFC 9112 §3.2.4", head("OPTIONS * HTTP/1.1\nHost: a\n\n"), CLEAN),
        ("RFC 9110 §7.2", host(" example.com:8080"), CLEAN),
        ("RFC 9110 §7.2", host(" 127.0.0.1:65535"), CLEAN),
        ("RFC 3986 §3.2.2 IP-literal", host(" [2001:db8::1]"), CLEAN),
        ("RFC 3986 §3.2.2 IP-literal", host(" [::ffff:192.0.2.1]:0"), CLEAN),
        ("RFC 3986 §2.3 unreserved", host(" my_service-1~x.local."), CLEAN),
        ("RFC 9112 §3.2 old clients", head("GET / HTTP/1.0\n\n"), http10),
        ("RFC 9112 §9.3", head("GET / HTTP/1.0\nConnection: Keep-Alive\n\n"), Head { is_persistent: true, ..http10 }),
        ("RFC 9112 §9.3", field("Connection: close"), Head { is_persistent: false, ..CLEAN }),
        ("RFC 9112 §9.3", field("Connection: keep-alive, CLOSE"), Head { is_persistent: false, ..CLEAN }),
        ("RFC 9110 §5.6.1.2 empty elements", field("Connection: , te,,"), CLEAN),
        ("RFC 9110 §7.6.1 an empty list", field("Connection:"), CLEAN),
        ("RFC 9110 §7.6.1 not of a field", field("Connection: keep-alive, http2-settings, x"), CLEAN),
        ("RFC 9112 §5.1 no space needed", field("a:b"), CLEAN),
        ("RFC 9112 §5.1 OWS around", field("a: \t b \t "), CLEAN),
        ("RFC 9110 §5.5 an empty value", field("a:"), CLEAN),
        ("RFC 9110 §5.5 colons in a value", field("a: :b:"), CLEAN),
        (
            "RFC 9110 §5.5 obs-text",
            [&b"GET / HTTP/1.1\r\nHost: a\r\nb: \x80\xff\t\xc3\xa9\r\n\r\n"[..]].concat(),
            CLEAN,
        ),
        ("RFC 9110 §5.1 any token", field("a_b!#$%&'*+.^`|~9: c"), CLEAN),
        ("RFC 9110 §8.6", head("POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc"), length(3)),
        ("RFC 9110 §8.6", head("POST / HTTP/1.1\nHost: a\ncontent-LENGTH:0\n\n"), length(0)),
        (
            "RFC 9110 §8.6 leading zeros",
            head("GET / HTTP/1.1\nHost: a\nContent-Length: 0000000000000000003\n\nabc"),
            length(3),
        ),
        ("RFC 9112 §7.1", chunks("0\n\n"), chunked),
        ("RFC 9112 §7.1", chunks("3\nabc\nA\n0123456789\n0\n\n"), chunked),
        ("RFC 9112 §7.1 zeros and case", chunks("000a\n0123456789\n0000000000000000\n\n"), chunked),
        ("RFC 9112 §7.1.1", chunks("1;a;b=c;d=\"e;\\\"f\\\\\"\nx\n0;last\n\n"), chunked),
        ("RFC 9112 §7.1.1 BWS", chunks("1 ; a\t=\tb ;c= \"\"\nx\n0\n\n"), chunked),
        ("RFC 9112 §7.1.2", chunks("0\nx-checksum: abc\nServer-Timing: a\n\n"), chunked),
        ("RFC 9112 §7 any case", head("POST / HTTP/1.1\nHost: a\ntransfer-encoding: CHUNKED\n\n0\n\n"), chunked),
        (
            "RFC 9110 §10.1.1",
            head("POST / HTTP/1.1\nHost: a\nExpect: 100-Continue\nContent-Length: 1\n\nx"),
            Head { expects_continue: true, ..length(1) },
        ),
        (
            "RFC 9110 §10.1.1 ignored in 1.0",
            head("POST / HTTP/1.0\nExpect: 100-continue\nContent-Length: 1\n\nx"),
            Head { body: Body::Length(1), ..http10 },
        ),
        ("RFC 9110 §7.8", field("Connection: Upgrade\nUpgrade: WebSocket"), Head { upgrade: true, ..CLEAN }),
        ("RFC 9110 §7.8 a list", field("Upgrade: a/1, b\nConnection: upgrade"), Head { upgrade: true, ..CLEAN }),
        ("RFC 9110 §7.8 ignored in 1.0", head("GET / HTTP/1.0\nUpgrade: websocket\n\n"), http10),
        (
            "RFC 9113 §3.1 h2c is on chance",
            field("Connection: upgrade, http2-settings\nUpgrade: h2c\nHTTP2-Settings: A"),
            CLEAN,
        ),
        (
            "RFC 9113 §3.1 also with a body",
            head("POST / HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: h2c\nContent-Length: 1\n\nx"),
            length(1),
        ),
        ("RFC 9110 §7.8 an option alone", field("Connection: upgrade"), CLEAN),
    ]
}

fn lines() -> Vec<Case<R>> {
    vec![
        ("RFC 9112 §2.2", b"GET / HTTP/1.1\nHost: a\r\n\r\n".to_vec(), R::BareLf),
        ("RFC 9112 §2.2", b"GET / HTTP/1.1\r\nHost: a\n\r\n".to_vec(), R::BareLf),
        ("RFC 9112 §2.2", b"GET / HTTP/1.1\r\nHost: a\r\n\n".to_vec(), R::BareLf),
        ("RFC 9112 §2.2", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), R::BareLf),
        ("RFC 9112 §2.2", b"GET / HTTP/1.1\r\nHost: a\r\nb: c\rd\r\n\r\n".to_vec(), R::BareCr),
        ("RFC 9112 §2.2", b"GET / HTTP/1.1\r\nHost: a\r\nb: c\r\r\n\r\n".to_vec(), R::BareCr),
        ("RFC 9112 §2.2", b"GET / HTTP/1.1\r\nHost: a\r\nb\r: c\r\n\r\n".to_vec(), R::BareCr),
        ("RFC 9112 §2.2", b"GET / HTTP/1.1\r\nHost: a\r\n\rb: c\r\n\r\n".to_vec(), R::BareCr),
        ("RFC 9112 §2.2", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n".to_vec(), R::BareCr),
        ("RFC 9112 §2.2", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), R::BareCr),
        ("RFC 9112 §2.2", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), R::BareCr),
        ("RFC 9112 §2.2", b"\r\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), R::BareCr),
        ("RFC 9112 §2.2 one, not two", head("\n\nGET / HTTP/1.1\nHost: a\n\n"), R::RequestLine),
    ]
}

fn request_lines() -> Vec<Case<R>> {
    vec![
        ("RFC 9112 §3", line("GET  / HTTP/1.1"), R::RequestLine),
        ("RFC 9112 §3", line("GET /  HTTP/1.1"), R::RequestLine),
        ("RFC 9112 §3", line("GET / HTTP/1.1 "), R::RequestLine),
        ("RFC 9112 §3", line("GET / HTTP/1.1\t"), R::RequestLine),
        ("RFC 9112 §3", line("GET\t/ HTTP/1.1"), R::Method),
        ("RFC 9112 §3", line("GET /\tHTTP/1.1"), R::RequestLine),
        ("RFC 9112 §3", line("GET /a b HTTP/1.1"), R::RequestLine),
        ("RFC 9112 §2.2", line(" GET / HTTP/1.1"), R::Method),
        ("RFC 9112 §2.3 HTTP/0.9", line("GET /"), R::RequestLine),
        ("RFC 9112 §3", line("GET"), R::RequestLine),
        ("RFC 9110 §9.1", line("G(T / HTTP/1.1"), R::Method),
        ("RFC 9110 §9.1", b"G\0T / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), R::Method),
        ("RFC 9110 §9.1", b"GET\xc3\xa9 / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), R::Method),
        ("RFC 9110 §9.1", b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), R::Method),
        ("RFC 9110 §9.1", line(&format!("{} / HTTP/1.1", "A".repeat(33))), R::Method),
        ("RFC 9112 §2.3", line("GET / HTTP/2.0"), R::Version),
        ("RFC 9112 §2.3", line("GET / HTTP/1.2"), R::Version),
        ("RFC 9112 §2.3", line("GET / HTTP/0.9"), R::Version),
        ("RFC 9113 §3.4 no HTTP/2 here", head("PRI * HTTP/2.0\n\nSM\n\n"), R::Version),
        ("RFC 9112 §2.3", line("GET / HTTP/1.10"), R::RequestLine),
        ("RFC 9112 §2.3", line("GET / HTTP/01.1"), R::RequestLine),
        ("RFC 9112 §2.3", line("GET / http/1.1"), R::RequestLine),
        ("RFC 9112 §2.3", line("GET / HTTP/1,1"), R::RequestLine),
        ("RFC 9112 §2.3", line("GET / HTTP/1."), R::RequestLine),
        ("RFC 9112 §2.3", line("GET / HTTPS/1.1"), R::RequestLine),
        ("RFC 9110 §9.3.6", line("CONNECT a:443 HTTP/1.1"), R::Connect),
        ("RFC 9110 §9.3.6", line("CONNECT / HTTP/1.1"), R::Connect),
    ]
}

fn targets() -> Vec<Case<R>> {
    vec![
        ("RFC 9112 §3.2", get("a"), R::TargetForm),
        ("RFC 9112 §3.2.3", get("a:80"), R::TargetForm),
        ("RFC 9112 §3.2.4", get("*"), R::TargetForm),
        ("RFC 9112 §3.2.4", line("OPTIONS ** HTTP/1.1"), R::TargetForm),
        ("RFC 9112 §3.2.4", line("options * HTTP/1.1"), R::TargetForm),
        ("RFC 9110 §4.2", get("ftp://a/"), R::TargetForm),
        ("RFC 9110 §4.2", get("ws://a/"), R::TargetForm),
        ("RFC 9110 §4.2", get("http:/a"), R::TargetForm),
        ("RFC 9110 §4.2.1 an empty host", get("http:///a"), R::Host),
        ("RFC 9110 §4.2.4", head("GET http://u@a/ HTTP/1.1\n\n"), R::Host),
        ("RFC 9110 §4.2.4", get("http://u@a/"), R::Host),
        ("RFC 9110 §4.2.4", get("http://u:p@a/"), R::Host),
        ("RFC 3986 §3.2", get("http://a\\b/"), R::Host),
        ("RFC 3986 §3.5", get("http://a#b"), R::Target),
        ("RFC 9112 §3.2", get("http://b/"), R::HostDiffers),
        ("RFC 9112 §3.2", get("http://a:81/"), R::HostDiffers),
        ("RFC 9112 §3.2", get("https://a:80/"), R::HostDiffers),
        ("RFC 9112 §3.2", get("http://a./"), R::HostDiffers),
        ("RFC 3986 §2.1", get("/%"), R::TargetEscape),
        ("RFC 3986 §2.1", get("/%2"), R::TargetEscape),
        ("RFC 3986 §2.1", get("/%2g"), R::TargetEscape),
        ("RFC 3986 §2.1", get("/%%20"), R::TargetEscape),
        ("RFC 3986 §2.1", get("/?%u0041"), R::TargetEscape),
    ]
}

fn hosts() -> Vec<Case<R>> {
    vec![
        ("RFC 9112 §3.2", head("GET / HTTP/1.1\n\n"), R::HostMissing),
        ("RFC 9112 §3.2", head("GET http://a/ HTTP/1.1\n\n"), R::HostMissing),
        ("RFC 9112 §3.2", head("GET http://a/ HTTP/1.0\n\n"), R::HostMissing),
        ("RFC 9112 §3.2", head("OPTIONS * HTTP/1.0\n\n"), R::HostMissing),
        ("RFC 9112 §3.2", field("Host: a"), R::HostDoubled),
        ("RFC 9112 §3.2", field("hOST: b"), R::HostDoubled),
        ("RFC 9112 §3.2", head("GET / HTTP/1.0\nHost: a\nHost: a\n\n"), R::HostDoubled),
        ("RFC 9110 §4.2.1", host(""), R::Host),
        ("RFC 9110 §4.2.1", host(" :80"), R::Host),
        ("RFC 9110 §7.2", host(" a, b"), R::Host),
        ("RFC 9110 §7.2", host(" a,b"), R::Host),
        ("RFC 9110 §7.2", host(" u@a"), R::Host),
        ("RFC 9110 §7.2", host(" http://a"), R::Host),
        ("RFC 9110 §7.2", host(" a/b"), R::Host),
        ("RFC 9110 §7.2", host(" a?b"), R::Host),
        ("RFC 9110 §7.2", host(" a b"), R::Host),
        ("RFC 3986 §3.2.2", host(" a%2eb"), R::Host),
        ("RFC 3986 §3.2.3", host(" a:"), R::Host),
        ("RFC 3986 §3.2.3", host(" a:80:80"), R::Host),
        ("RFC 3986 §3.2.3", host(" a:+80"), R::Host),
        ("RFC 3986 §3.2.3", host(" a:80a"), R::Host),
        ("RFC 3986 §3.2.3", host(" a:65536"), R::Host),
        ("RFC 3986 §3.2.3", host(" a:000080"), R::Host),
        ("RFC 3986 §3.2.2", host(" [::1"), R::Host),
        ("RFC 3986 §3.2.2", host(" ::1"), R::Host),
        ("RFC 3986 §3.2.2", host(" []"), R::Host),
        ("RFC 3986 §3.2.2", host(" [127.0.0.1]"), R::Host),
        ("RFC 3986 §3.2.2", host(" [::1]a"), R::Host),
        ("RFC 3986 §3.2.2", host(" [::1%25eth0]"), R::Host),
        ("RFC 3986 §3.2.2", host(" [v1.a]"), R::Host),
        ("RFC 3986 §3.2.2", host(" [1:2:3:4:5:6:7:8:9]"), R::Host),
        ("RFC 1035 §2.3.4", host(&format!(" {}", "a".repeat(255))), R::Host),
    ]
}

fn fields() -> Vec<Case<R>> {
    vec![
        ("RFC 9112 §5.2", field("b: c\n d"), R::Folding),
        ("RFC 9112 §5.2", field("b: c\n\td: e"), R::Folding),
        ("RFC 9112 §2.2", head("GET / HTTP/1.1\n Host: a\n\n"), R::Folding),
        ("RFC 9112 §5.1", field("b : c"), R::SpaceBeforeColon),
        ("RFC 9112 §5.1", field("Content-Length\t: 3"), R::SpaceBeforeColon),
        ("RFC 9110 §5.1", field(": c"), R::FieldName),
        ("RFC 9110 §5.1", field("b c: d"), R::FieldName),
        ("RFC 9110 §5.1", field("b(: c"), R::FieldName),
        ("RFC 9110 §5.1", b"GET / HTTP/1.1\r\nHost: a\r\nb\0: c\r\n\r\n".to_vec(), R::FieldName),
        ("RFC 9110 §5.1", b"GET / HTTP/1.1\r\nHost: a\r\nb\xe9: c\r\n\r\n".to_vec(), R::FieldName),
        ("RFC 9112 §5", field("b"), R::FieldLine),
        ("RFC 9112 §5", field("GET / HTTP/1.1"), R::FieldLine),
    ]
}

fn lengths() -> Vec<Case<R>> {
    vec![
        ("RFC 9112 §6.3", post("Content-Length: 1\nContent-Length: 1"), R::ContentLengthDoubled),
        ("RFC 9112 §6.3", post("Content-Length: 1\ncontent-length: 2"), R::ContentLengthDoubled),
        ("RFC 9112 §6.3", post("Content-Length: 1, 1"), R::ContentLength),
        ("RFC 9112 §6.3", post("Content-Length:"), R::ContentLength),
        ("RFC 9112 §6.3", post("Content-Length: +1"), R::ContentLength),
        ("RFC 9112 §6.3", post("Content-Length: -1"), R::ContentLength),
        ("RFC 9112 §6.3", post("Content-Length: 0x1"), R::ContentLength),
        ("RFC 9112 §6.3", post("Content-Length: 1 1"), R::ContentLength),
        ("RFC 9112 §6.3", post("Content-Length: 1.0"), R::ContentLength),
        ("RFC 9112 §6.3", post("Content-Length: 1e1"), R::ContentLength),
        ("RFC 9112 §6.3", post("Content-Length: \"1\""), R::ContentLength),
        ("RFC 9112 §6.3", post("Content-Length: 1_0"), R::ContentLength),
        ("RFC 9110 §8.6", post("Content-Length: 18446744073709551616"), R::ContentLength),
        ("RFC 9110 §8.6", post("Content-Length: 99999999999999999999"), R::ContentLength),
        ("RFC 9112 §6.1", post("Content-Length: 1\nTransfer-Encoding: chunked"), R::LengthAndCoding),
        ("RFC 9112 §6.1", post("Transfer-Encoding: chunked\nContent-Length: 0"), R::LengthAndCoding),
        ("RFC 9112 §6.1", post("Transfer-Encoding: chunked\nTransfer-Encoding: chunked"), R::TransferEncodingDoubled),
        ("RFC 9112 §6.1", post("Transfer-Encoding: chunked\nTransfer-Encoding: identity"), R::TransferEncodingDoubled),
        ("RFC 9112 §7", post("Transfer-Encoding: chunked, chunked"), R::TransferEncoding),
        ("RFC 9112 §6.3", post("Transfer-Encoding: chunked, identity"), R::TransferEncoding),
        ("RFC 9112 §6.1", post("Transfer-Encoding: gzip, chunked"), R::TransferEncoding),
        ("RFC 9112 §6.1", post("Transfer-Encoding: identity"), R::TransferEncoding),
        ("RFC 9112 §6.1", post("Transfer-Encoding: xchunked"), R::TransferEncoding),
        ("RFC 9112 §6.1", post("Transfer-Encoding: chunked;q=1"), R::TransferEncoding),
        ("RFC 9112 §6.1", post("Transfer-Encoding: \"chunked\""), R::TransferEncoding),
        ("RFC 9112 §6.1", post("Transfer-Encoding:"), R::TransferEncoding),
        ("RFC 9112 §6.1", post("Transfer-Encoding: ,chunked"), R::TransferEncoding),
        ("RFC 9112 §6.1", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n".to_vec(), R::Control),
        ("RFC 9112 §6.1", head("POST / HTTP/1.0\nHost: a\nTransfer-Encoding: chunked\n\n"), R::TransferEncodingOld),
        ("RFC 9112 §11.2", post("Transfer_Encoding: chunked"), R::LookAlike),
        ("RFC 9112 §11.2", post("TRANSFER.ENCODING: chunked"), R::LookAlike),
        ("RFC 9112 §11.2", post("content_length: 1"), R::LookAlike),
    ]
}

fn connections() -> Vec<Case<R>> {
    vec![
        ("RFC 9110 §7.6.1", field("Connection: close; x"), R::Connection),
        ("RFC 9110 §7.6.1", field("Connection: a b"), R::Connection),
        ("RFC 9110 §7.6.1", field("Connection: \"close\""), R::Connection),
        ("RFC 9110 §7.6.1", field(&format!("Connection: {}", "x,".repeat(10))), R::Connection),
        ("RFC 9110 §7.6.1", field(&"Connection: a,b,c\n".repeat(4)), R::Connection),
        ("RFC 9110 §7.6.1", field("Connection: close, Host"), R::ConnectionNominates),
        ("RFC 9110 §7.6.1", field("Connection: content-length"), R::ConnectionNominates),
        ("RFC 9110 §7.6.1", field("Connection: Transfer-Encoding"), R::ConnectionNominates),
        ("RFC 9110 §7.6.1", field("Connection: X-Forwarded-For"), R::ConnectionNominates),
        ("RFC 9110 §7.6.1", field("Connection: authorization"), R::ConnectionNominates),
        ("RFC 9110 §7.8", field("Upgrade: websocket"), R::Upgrade),
        ("RFC 9110 §7.8", field("Upgrade: websocket\nConnection: close"), R::Upgrade),
        ("RFC 9110 §7.8", field("Upgrade:\nConnection: upgrade"), R::Upgrade),
        ("RFC 9110 §7.8", field("Upgrade: a b\nConnection: upgrade"), R::Upgrade),
        ("RFC 9110 §7.8", field("Upgrade: a/\nConnection: upgrade"), R::Upgrade),
        ("RFC 9110 §7.8", post("Upgrade: websocket\nConnection: upgrade\nContent-Length: 1"), R::UpgradeWithBody),
        (
            "RFC 9110 §7.8",
            post("Upgrade: websocket\nConnection: upgrade\nTransfer-Encoding: chunked"),
            R::UpgradeWithBody,
        ),
        ("RFC 9110 §7.8", post("Upgrade: h2c, websocket\nConnection: upgrade\nContent-Length: 1"), R::UpgradeWithBody),
        ("RFC 9110 §10.1.1", post("Expect: 200-ok"), R::Expect),
        ("RFC 9110 §10.1.1", post("Expect:"), R::Expect),
        ("RFC 9110 §10.1.1", post("Expect: 100-continue, x"), R::Expect),
        ("RFC 9110 §10.1.1", post("Expect: 100-continue\nExpect: 100-continue"), R::Expect),
    ]
}

fn chunked() -> Vec<Case<R>> {
    vec![
        ("RFC 9112 §7.1", chunks("\n\n"), R::ChunkSize),
        ("RFC 9112 §7.1", chunks("g\n"), R::ChunkSize),
        ("RFC 9112 §7.1", chunks("+1\nx\n"), R::ChunkSize),
        ("RFC 9112 §7.1", chunks("-1\nx\n"), R::ChunkSize),
        ("RFC 9112 §7.1", chunks("0x1\nx\n"), R::ChunkSize),
        ("RFC 9112 §7.1", chunks(" 1\nx\n"), R::ChunkSize),
        ("RFC 9112 §7.1", chunks("1 \nx\n"), R::ChunkSize),
        ("RFC 9112 §7.1", chunks("1_0\nx\n"), R::ChunkSize),
        ("RFC 9112 §7.1", chunks("10000000000000000\nx\n"), R::ChunkSize),
        ("RFC 9112 §7.1", chunks("00000000000000001\nx\n"), R::ChunkSize),
        ("RFC 9112 §7.1", chunks("1\nxy\n"), R::ChunkEnd),
        ("RFC 9112 §7.1", raw_chunks(b"1\r\nx\n0\r\n\r\n"), R::ChunkEnd),
        ("RFC 9112 §7.1", raw_chunks(b"1\r\nx\r0\r\n\r\n"), R::ChunkEnd),
        ("RFC 9112 §7.1", raw_chunks(b"1\nx\r\n"), R::BareLf),
        ("RFC 9112 §7.1", raw_chunks(b"1\rX\r\n"), R::BareCr),
        ("RFC 9112 §7.1", raw_chunks(b"1\r\r\n"), R::BareCr),
        ("RFC 9112 §7.1.1", raw_chunks(b"1;a\nb\r\n"), R::BareLf),
        ("RFC 9112 §7.1.1", chunks("1;\nx\n"), R::ChunkExtension),
        ("RFC 9112 §7.1.1", chunks("1;a=\nx\n"), R::ChunkExtension),
        ("RFC 9112 §7.1.1", chunks("1;=b\nx\n"), R::ChunkExtension),
        ("RFC 9112 §7.1.1", chunks("1;a b\nx\n"), R::ChunkSize),
        ("RFC 9112 §7.1.1", chunks("1;a=\"b\nx\n"), R::ChunkExtension),
        ("RFC 9112 §7.1.1", chunks("1;a=\"b\\\nx\n"), R::ChunkExtension),
        ("RFC 9112 §7.1.1", raw_chunks(b"1;a=\"\0\"\r\nx\r\n"), R::ChunkExtension),
        ("RFC 9112 §7.1.1", raw_chunks(b"1;a=\"\\\0\"\r\nx\r\n"), R::ChunkExtension),
        ("RFC 9112 §7.1.1", chunks("1,a\nx\n"), R::ChunkSize),
    ]
}

fn trailers() -> Vec<Case<R>> {
    vec![
        ("RFC 9112 §7.1.2", raw_chunks(b"0\r\na: b\n\r\n"), R::BareLf),
        ("RFC 9112 §7.1.2", raw_chunks(b"0\r\na: b\rc\r\n\r\n"), R::BareCr),
        ("RFC 9112 §7.1.2", chunks("0\na: b\n c\n\n"), R::Folding),
        ("RFC 9112 §7.1.2", chunks("0\na : b\n\n"), R::SpaceBeforeColon),
        ("RFC 9112 §7.1.2", chunks("0\na\n\n"), R::FieldLine),
        ("RFC 9112 §7.1.2", chunks("0\nGET / HTTP/1.1\nHost: a\n\n"), R::FieldLine),
        ("RFC 9110 §6.5.1", chunks("0\nContent-Length: 1\n\n"), R::Trailer),
        ("RFC 9110 §6.5.1", chunks("0\nTRANSFER-ENCODING: chunked\n\n"), R::Trailer),
        ("RFC 9110 §6.5.1", chunks("0\nTransfer_Encoding: chunked\n\n"), R::Trailer),
        ("RFC 9110 §6.5.1", chunks("0\nHost: b\n\n"), R::Trailer),
        ("RFC 9110 §6.5.1", chunks("0\nauthorization: b\n\n"), R::Trailer),
        ("RFC 9110 §6.5.1", chunks("0\nX-Forwarded-For: b\n\n"), R::Trailer),
    ]
}

/// Each byte that neither RFC 3986 nor a browser has a place for in a path or a query, and each control character in a value.
fn bytes() -> Vec<Case<R>> {
    let mut all = Vec::new();
    for byte in (0..=255_u8).filter(|byte| !b" \r\n%\t".contains(byte)) {
        let is_pchar = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte);
        if !is_pchar && !b"[]|".contains(&byte) {
            all.push(("RFC 3986 §3.3", [&b"GET /"[..], &[byte], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat(), R::Target));
        }
        if !is_pchar && !b"[]|\\^`{}".contains(&byte) {
            all.push(("RFC 3986 §3.4", [&b"GET /?"[..], &[byte], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat(), R::Target));
        }
        if byte < 0x20 || byte == 0x7f {
            let value = [&b"GET / HTTP/1.1\r\nHost: a\r\nb: "[..], &[byte], b"\r\n\r\n"].concat();
            all.push(("RFC 9110 §5.5", value, R::Control));
        }
    }
    all
}

#[test]
fn whatever_the_rfcs_allow_is_taken() {
    for (section, bytes, head) in taken() {
        let shown = bytes.escape_ascii();
        for trace in [whole(&bytes), trickled(&bytes)] {
            assert_eq!(trace.last, Ok(At::End), "{section}: {shown}");
            let [(end, found, _)] = trace.messages[..] else { panic!("{section}: {shown}: {trace:?}") };
            assert_eq!((end, found), (bytes.len(), head), "{section}: {shown}");
        }
    }
}

#[test]
fn whatever_the_rfcs_do_not_allow_is_refused_with_its_reason() {
    let cases = [
        lines(),
        request_lines(),
        targets(),
        hosts(),
        fields(),
        lengths(),
        connections(),
        chunked(),
        trailers(),
        bytes(),
    ];
    for (section, bytes, refusal) in cases.into_iter().flatten() {
        let shown = bytes.escape_ascii();
        for trace in [whole(&bytes), trickled(&bytes)] {
            assert_eq!(trace.last, Err(refusal), "{section}: {shown}");
            assert!(trace.messages.is_empty(), "{section}: {shown}");
        }
    }
}

#[test]
fn the_bytes_of_the_next_message_are_left_alone() {
    let first = b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /";
    let second = b"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n0\r\n\r\nx\r\n0\r\n\r\n";
    let third = b"\r\nHEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n";
    let bytes = [&first[..], second, third].concat();
    let ends = [first.len(), first.len() + second.len(), bytes.len()];
    let trace = whole(&bytes);
    assert_eq!(trace.messages.iter().map(|(end, ..)| *end).collect::<Vec<_>>(), ends);
    assert_eq!(trace.messages.iter().map(|(.., body)| *body).collect::<Vec<_>>(), [5, 6, 0]);
    assert_eq!(trace, trickled(&bytes));
}

#[test]
fn who_does_not_speak_http_is_refused_without_waiting_for_a_line() {
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"SSH-2.0-OpenSSH_9.2p1 ", &[b'A'; 33], b"{", b"GET\0"] {
        let refusal = whole(bytes).last.err();
        // `SSH-2.0-…` begins as a method would.
        let expected = (!bytes.starts_with(b"SSH")).then_some(R::Method);
        assert_eq!(refusal, expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_blank_line_between_messages_is_not_yet_a_message() {
    assert_eq!(whole(b"").last, Ok(At::Between));
    assert_eq!(whole(b"\r\n").last, Ok(At::Between));
    assert_eq!(whole(b"G").last, Ok(At::Head));
    assert_eq!(whole(b"GET / HTTP/1.1\r\n").last, Ok(At::Head));
    assert_eq!(whole(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n").last, Ok(At::Body));
}
