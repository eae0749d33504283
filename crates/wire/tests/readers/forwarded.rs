//! Hops, case by case, and elements written and read again.

use std::cell::Cell;
use std::net::IpAddr;

use portreeve_wire::forwarded::{Element, MAX_HOPS, by_forwarded, by_x_forwarded_for};
use proptest::prelude::*;

/// `10.0.0.0/8` and `fd00::/8` are ours.
fn ours(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.octets()[0] == 0xfd,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn x(peer: &str, fields: &[&str]) -> String {
    by_x_forwarded_for(ip(peer), ours, fields.iter().map(|field| field.as_bytes())).to_string()
}

fn f(peer: &str, fields: &[&str]) -> String {
    by_forwarded(ip(peer), ours, fields.iter().map(|field| field.as_bytes())).to_string()
}

#[test]
fn a_stranger_is_not_believed() {
    assert_eq!(x("203.0.113.9", &["1.1.1.1"]), "203.0.113.9");
    assert_eq!(f("203.0.113.9", &["for=1.1.1.1"]), "203.0.113.9");
    assert_eq!(x("::ffff:203.0.113.9", &["1.1.1.1"]), "203.0.113.9");
}

#[test]
fn the_first_stranger_from_the_right_is_the_client() {
    for (peer, fields, client) in [
        ("10.0.0.1", &["203.0.113.9"][..], "203.0.113.9"),
        ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", &["1.1.1.1,203.0.113.9 ,\t10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", &["1.1.1.1", "203.0.113.9", "10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", &["203.0.113.9", "10.0.0.3, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
        ("fd00::1", &["2001:db8::7, ::ffff:10.0.0.2"], "2001:db8::7"),
        ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
        ("10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
    ] {
        assert_eq!(x(peer, fields), client, "{fields:?}");
    }
}

#[test]
fn what_is_no_address_ends_the_walk_at_who_said_it() {
    for hop in [
        "",
        "unknown",
        "_hidden",
        "a.example.com",
        "203.0.113",
        "203.0.113.09",
        "203.0.113.9:",
        "203.0.113.9:x",
        "203.0.113.9:123456",
        "[203.0.113.9]",
        "[2001:db8::7",
        "2001:db8::7]",
        "[2001:db8::7]4711",
        "fe80::1%eth0",
        "203.0.113.9 1.1.1.1",
        "\"203.0.113.9\"",
        "203.0.113.9;proto=https",
        "\u{ff}",
    ] {
        assert_eq!(x("10.0.0.1", &[&format!("1.1.1.1, {hop}, 10.0.0.2")]), "10.0.0.2", "{hop}");
        assert_eq!(x("10.0.0.1", &["1.1.1.1", hop]), "10.0.0.1", "{hop}");
    }
}

#[test]
fn rfc_7239_is_read() {
    for (fields, client) in [
        (&["for=203.0.113.9"][..], "203.0.113.9"),
        // §4.
        (&["For=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
        (&["for=192.0.2.60;proto=http;by=203.0.113.43"], "192.0.2.60"),
        (&["for=192.0.2.43, for=198.51.100.17"], "198.51.100.17"),
        // §7.1: one field or several.
        (&["for=192.0.2.43, for=\"[2001:db8:cafe::17]\"", "for=10.0.0.2"], "2001:db8:cafe::17"),
        (&["for=192.0.2.43,for=10.0.0.3,for=10.0.0.2"], "192.0.2.43"),
        (&["proto=https;host=\"a,b;for=1.1.1.1\";for=203.0.113.9"], "203.0.113.9"),
        (&["host=\"\\\", for=1.1.1.1\";for=203.0.113.9"], "203.0.113.9"),
        (&[";;for=203.0.113.9;"], "203.0.113.9"),
        (&["for=\"203.0.113.9:_port\""], "203.0.113.9"),
        (&["ext!=x;for=203.0.113.9"], "203.0.113.9"),
    ] {
        assert_eq!(f("10.0.0.1", fields), client, "{fields:?}");
    }
}

#[test]
fn who_is_hidden_ends_the_walk_at_who_hides_them() {
    for element in [
        "for=unknown",
        "for=_SEVKISEK",
        "for=\"_gazonk\"",
        "proto=https",
        "",
        "for=\"10.0.0.\\9\"",
        "for=\"10.0.0.9:_\"",
        "for=\"[10.0.0.9]\"",
    ] {
        assert_eq!(f("10.0.0.1", &[&format!("for=1.1.1.1, {element}, for=10.0.0.2")]), "10.0.0.2", "{element}");
    }
}

#[test]
fn a_malformed_field_is_not_believed_at_all() {
    for element in [
        "for",
        "for=",
        "for=;",
        "for =10.0.0.9",
        "for= 10.0.0.9",
        "for=10.0.0.9:80",
        "for=[::1]",
        "for=\"10.0.0.9",
        "for=10.0.0.9;for=10.0.0.8",
        "for=10.0.0.9 proto=http",
        "=10.0.0.9",
        "for=10.0.0.9; proto=http",
        "for=\"10.0.0.9\"x",
        "for=\"\\",
    ] {
        let field = format!("for=1.1.1.1, {element}, for=10.0.0.2");
        assert_eq!(f("10.0.0.1", &[&field]), "10.0.0.1", "{element}");
        assert_eq!(f("10.0.0.1", &[&field, "for=10.0.0.3"]), "10.0.0.3", "{element}");
    }
}

#[test]
fn at_most_so_many_hops_are_looked_at() {
    let asked = Cell::new(0);
    let all = |_| {
        asked.set(asked.get() + 1);
        true
    };
    let hops = |write: &dyn Fn(usize) -> String| (0..100).rev().map(write).collect::<Vec<_>>().join(", ");
    let (list, elements) = (hops(&|n| format!("10.0.1.{n}")), hops(&|n| format!("for=10.0.1.{n}")));
    let last = format!("10.0.1.{}", MAX_HOPS - 1);
    assert_eq!(by_x_forwarded_for(ip("10.0.0.1"), all, [list.as_bytes()].into_iter()).to_string(), last);
    assert_eq!(asked.replace(0), MAX_HOPS + 1);
    assert_eq!(by_forwarded(ip("10.0.0.1"), all, [elements.as_bytes()].into_iter()).to_string(), last);
    let fields = || (0..100).rev().map(|n| format!("for=10.0.1.{n}")).collect::<Vec<_>>();
    assert_eq!(by_forwarded(ip("10.0.0.1"), all, fields().iter().map(String::as_bytes)).to_string(), last);
}

fn written(client: &str, host: Option<&[u8]>) -> String {
    let mut field = b"for=1.1.1.1, ".to_vec();
    Element { client: ip(client), proto: "http", host }.write(&mut field);
    String::from_utf8(field).unwrap()
}

#[test]
fn an_element_is_quoted_where_it_must_be() {
    assert_eq!(written("192.0.2.7", None), "for=1.1.1.1, for=192.0.2.7;proto=http;by=_portreeve");
    assert_eq!(written("::ffff:192.0.2.7", None), "for=1.1.1.1, for=192.0.2.7;proto=http;by=_portreeve");
    assert_eq!(written("192.0.2.7", Some(b"a.b")), "for=1.1.1.1, for=192.0.2.7;proto=http;host=a.b;by=_portreeve");
    assert_eq!(
        written("2001:db8::7", Some(b"[::1]:80")),
        "for=1.1.1.1, for=\"[2001:db8::7]\";proto=http;host=\"[::1]:80\";by=_portreeve"
    );
    assert!(written("192.0.2.7", Some(b"")).contains(";host=\"\";"));
    assert!(written("192.0.2.7", Some(b"a\"b\\c\r\nd\0")).contains(r#";host="a\"b\\cd";"#));
}

proptest! {
    #[test]
    fn what_is_written_is_read(client in any::<IpAddr>(), host in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20))) {
        let mut field = b"for=10.0.0.7,".to_vec();
        Element { client, proto: "https", host: host.as_deref() }.write(&mut field);
        let peer = ip("192.0.2.1");
        let found = by_forwarded(peer, |address| address == peer, [&field[..]].into_iter());
        prop_assert_eq!(found, client.to_canonical());
        prop_assert!(!field.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }

    #[test]
    fn the_client_is_one_that_somebody_named(
        hops in proptest::collection::vec(prop_oneof!["10\\.0\\.0\\.[1-9]", "192\\.0\\.2\\.[1-9]", "[a-z:.0-9]{0,5}"], 0..6),
    ) {
        // By hand: from the right, as long as the one before is ours and the next is an address.
        let mut expected = ip("10.0.0.1");
        for hop in hops.iter().rev() {
            match hop.parse() {
                Ok(next) if ours(expected) => expected = next,
                _ => break,
            }
        }
        let list = hops.join(", ");
        let found = by_x_forwarded_for(ip("10.0.0.1"), ours, [list.as_bytes()].into_iter());
        prop_assert_eq!(found, expected);
    }
}
