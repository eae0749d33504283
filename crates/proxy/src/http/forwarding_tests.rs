//! Whom we believe, and what targets are told.

use std::sync::Arc;

use portreeve_config::units::Networks;

use super::*;
use crate::http::strangers::Fields;

fn facts(client: &str, trusted: &[&str]) -> ConnectionInfo {
    let networks: Vec<_> = trusted.iter().map(|network| network.parse().unwrap()).collect();
    let networks: Networks = networks.iter().collect();
    ConnectionInfo::new(0, client.parse().unwrap(), Arc::new(networks))
}

fn request(fields: &[(&str, &str)]) -> RequestHeader {
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    for (name, value) in fields {
        head.append_header((*name).to_owned(), *value).unwrap();
    }
    head
}

fn fields(head: &RequestHeader) -> Vec<(String, String)> {
    let mut all: Vec<_> =
        head.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    all.sort();
    all
}

fn field<'h>(head: &'h RequestHeader, name: &str) -> &'h str {
    let mut values = head.headers.get_all(name).iter();
    let one = values.next().unwrap().to_str().unwrap();
    assert!(values.next().is_none(), "{name} twice");
    one
}

#[test]
fn a_stranger_cannot_say_who_it_is() {
    let mut head = request(&[
        ("host", "x"),
        ("x-user-id", "root"),
        ("x-mirrored", "true"),
        ("X_User_Id", "root"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("X_Forwarded_For", "127.0.0.1"),
    ]);
    let client = forward(&mut head, &facts("192.0.2.7:5", &["10.0.0.0/8"]), &Fields::default().compile()).unwrap();
    assert_eq!(client, "192.0.2.7:5".parse().unwrap());
    let said = [
        ("forwarded", "for=192.0.2.7;proto=http;host=x;by=_portreeve"),
        ("host", "x"),
        ("via", "1.1 portreeve"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "x"),
        ("x-forwarded-proto", "http"),
    ];
    assert_eq!(fields(&head), said.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_trusted_proxy_is_believed_and_added_to() {
    let mut head = request(&[
        ("host", "x"),
        ("x-forwarded-for", "203.0.113.9, 10.0.0.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "api.example.com"),
        ("via", "2 cdn"),
        ("x-user-id", "root"),
        ("x-mirrored", "true"),
    ]);
    let client = forward(&mut head, &facts("10.0.0.1:5", &["10.0.0.0/8"]), &Fields::default().compile()).unwrap();
    assert_eq!(client.ip(), "203.0.113.9".parse::<std::net::IpAddr>().unwrap());
    assert_eq!(field(&head, "x-forwarded-for"), "203.0.113.9, 10.0.0.2, 10.0.0.1");
    assert_eq!(field(&head, "x-forwarded-proto"), "https");
    assert_eq!(field(&head, "x-forwarded-host"), "api.example.com");
    assert_eq!(field(&head, "via"), "2 cdn, 1.1 portreeve");
    assert!(head.headers.get("x-user-id").is_none() && head.headers.get("x-mirrored").is_none());
}

#[test]
fn what_a_trusted_proxy_says_twice_or_wrongly_is_replaced() {
    let mut head = request(&[
        ("host", "x"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "a"),
        ("x-forwarded-host", "b"),
    ]);
    forward(&mut head, &facts("10.0.0.1:5", &["10.0.0.0/8"]), &Fields::default().compile()).unwrap();
    assert_eq!((field(&head, "x-forwarded-proto"), field(&head, "x-forwarded-host")), ("http", "x"));
}

#[test]
fn a_request_that_goes_in_a_circle_is_refused() {
    let mut head = request(&[("host", "x")]);
    let facts = facts("192.0.2.7:5", &[]);
    let strangers = Fields::default().compile();
    let rounds = std::iter::from_fn(|| forward(&mut head, &facts, &strangers).ok()).count();
    assert_eq!(rounds, MAX_LOOPS);
}
