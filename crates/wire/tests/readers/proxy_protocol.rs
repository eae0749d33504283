//! PROXY headers, case by case, and by way of a naive writer of them.

use std::net::{IpAddr, SocketAddr};

use portreeve_wire::proxy_protocol::{Additions, Header, MAX_HEADER, Parsed, ProxyError, parse, write_v1, write_v2};
use proptest::prelude::*;

const SIGNATURE: &[u8] = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a";

/// Version 2: signature, command, family, length, and the rest.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

/// 192.0.2.7:4711 to 10.0.0.1:443.
const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb];

fn proxied(source: &str, destination: &str) -> Header {
    Header::Proxied { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

/// CRC32C bit by bit (RFC 3720 appendix B.4).
fn crc(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), step))
}

/// A version 2 header with its checksum, which stands before `more`.
fn summed(rest: &[u8], more: &[u8]) -> Vec<u8> {
    let at = 16 + rest.len() + 3;
    let mut bytes = v2(0x21, 0x11, &[rest, &tlv(3, &[0; 4]), more].concat());
    let sum = crc(&bytes).to_be_bytes();
    bytes[at..at + 4].copy_from_slice(&sum);
    bytes
}

/// The header is taken at its last byte, not before, and whatever follows is left alone.
#[track_caller]
fn is_taken(bytes: &[u8], header: Header) {
    let complete = Ok(Parsed::Complete { length: bytes.len(), header });
    for end in 0..bytes.len() {
        assert_eq!(parse(&bytes[..end]), Ok(Parsed::Incomplete), "{end} of {}", bytes.escape_ascii());
    }
    assert_eq!(parse(bytes), complete, "{}", bytes.escape_ascii());
    assert_eq!(parse(&[bytes, b"\x16\x03\r\n"].concat()), complete, "{}", bytes.escape_ascii());
}

#[test]
fn version_1_is_read() {
    let four = proxied("192.0.2.7:4711", "10.0.0.1:443");
    is_taken(b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n", four);
    is_taken(
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        proxied("255.255.255.255:65535", "255.255.255.255:65535"),
    );
    is_taken(b"PROXY TCP6 2001:db8::7 ::1 0 1\r\n", proxied("[2001:db8::7]:0", "[::1]:1"));
    is_taken(b"PROXY UNKNOWN\r\n", Header::Unknown);
    let longest =
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), 107);
    is_taken(longest.as_bytes(), Header::Unknown);
}

#[test]
fn version_1_is_strict() {
    use ProxyError as E;
    let cases: &[(&[u8], E)] = &[
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\n", E::LineEnd),
        (b"PROXY TCP4 192.0.2.7\r10.0.0.1 4711 443\r\n", E::LineEnd),
        (b"PROXY UNKNOWN\rx\r\n", E::LineEnd),
        (b"PROXY  TCP4 192.0.2.7 10.0.0.1 4711 443\r\n", E::Line),
        (b"PROXY TCP4  192.0.2.7 10.0.0.1 4711 443\r\n", E::Line),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443 \r\n", E::Line),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n", E::Line),
        (b"PROXY TCP4\r\n", E::Line),
        (b"PROXY \r\n", E::Line),
        (b"PROXY UNKNOWNS\r\n", E::Line),
        (b"PROXY TCP5 192.0.2.7 10.0.0.1 4711 443\r\n", E::Line),
        (b"PROXY tcp4 192.0.2.7 10.0.0.1 4711 443\r\n", E::Line),
        (b"PROXY UDP4 192.0.2.7 10.0.0.1 4711 443\r\n", E::Line),
        (b"PROXY TCP4 192.0.2.7 10.0.0.\xff 4711 443\r\n", E::Line),
        (b"PROXY TCP4 ::1 10.0.0.1 4711 443\r\n", E::Address),
        (b"PROXY TCP6 192.0.2.7 ::1 4711 443\r\n", E::Address),
        (b"PROXY TCP4 192.0.2.07 10.0.0.1 4711 443\r\n", E::Address),
        (b"PROXY TCP4 192.0.2 10.0.0.1 4711 443\r\n", E::Address),
        (b"PROXY TCP4 192.0.2.256 10.0.0.1 4711 443\r\n", E::Address),
        (b"PROXY TCP4 0x7f.0.0.1 10.0.0.1 4711 443\r\n", E::Address),
        (b"PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n", E::Address),
        (b"PROXY TCP6 [::1] ::1 4711 443\r\n", E::Address),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n", E::Port),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 +1 443\r\n", E::Port),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 -1 443\r\n", E::Port),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 0443\r\n", E::Port),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 00\r\n", E::Port),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 \r\n", E::Port),
        (&[b'P', b'R', b'O', b'X', b'Y', b' ', 0, b'\r', b'\n'], E::Line),
    ];
    for (bytes, error) in cases {
        assert_eq!(parse(bytes), Err(*error), "{}", bytes.escape_ascii());
    }
    let endless = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
    assert_eq!(parse(&endless[..106]), Ok(Parsed::Incomplete));
    assert_eq!(parse(&endless[..107]), Err(E::TooLong));
    assert_eq!(parse(&[&endless[..106], b"\r\n"].concat()), Err(E::TooLong));
}

#[test]
fn version_2_is_read() {
    let four = proxied("192.0.2.7:4711", "10.0.0.1:443");
    is_taken(&v2(0x21, 0x11, &V4), four);
    let six = [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &[0; 15], &[1, 0, 80, 1, 187]].concat();
    is_taken(&v2(0x21, 0x21, &six), proxied("[2001:db8::7]:80", "[::1]:443"));
    let more = [tlv(1, b"h2"), tlv(4, &[0; 9]), tlv(0xea, b""), tlv(0x20, &[9; 300])].concat();
    is_taken(&v2(0x21, 0x11, &[&V4[..], &more].concat()), four);
    is_taken(&summed(&[&V4[..], &more].concat(), &[]), four);
    is_taken(&summed(&V4, &more), four);
    for (command, family) in [(0x20, 0x00), (0x20, 0x11), (0x20, 0x31), (0x20, 0xff), (0x21, 0x00)] {
        let header = if command == 0x20 { Header::Local } else { Header::Unknown };
        is_taken(&v2(command, family, b""), header);
        is_taken(&v2(command, family, &[7; 40]), header);
    }
}

#[test]
fn version_2_is_strict() {
    use ProxyError as E;
    for (bytes, error) in [
        (v2(0x11, 0x11, &V4), E::Version),
        (v2(0x01, 0x11, &V4), E::Version),
        (v2(0x22, 0x11, &V4), E::Command),
        (v2(0x2f, 0x11, &V4), E::Command),
        (v2(0x21, 0x12, &V4), E::Family),
        (v2(0x21, 0x22, &[0; 36]), E::Family),
        (v2(0x21, 0x31, &[0; 216]), E::Family),
        (v2(0x21, 0x32, &[0; 216]), E::Family),
        (v2(0x21, 0x10, &V4), E::Family),
        (v2(0x21, 0x41, &V4), E::Family),
        (v2(0x21, 0x11, &V4[..11]), E::Truncated),
        (v2(0x21, 0x21, &[0; 35]), E::Truncated),
        (v2(0x21, 0x11, b""), E::Truncated),
        (v2(0x21, 0x11, &[0; 2049]), E::TooLong),
        (v2(0x20, 0x00, &[0; 2049]), E::TooLong),
        (v2(0x21, 0x11, &[&V4[..], &[4]].concat()), E::Tlv),
        (v2(0x21, 0x11, &[&V4[..], &[4, 0]].concat()), E::Tlv),
        (v2(0x21, 0x11, &[&V4[..], &[4, 0, 1]].concat()), E::Tlv),
        (v2(0x21, 0x11, &[&V4[..], &tlv(4, b"x")[..], &[1, 0xff, 0xff]].concat()), E::Tlv),
        (v2(0x21, 0x11, &[&V4[..], &tlv(3, &[0; 4])].concat()), E::Checksum),
        (v2(0x21, 0x11, &[&V4[..], &tlv(3, &[0; 3])].concat()), E::Tlv),
    ] {
        assert_eq!(parse(&bytes), Err(error), "{}", bytes.escape_ascii());
    }
    let mut bytes = summed(&V4, &tlv(2, b"example.com"));
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(parse(&bytes), Err(E::Checksum));
    assert_eq!(parse(&v2(0x21, 0x31, b"")[..14]), Err(E::Family), "before the length has come");
    assert_eq!(parse(&v2(0x21, 0x11, &V4[..11])[..16]), Err(E::Truncated), "before the addresses have come");
}

#[test]
fn a_stranger_is_refused_at_the_first_byte_that_differs() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"\x16\x03\x01",
        b"PROXX",
        b"proxy ",
        b"PROXY\t",
        b"\r\n\r\n\0\r\nQUIT\r",
        b"\r\nPROXY",
        b" PROXY",
    ] {
        assert_eq!(parse(bytes), Err(ProxyError::Signature), "{}", bytes.escape_ascii());
        let differs = (0..=bytes.len()).find(|&end| parse(&bytes[..end]).is_err()).unwrap();
        let known = |signature: &[u8]| signature.starts_with(&bytes[..differs - 1]);
        assert!(known(b"PROXY ") || known(SIGNATURE), "{}", bytes.escape_ascii());
    }
}

#[test]
fn each_error_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = ProxyError::ALL.iter().map(|error| error.name()).collect();
    assert_eq!(names.len(), ProxyError::ALL.len());
    assert!(ProxyError::ALL.iter().all(|error| error.to_string().contains("PROXY §")));
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        source in any::<IpAddr>(), other in any::<IpAddr>(), ports in any::<(u16, u16)>(),
        additions in proptest::collection::vec((5..=255_u8, proptest::collection::vec(any::<u8>(), 0..50)), 0..5),
    ) {
        // Both of one family.
        let destination = match (source, other) {
            (IpAddr::V4(_), IpAddr::V6(_)) => IpAddr::from([10, 0, 0, 1]),
            (IpAddr::V6(_), IpAddr::V4(other)) => other.to_ipv6_mapped().into(),
            _ => other,
        };
        let header = Header::Proxied {
            source: SocketAddr::new(source, ports.0),
            destination: SocketAddr::new(destination, ports.1),
        };
        let line = format!("PROXY TCP{} {source} {destination} {} {}\r\n", if source.is_ipv4() { 4 } else { 6 }, ports.0, ports.1);
        is_taken(line.as_bytes(), header);

        let bytes = |address| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let additions: Vec<u8> = additions.iter().flat_map(|(kind, value)| tlv(*kind, value)).collect();
        let rest = [bytes(source), bytes(destination), ports.0.to_be_bytes().into(), ports.1.to_be_bytes().into(), additions];
        is_taken(&v2(0x21, if source.is_ipv4() { 0x11 } else { 0x21 }, &rest.concat()), header);
    }

    #[test]
    fn no_more_is_asked_for_than_could_be_a_header(
        start in prop_oneof![Just(&b"PROXY "[..]), Just(SIGNATURE), Just(&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00"[..]), Just(&b""[..])],
        rest in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let bytes = [start, &rest, &vec![b'x'; MAX_HEADER]].concat();
        let verdict = parse(&bytes);
        prop_assert_ne!(verdict, Ok(Parsed::Incomplete));
        // More bytes never change a verdict.
        for end in 0..bytes.len() {
            let early = parse(&bytes[..end]);
            prop_assert!(early == Ok(Parsed::Incomplete) || early == verdict, "{:?} then {:?}", early, verdict);
        }
    }
}

/// What is read back: IPv4 stands within IPv6 where the two addresses are of two families.
fn of_one_family(source: SocketAddr, destination: SocketAddr) -> Header {
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    if source.is_ipv4() == destination.is_ipv4() {
        return Header::Proxied { source, destination };
    }
    Header::Proxied { source: mapped(source), destination: mapped(destination) }
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
    (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(
        (source, destination) in (any_address(), any_address()),
        alpn in prop::collection::vec(any::<u8>(), 0..300),
        authority in "[a-z.]{0,300}",
        unique_id in prop::collection::vec(any::<u8>(), 0..200),
        is_local in any::<bool>(),
        after in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let header = if is_local { Header::Local } else { Header::Proxied { source, destination } };
        let wanted = of_one_family(source, destination);
        let additions = Additions { alpn: &alpn, authority: authority.as_bytes(), unique_id: &unique_id };
        let (mut one, mut two) = (Vec::new(), Vec::new());
        write_v1(&header, &mut one);
        write_v2(&header, &additions, &mut two);
        // Version 1 has one word for both.
        let of_nobody = [Header::Unknown, Header::Local];
        for (mut written, of_nobody) in [one, two].into_iter().zip(of_nobody) {
            let length = written.len();
            written.extend_from_slice(&after);
            let header = if is_local { of_nobody } else { wanted };
            prop_assert_eq!(parse(&written), Ok(Parsed::Complete { length, header }));
        }
    }
}

#[test]
fn a_version_2_header_tells_what_is_known_and_leaves_out_the_rest() {
    let header = proxied("192.0.2.7:4711", "10.0.0.1:443");
    let mut bytes = Vec::new();
    write_v2(&header, &Additions { authority: b"db.test", unique_id: b"7", ..Additions::default() }, &mut bytes);
    assert_eq!(bytes, v2(0x21, 0x11, &[&V4[..], &tlv(2, b"db.test"), &tlv(5, b"7")].concat()));
    let (mut bare, long) = (Vec::new(), [b'x'; 256]);
    write_v2(&header, &Additions { alpn: &long, authority: &long, unique_id: &long[..129] }, &mut bare);
    assert_eq!(bare, v2(0x21, 0x11, &V4));
    let mut local = Vec::new();
    write_v2(&Header::Local, &Additions { unique_id: b"7", ..Additions::default() }, &mut local);
    assert_eq!(local, v2(0x20, 0, b""));
    let mut unknown = Vec::new();
    write_v2(&Header::Unknown, &Additions::default(), &mut unknown);
    assert_eq!(unknown, v2(0x21, 0, b""));
}
