//! What is wrong with files is told at the key that names them, and so that one knows what to do.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them so")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use expect_test::{Expect, expect};
use rcgen::KeyPair;

use super::files::{Authority, FUTURE, Files, PAST};

const ONE: &str = "      certificates: [{ cert: a.crt, key: a.key }]";

fn one() -> (Files, Authority) {
    let (files, authority) = (Files::new(), Authority::new("Test CA"));
    files.leaf("a", &authority.leaf(&["a.test"]));
    (files, authority)
}

#[track_caller]
fn refused(files: &Files, section: &str, expected: Expect) {
    let built = files.build(section, None);
    assert!(built.tls.is_none());
    expected.assert_eq(&built.errors);
}

#[test]
fn files_that_are_missing_are_all_told_at_once() {
    let section = "      certificates: [{ cert: a.crt, key: a.key, ocsp: a.der }]\n      client_auth: { ca: ca.crt, mode: require, crl: [a.crl, b.crl] }";
    refused(
        &Files::new(),
        section,
        expect![[r#"
            gateway.yaml:6:30: listeners[0].tls.certificates[0].cert: cannot read a.crt: no such file
                6 |       certificates: [{ cert: a.crt, key: a.key, ocsp: a.der }]
                  |                              ^^^^^
            gateway.yaml:6:42: listeners[0].tls.certificates[0].key: cannot read a.key: no such file
                6 |       certificates: [{ cert: a.crt, key: a.key, ocsp: a.der }]
                  |                                          ^^^^^
            gateway.yaml:6:55: listeners[0].tls.certificates[0].ocsp: cannot read a.der: no such file
                6 |       certificates: [{ cert: a.crt, key: a.key, ocsp: a.der }]
                  |                                                       ^^^^^
            gateway.yaml:7:26: listeners[0].tls.client_auth.ca: cannot read ca.crt: no such file
                7 |       client_auth: { ca: ca.crt, mode: require, crl: [a.crl, b.crl] }
                  |                          ^^^^^^
            gateway.yaml:7:55: listeners[0].tls.client_auth.crl[0]: cannot read a.crl: no such file
                7 |       client_auth: { ca: ca.crt, mode: require, crl: [a.crl, b.crl] }
                  |                                                       ^^^^^
            gateway.yaml:7:62: listeners[0].tls.client_auth.crl[1]: cannot read b.crl: no such file
                7 |       client_auth: { ca: ca.crt, mode: require, crl: [a.crl, b.crl] }
                  |                                                              ^^^^^
        "#]],
    );
}

#[test]
fn files_that_hold_something_else_are_told_with_what_they_hold() {
    let (files, authority) = one();
    let leaf = authority.leaf(&["a.test"]);
    let each = "      certificates: [{ cert: x.crt, key: x.key }]";
    files.write("x.crt", "certificate, please").write("x.key", "");
    refused(
        &files,
        each,
        expect![[r#"
        gateway.yaml:6:30: listeners[0].tls.certificates[0].cert: x.crt is not PEM: it has no -----BEGIN … line; it should hold a certificate
            6 |       certificates: [{ cert: x.crt, key: x.key }]
              |                              ^^^^^
        gateway.yaml:6:42: listeners[0].tls.certificates[0].key: x.key is empty; it should hold a private key
            6 |       certificates: [{ cert: x.crt, key: x.key }]
              |                                          ^^^^^
    "#]],
    );
    files.write("x.crt", &leaf.der).write("x.key", leaf.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
    refused(
        &files,
        each,
        expect![[r#"
        gateway.yaml:6:30: listeners[0].tls.certificates[0].cert: x.crt is DER, not PEM; it should hold a certificate as text (openssl … -inform DER turns it over)
            6 |       certificates: [{ cert: x.crt, key: x.key }]
              |                              ^^^^^
        gateway.yaml:6:42: listeners[0].tls.certificates[0].key: x.key holds an encrypted key; the gateway has nobody to ask for the passphrase: openssl pkey -in … -out … takes it off
            6 |       certificates: [{ cert: x.crt, key: x.key }]
              |                                          ^^^^^
    "#]],
    );
    files.write("x.crt", &leaf.key).write("x.key", &leaf.pem);
    refused(
        &files,
        each,
        expect![[r#"
        gateway.yaml:6:30: listeners[0].tls.certificates[0].cert: x.crt holds no certificate but a private key; are cert and key the wrong way round?
            6 |       certificates: [{ cert: x.crt, key: x.key }]
              |                              ^^^^^
        gateway.yaml:6:42: listeners[0].tls.certificates[0].key: x.key holds no private key but a certificate; are cert and key the wrong way round?
            6 |       certificates: [{ cert: x.crt, key: x.key }]
              |                                          ^^^^^
    "#]],
    );
    files.write("x.crt", leaf.pem.replace("-----END", "")).write("x.key", leaf.key.repeat(2));
    refused(
        &files,
        each,
        expect![[r#"
        gateway.yaml:6:30: listeners[0].tls.certificates[0].cert: x.crt is broken: a -----BEGIN … line has no good end; it should hold a certificate
            6 |       certificates: [{ cert: x.crt, key: x.key }]
              |                              ^^^^^
        gateway.yaml:6:42: listeners[0].tls.certificates[0].key: x.key holds several private keys; which one is meant?
            6 |       certificates: [{ cert: x.crt, key: x.key }]
              |                                          ^^^^^
    "#]],
    );
    files.write("x.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").write("x.key", &leaf.key);
    refused(
        &files,
        each,
        expect![[r#"
            gateway.yaml:6:30: listeners[0].tls.certificates[0].cert: x.crt is broken: certificate 1 in it cannot be read
                6 |       certificates: [{ cert: x.crt, key: x.key }]
                  |                              ^^^^^
        "#]],
    );
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (files, authority) = one();
    files.write("a.key", authority.leaf(&["a.test"]).key);
    refused(
        &files,
        ONE,
        expect![[r#"
        gateway.yaml:6:42: listeners[0].tls.certificates[0].key: a.key is not the key of the certificate in a.crt
            6 |       certificates: [{ cert: a.crt, key: a.key }]
              |                                          ^^^^^
    "#]],
    );
}

#[test]
fn certificates_out_of_time_are_shown_and_told() {
    let (files, authority) = (Files::new(), Authority::new("Test CA"));
    let key = || KeyPair::generate().unwrap();
    let told = |files: &Files, expected: Expect| {
        let built = files.build(ONE, None);
        assert!(built.tls.is_some(), "{}", built.errors);
        expected.assert_eq(&built.warnings);
    };
    files.leaf("a", &authority.leaf_of(&["a.test"], PAST, key()));
    told(
        &files,
        expect![[r#"
        gateway.yaml:6:30: listeners[0].tls.certificates[0].cert: a.crt expired on 2020-01-02 00:00 UTC: clients refuse it until it is renewed
            6 |       certificates: [{ cert: a.crt, key: a.key }]
              |                              ^^^^^
    "#]],
    );
    files.leaf("a", &authority.leaf_of(&["a.test"], FUTURE, key()));
    told(
        &files,
        expect![[r#"
        gateway.yaml:6:30: listeners[0].tls.certificates[0].cert: a.crt is not valid before 2119-01-01 00:00 UTC: clients refuse it until then
            6 |       certificates: [{ cert: a.crt, key: a.key }]
              |                              ^^^^^
    "#]],
    );
}

/// Made by `openssl x509 -req -in a.csr -signkey a.key -days 36500`, without extensions.
const V1: &str = include_str!("v1.crt");

#[test]
fn a_certificate_of_version_1_is_refused_with_what_to_do() {
    let (files, _) = one();
    files.write("a.crt", V1);
    let built = files.build(ONE, None);
    assert!(built.errors.starts_with("gateway.yaml:6:30: listeners[0].tls.certificates[0].cert: a.crt is an X.509 v1"));
    assert!(built.errors.contains("-addext subjectAltName=DNS:"), "{}", built.errors);
}

#[test]
fn a_chain_in_the_wrong_order_is_refused_with_the_right_one() {
    let (files, root) = (Files::new(), Authority::new("Root CA"));
    let between = root.below("Between CA");
    let leaf = between.leaf(&["a.test"]);
    files.write("a.key", &leaf.key).write("a.crt", format!("{}{}", leaf.pem, between.pem));
    files.good(ONE, None);
    files.write("a.crt", format!("{}{}", between.pem, leaf.pem));
    refused(
        &files,
        ONE,
        expect![[r#"
        gateway.yaml:6:42: listeners[0].tls.certificates[0].key: a.key is the key of certificate 2 in a.crt; that one must come first, then its issuer, and so on
            6 |       certificates: [{ cert: a.crt, key: a.key }]
              |                                          ^^^^^
    "#]],
    );
    files.write("a.crt", format!("{}{}{}", leaf.pem, root.pem, between.pem));
    refused(
        &files,
        ONE,
        expect![[r#"
        gateway.yaml:6:30: listeners[0].tls.certificates[0].cert: a.crt is not in order: certificate 2 (O=Example\, Inc, CN=Root CA) did not issue certificate 1 (O=Example\, Inc, CN=a.test), its issuer is O=Example\, Inc, CN=Between CA; the server's own comes first, then its issuer, and so on
            6 |       certificates: [{ cert: a.crt, key: a.key }]
              |                              ^^^^^
    "#]],
    );
}

#[test]
fn a_certificate_without_names_is_refused() {
    let (files, authority) = (Files::new(), Authority::new("Test CA"));
    files.leaf("a", &authority.leaf(&[]));
    refused(
        &files,
        ONE,
        expect![[r#"
        gateway.yaml:6:30: listeners[0].tls.certificates[0].cert: a.crt (O=Example\, Inc, CN=nobody) names no host: clients look at subject alternative names only, not at CN; ask for a certificate that has them
            6 |       certificates: [{ cert: a.crt, key: a.key }]
              |                              ^^^^^
    "#]],
    );
    files.leaf("a", &authority.leaf(&["192.0.2.7"]));
    files.good(ONE, None);
}

#[test]
fn authorities_and_lists_that_are_none_are_refused() {
    let (files, authority) = one();
    let section = format!("{ONE}\n      client_auth: {{ ca: ca.crt, mode: request, crl: [a.crl] }}");
    files.write("ca.crt", authority.revokes(&[], (2120, 1, 1))).write("a.crl", &authority.pem);
    refused(
        &files,
        &section,
        expect![[r#"
        gateway.yaml:7:26: listeners[0].tls.client_auth.ca: ca.crt holds no certificate but a revocation list
            7 |       client_auth: { ca: ca.crt, mode: request, crl: [a.crl] }
              |                          ^^^^^^
        gateway.yaml:7:55: listeners[0].tls.client_auth.crl[0]: a.crl holds no revocation list but a certificate
            7 |       client_auth: { ca: ca.crt, mode: request, crl: [a.crl] }
              |                                                       ^^^^^
    "#]],
    );
    files.write("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    files.write("a.crl", authority.revokes(&[], (2120, 1, 1)));
    refused(
        &files,
        &section,
        expect![[r#"
            gateway.yaml:7:26: listeners[0].tls.client_auth.ca: ca.crt is broken: certificate 1 in it cannot be read
                7 |       client_auth: { ca: ca.crt, mode: request, crl: [a.crl] }
                  |                          ^^^^^^
        "#]],
    );
    files.write("ca.crt", &authority.pem).write("a.crl", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    refused(
        &files,
        &section,
        expect![[r#"
        gateway.yaml:7:55: listeners[0].tls.client_auth.crl[0]: a.crl holds a revocation list that cannot be read
            7 |       client_auth: { ca: ca.crt, mode: request, crl: [a.crl] }
              |                                                       ^^^^^
    "#]],
    );
    files.write("a.crl", authority.revokes(&[], (2020, 1, 2)));
    refused(
        &files,
        &section,
        expect![[r#"
        gateway.yaml:7:55: listeners[0].tls.client_auth.crl[0]: a.crl was good until 2020-01-02 00:00 UTC
            7 |       client_auth: { ca: ca.crt, mode: request, crl: [a.crl] }
              |                                                       ^^^^^
    "#]],
    );
}

#[test]
fn a_key_that_everybody_may_read_is_worth_a_warning() {
    let (files, _) = one();
    fs::set_permissions(files.path("a.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let built = files.build(ONE, None);
    assert_eq!(built.errors, "");
    expect![[r#"
        gateway.yaml:6:42: listeners[0].tls.certificates[0].key: a.key can be read by everybody on this machine; chmod 600 keeps it private
            6 |       certificates: [{ cert: a.crt, key: a.key }]
              |                                          ^^^^^
    "#]].assert_eq(&built.warnings);
}
