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

/// What nobody is called here.
const NOBODY: &str = "nobody";

fn x(peer: &str, fields: &[&str]) -> String {
    let client = by_x_forwarded_for(ip(peer), ours, fields.iter().map(|field| field.as_bytes()));
    client.map_or(NOBODY.to_owned(), |client| client.to_string())
}

fn f(peer: &str, fields: &[&str]) -> String {
    let client = by_forwarded(ip(peer), ours, fields.iter().map(|field| field.as_bytes()));
    client.map_or(NOBODY.to_owned(), |client| client.to_string())
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
        // Empty members are none.
        ("10.0.0.1", &["1.1.1.1, ,203.0.113.9,, 10.0.0.2,"], "203.0.113.9"),
        ("10.0.0.1", &["203.0.113.9", "", " , "], "203.0.113.9"),
        ("10.0.0.1", &[""], "10.0.0.1"),
        // What cannot be read stands where nobody looks.
        ("10.0.0.1", &["x, unknown, 203.0.113.9"], "203.0.113.9"),
    ] {
        assert_eq!(x(peer, fields), client, "{fields:?}");
    }
}

#[test]
fn what_is_no_address_makes_nobody_of_the_client_and_not_who_said_it() {
    for hop in [
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
        assert_eq!(x("10.0.0.1", &[&format!("1.1.1.1, {hop}, 10.0.0.2")]), NOBODY, "{hop}");
        assert_eq!(x("10.0.0.1", &["1.1.1.1", hop]), NOBODY, "{hop}");
        // Whoever is not trusted is not asked.
        assert_eq!(x("203.0.113.9", &[hop]), "203.0.113.9", "{hop}");
        assert_eq!(x("10.0.0.1", &[hop, "203.0.113.9"]), "203.0.113.9", "{hop}");
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
fn who_is_hidden_is_nobody_and_not_who_hides_them() {
    for element in [
        "for=unknown",
        "for=_SEVKISEK",
        "for=\"_gazonk\"",
        "proto=https",
        ";",
        "for=\"10.0.0.\\9\"",
        "for=\"10.0.0.9:_\"",
        "for=\"[10.0.0.9]\"",
    ] {
        assert_eq!(f("10.0.0.1", &[&format!("for=1.1.1.1, {element}, for=10.0.0.2")]), NOBODY, "{element}");
        assert_eq!(f("10.0.0.1", &[&format!("for=1.1.1.1, {element}")]), NOBODY, "{element}");
        assert_eq!(f("10.0.0.1", &[&format!("{element}, for=203.0.113.9")]), "203.0.113.9", "{element}");
    }
}

#[test]
fn what_a_client_has_left_malformed_does_not_hide_what_a_proxy_wrote_behind_it() {
    for element in [
        "x",
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
        for behind in
            ["for=203.0.113.9", "for=203.0.113.9;host=\"a\"", "for=\"203.0.113.9:1\"", "for=203.0.113.9, for=10.0.0.2"]
        {
            let field = format!("for=10.0.0.8, {element}, {behind}");
            assert_eq!(f("10.0.0.1", &[&field]), "203.0.113.9", "{field}");
            assert_eq!(f("10.0.0.1", &[&field, "for=10.0.0.3"]), "203.0.113.9", "{field}");
            assert_eq!(f("10.0.0.1", &[element, behind]), "203.0.113.9", "{element}");
        }
        let field = format!("for=1.1.1.1, {element}, for=10.0.0.2");
        assert_eq!(f("10.0.0.1", &[&field]), NOBODY, "{element}");
        assert_eq!(f("10.0.0.1", &[&field, "for=10.0.0.3"]), NOBODY, "{element}");
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
    assert_eq!(by_x_forwarded_for(ip("10.0.0.1"), all, [list.as_bytes()].into_iter()), None);
    assert_eq!(asked.replace(0), MAX_HOPS + 1);
    assert_eq!(by_forwarded(ip("10.0.0.1"), all, [elements.as_bytes()].into_iter()), None);
    let fields = || (0..100).rev().map(|n| format!("for=10.0.1.{n}")).collect::<Vec<_>>();
    assert_eq!(by_forwarded(ip("10.0.0.1"), all, fields().iter().map(String::as_bytes)), None);
    // As many as may be.
    let list = (0..MAX_HOPS).map(|n| format!("10.0.1.{n}")).collect::<Vec<_>>().join(", ");
    assert_eq!(by_x_forwarded_for(ip("10.0.0.1"), all, [list.as_bytes()].into_iter()), Some(ip("10.0.1.0")));
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
        prop_assert_eq!(found, Some(client.to_canonical()).filter(|client| !client.is_unspecified()));
        prop_assert!(!field.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }

    #[test]
    fn the_client_is_whom_the_last_trusted_word_names_or_nobody(
        fields in proptest::collection::vec(proptest::collection::vec(hop(), 0..40), 0..4),
        separators in proptest::collection::vec(prop_oneof![4 => Just(", "), 1 => Just(","), 1 => Just(" ,,\t")], 40),
    ) {
        // By hand: all hops of all fields in one list, from the right.
        let mut hops: Vec<&Hop> = fields.iter().flatten().collect();
        hops.reverse();
        let mut expected = Some(ip("10.0.0.1"));
        for (count, hop) in hops.into_iter().enumerate() {
            match expected {
                Some(here) if ours(here) => expected = hop.address.filter(|_| count < MAX_HOPS),
                _ => break,
            }
        }
        let join = |write: &dyn Fn(&Hop) -> String| -> Vec<String> {
            let one = |hops: &Vec<Hop>| {
                let mut text = String::new();
                for (hop, separator) in hops.iter().zip(&separators) {
                    if !text.is_empty() {
                        text.push_str(separator);
                    }
                    text.push_str(&write(hop));
                }
                text
            };
            fields.iter().map(one).collect()
        };
        let by_list = join(&|hop| hop.of_list.clone());
        let found = by_x_forwarded_for(ip("10.0.0.1"), ours, by_list.iter().map(String::as_bytes));
        prop_assert_eq!(found, expected, "{:?}", by_list);
        let by_elements = join(&|hop| hop.of_elements.clone());
        let found = by_forwarded(ip("10.0.0.1"), ours, by_elements.iter().map(String::as_bytes));
        prop_assert_eq!(found, expected, "{:?}", by_elements);
    }

    #[test]
    fn whatever_a_client_sends_first_a_proxy_that_appends_has_the_last_word(
        sent in "[for=10.\";,\\\\ x:\\[\\]]{0,40}",
        proxy in prop_oneof![Just("for=203.0.113.9"), Just("for=203.0.113.9;proto=https;host=\"a.example:80\";by=_p")],
    ) {
        let field = format!("{sent}, {proxy}");
        let found = by_forwarded(ip("10.0.0.1"), ours, [field.as_bytes()].into_iter());
        prop_assert_eq!(found, Some(ip("203.0.113.9")), "{}", field);
        let field = format!("{sent}, 203.0.113.9");
        let found = by_x_forwarded_for(ip("10.0.0.1"), ours, [field.as_bytes()].into_iter());
        prop_assert_eq!(found, Some(ip("203.0.113.9")), "{}", field);
    }
}

/// A member of either list, and whom it names.
#[derive(Debug, Clone)]
struct Hop {
    of_list: String,
    of_elements: String,
    address: Option<IpAddr>,
}

fn hop() -> impl Strategy<Value = Hop> {
    let named = |text: String| Hop { of_elements: format!("for={text}"), address: text.parse().ok(), of_list: text };
    let unreadable = ["unknown", "_x", "10.0.0", "10.0.0.1:", "[10.0.0.1]", "for", "a b", "10.0.0.1;"];
    let unreadable = proptest::sample::select(unreadable.to_vec());
    prop_oneof![
        6 => "10\\.0\\.0\\.[1-9]".prop_map(named),
        2 => "192\\.0\\.2\\.[1-9]".prop_map(named),
        1 => unreadable.prop_map(|text| Hop { of_list: text.to_owned(), of_elements: format!("for={text} x"), address: None }),
    ]
}
