//! OCSP responses: stapled while they are good, left out with a word when they are not.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them so")]

use std::time::{Duration, SystemTime};

use expect_test::expect;
use jiff::Timestamp;
use proptest::prelude::*;

use super::super::staple;
use super::client::{Client, Offer};
use super::files::{Authority, Files, Leaf};

const ONE: &str = "      certificates: [{ cert: a.crt, key: a.key }]";

/// DER of a value: tag, length, contents.
fn der(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], &length[..], &contents].concat()
}

fn time(seconds: i64) -> Vec<u8> {
    der(0x18, &[Timestamp::from_second(seconds).unwrap().strftime("%Y%m%d%H%M%SZ").to_string().as_bytes()])
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

/// A response as RFC 6960 §4.2.1 writes it, without a signature that anybody would believe.
fn response(serial: &[u8], status: u8, from: i64, until: Option<i64>) -> Vec<u8> {
    let id = der(
        0x30,
        &[
            &der(0x30, &[]),
            &der(0x04, b"issuer".chunks(6).collect::<Vec<_>>().as_slice()),
            &der(0x04, &[b"key"]),
            &der(0x02, &[serial]),
        ],
    );
    let until = until.map(|until| der(0xa0, &[&time(until)])).unwrap_or_default();
    let single = der(0x30, &[&id, &der(status, &[]), &time(from), &until]);
    let data = der(0x30, &[&der(0xa2, &[&der(0x04, &[b"responder"])]), &time(from), &der(0x30, &[&single])]);
    let basic = der(0x30, &[&data, &der(0x30, &[]), &der(0x03, &[b"\0signature"])]);
    let bytes = der(0x30, &[&der(0x06, &[&[43, 6, 1, 5, 5, 7, 48, 1, 1]]), &der(0x04, &[&basic])]);
    der(0x30, &[&[0x0a, 1, 0], &der(0xa0, &[&bytes])])
}

const GOOD: u8 = 0x80;
const REVOKED: u8 = 0xa1;
const UNKNOWN: u8 = 0x82;

fn one() -> (Files, Leaf) {
    let (files, leaf) = (Files::new(), Authority::new("Test CA").leaf(&["a.test"]));
    files.leaf("a", &leaf);
    (files, leaf)
}

#[tokio::test]
async fn a_good_response_beside_the_certificate_is_stapled() {
    let (files, leaf) = one();
    let client = Client::new(Offer::default());
    assert!(client.meet(&files.good(ONE, None), "a.test").await.unwrap().staple.is_empty());
    let good = response(&leaf.serial.to_bytes(), GOOD, now() - 60, Some(now() + 3600));
    files.write("a.crt.ocsp", &good);
    assert_eq!(client.meet(&files.good(ONE, None), "a.test").await.unwrap().staple, good);
    files.write("named.der", &good).write("a.crt.ocsp", "");
    let named = "      certificates: [{ cert: a.crt, key: a.key, ocsp: named.der }]";
    assert_eq!(client.meet(&files.good(named, None), "a.test").await.unwrap().staple, good);
}

#[test]
fn a_response_is_good_until_its_next_update() {
    let until = now() + 3600;
    let staple = staple::parse(response(&[7], GOOD, now() - 60, Some(until)), &[0, 7]).unwrap();
    assert_eq!(staple.until, SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(until).unwrap()));
}

#[test]
fn what_is_not_worth_sending_is_left_out() {
    let why = |response: Vec<u8>| staple::parse(response, &[7]).unwrap_err();
    let good = |from, until| response(&[7], GOOD, from, until);
    assert_eq!(why(good(0, Some(60))), "was good until 1970-01-01 00:01 UTC");
    assert_eq!(why(good(4_417_977_600, Some(4_417_977_601))), "is not good before 2110-01-01 00:00 UTC");
    assert_eq!(why(good(0, None)), "does not say until when it is good");
    assert_eq!(why(response(&[7], REVOKED, 0, None)), "says that the certificate has been revoked");
    assert_eq!(why(response(&[7], UNKNOWN, 0, None)), "says that its issuer does not know the certificate");
    assert_eq!(why(response(&[8], GOOD, 0, None)), "is for another certificate");
    assert_eq!(why(der(0x30, &[&[0x0a, 1, 6]])), "is the refusal of a responder (status 6), not a response");
    let whole = good(now() - 60, Some(now() + 3600));
    for length in 0..whole.len() {
        assert_eq!(why(whole[..length].to_vec()), "is not an OCSP response (DER)", "cut at {length}");
    }
}

#[test]
fn a_bad_response_is_told_and_the_certificate_serves_without() {
    let (files, leaf) = one();
    files.write("a.crt.ocsp", response(&leaf.serial.to_bytes(), GOOD, 0, Some(60)));
    let built = files.build(ONE, None);
    assert!(built.tls.is_some());
    expect![[r#"
        gateway.yaml:6:30: listeners[0].tls.certificates[0].cert: a.crt.ocsp was good until 1970-01-01 00:01 UTC; it is left out
            6 |       certificates: [{ cert: a.crt, key: a.key }]
              |                              ^^^^^
    "#]].assert_eq(&built.warnings);
}

proptest! {
    #[test]
    fn whatever_is_in_the_file_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        staple::parse(bytes, &[7]).unwrap_err();
    }

    #[test]
    fn a_response_with_a_byte_changed_is_read_without_a_panic(at in 0..200_usize, byte in any::<u8>()) {
        let mut bytes = response(&[7], GOOD, 0, Some(4_417_977_600));
        let at = at % bytes.len();
        bytes[at] = byte;
        staple::parse(bytes, &[7]).ok();
    }
}
