//! What is made of `tls` and `protocol`, and what is refused of them.

use std::fs;

use portreeve_config::units::Duration as ConfigDuration;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// A folder with two authorities and two client identities, the second of which is past its time.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    for name in ["ca", "other-ca"] {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        write(&format!("{name}.crt"), params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem());
    }
    for (name, last) in [("client", 2999), ("expired", 2001)] {
        let mut params = CertificateParams::new(vec!["gateway".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(last, 1, 1);
        let key = KeyPair::generate().unwrap();
        write(&format!("{name}.crt"), params.self_signed(&key).unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
    write("empty.crt", String::new());
    write("broken.crt", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_owned());
    folder
}

fn config(targets: &[&str], tls: Value) -> UpstreamConfig {
    serde_json::from_value(json!({ "targets": targets, "tls": tls })).unwrap()
}

fn load(folder: &TempDir, tls: Value) -> Result<Transport, Vec<Wrong>> {
    Transport::load(&config(&["users.test:443"], tls), folder.path())
}

fn address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 443))
}

#[test]
fn what_is_wrong_is_told_with_its_key_and_all_at_once() {
    let folder = folder();
    for (tls, at, expected) in [
        (json!({ "ca": "none.crt" }), "tls.ca", "none.crt: no such file"),
        (json!({ "ca": "." }), "tls.ca", "it is a folder"),
        (json!({ "ca": "empty.crt" }), "tls.ca", "empty.crt: no certificate in PEM form is in it"),
        (json!({ "ca": "client.key" }), "tls.ca", "client.key: no certificate in PEM form is in it"),
        (json!({ "ca": "broken.crt" }), "tls.ca", "broken.crt: certificate 1 is not an X.509 certificate"),
        (json!({ "cert": "client.crt" }), "tls.cert", "a certificate is of no use without its key; add key: file"),
        (json!({ "key": "client.key" }), "tls.key", "a key is of no use without its certificate; add cert: file"),
        (
            json!({ "cert": "client.crt", "key": "expired.key" }),
            "tls.key",
            "expired.key: not the key of the certificate in",
        ),
        (
            json!({ "cert": "client.crt", "key": "client.crt" }),
            "tls.key",
            "client.crt: no private key in PEM form is in it",
        ),
        (
            json!({ "cert": "expired.crt", "key": "expired.key" }),
            "tls.cert",
            "expired.crt: the certificate is valid from",
        ),
        (json!({ "sni": "a b" }), "tls.sni", "\"a b\" is no host name that a certificate could be for"),
        (json!({ "sni": "" }), "tls.sni", "\"\" is no host name"),
    ] {
        let wrong = load(&folder, tls.clone()).unwrap_err();
        assert!(matches!(&*wrong, [wrong] if wrong.at == at && wrong.message.contains(expected)), "{tls}: {wrong:?}");
    }
    let several = load(&folder, json!({ "sni": "", "ca": "none", "cert": "none", "key": "none" })).unwrap_err();
    assert_eq!(several.iter().map(|wrong| wrong.at).collect::<Vec<_>>(), ["tls.sni", "tls.ca", "tls.cert"]);
}

#[test]
fn a_verified_target_has_a_name_that_its_certificate_is_for() {
    let folder = folder();
    let of = |targets: &[&str], tls| Transport::load(&config(targets, tls), folder.path());
    let wrong = of(&["users.test:443", "10.0.0.1:443"], json!({})).unwrap_err();
    let expected = "whose certificate is expected of 10.0.0.1:443? Name it: sni: users.example.com";
    assert_eq!(wrong, [Wrong { at: "tls", message: expected.to_owned() }]);
    // A name that DNS or another file tells proves nothing.
    let found = |tls| {
        let config =
            serde_json::from_value(json!({ "discover": { "srv": "_https._tcp.users.test" }, "tls": tls })).unwrap();
        Transport::load(&config, folder.path())
    };
    assert!(found(json!({})).unwrap_err()[0].message.contains("targets that are found? Name it: sni:"));
    assert!(found(json!({ "sni": "users.test" })).is_ok() && found(json!({ "verify": false })).is_ok());
    let name = |transport: Transport, name| {
        let prepared = transport.prepare(address(), name, None);
        prepared.dial().name().unwrap().to_str().into_owned()
    };
    assert_eq!(name(of(&["users.test:443"], json!({})).unwrap(), Some("users.test")), "users.test");
    assert_eq!(name(of(&["10.0.0.1:443"], json!({ "sni": "x.test" })).unwrap(), None), "x.test");
    assert_eq!(name(of(&["users.test:443"], json!({ "sni": "x.test" })).unwrap(), Some("users.test")), "x.test");
    assert_eq!(name(of(&["10.0.0.1:443"], json!({ "verify": false })).unwrap(), None), "10.0.0.1");
}

#[test]
fn targets_that_are_verified_or_shown_another_identity_never_share_a_connection() {
    let folder = folder();
    let forms = [
        json!({}),
        json!({ "sni": "users.test" }),
        json!({ "verify": false }),
        json!({ "ca": "ca.crt" }),
        json!({ "ca": "other-ca.crt" }),
        json!({ "cert": "client.crt", "key": "client.key" }),
    ];
    let key = |prepared: TargetConnector| prepared.dial().key();
    let hash = |tls| key(load(&folder, tls).unwrap().prepare(address(), Some("users.test"), None));
    let mut hashes: Vec<u64> = forms.iter().map(|tls| hash(tls.clone())).collect();
    assert_eq!(hash(json!({ "ca": "ca.crt" })), hashes[3], "the same files are the same transport");
    let transports: Vec<_> = forms.iter().map(|tls| load(&folder, tls.clone()).unwrap()).collect();
    for (at, one) in transports.iter().enumerate() {
        let like = transports.iter().enumerate().filter(|(_, other)| one.is_like(other)).map(|(at, _)| at);
        assert_eq!(like.collect::<Vec<_>>(), [at], "{}", forms[at]);
    }
    // A rotated file is another identity under the same name.
    fs::copy(folder.path().join("other-ca.crt"), folder.path().join("ca.crt")).unwrap();
    let rotated = hash(json!({ "ca": "ca.crt" }));
    assert_ne!(rotated, hashes[3]);
    hashes.push(
        serde_json::from_value(json!({ "targets": ["users.test:443"] }))
            .map_or(0, |plain| key(Transport::load(&plain, folder.path()).unwrap().prepare(address(), None, None))),
    );
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), forms.len() + 1);
}

#[test]
fn a_check_connects_as_requests_do_but_within_its_own_time() {
    let folder = folder();
    let mut config = config(&["users.test:443"], json!({ "ca": "ca.crt" }));
    config.protocol = Protocol::Http2;
    config.timeouts.connect = ConfigDuration::from_secs(7);
    config.timeouts.write = ConfigDuration::from_secs(3);
    let transport = Transport::load(&config, folder.path()).unwrap();
    let check = transport.prepare_check(address(), Some("users.test"), Duration::from_millis(900));
    let request = transport.prepare(address(), Some("users.test"), None);
    // By the key, as one with other authorities, another name or none would not.
    assert_eq!(check.dial().key(), request.dial().key());
    assert!(check.dial().name().is_some());
    assert_eq!(check.timeouts().connect.get(), Duration::from_millis(900));
    assert_eq!(check.timeouts().write.get(), Duration::from_secs(3));
}
