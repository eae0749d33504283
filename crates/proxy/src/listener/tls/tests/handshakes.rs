//! What clients are shown, who is let in, what is agreed on, what is resumed.

use std::time::{Duration, Instant, SystemTime};

use portreeve_plugin::TlsVersion as Version;
use tokio::io::{AsyncWriteExt as _, duplex};
use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::client::{Client, Offer};
use super::files::{Authority, Files, LONG};

const ONE: &str = "      certificates: [{ cert: a.crt, key: a.key }]\n";

fn anybody() -> Client {
    Client::new(Offer::default())
}

fn one() -> (Files, Authority) {
    let (files, authority) = (Files::new(), Authority::new("Test CA"));
    files.leaf("a", &authority.leaf(&["a.test"]));
    (files, authority)
}

#[tokio::test]
async fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let (files, authority) = (Files::new(), Authority::new("Test CA"));
    let leaves = [authority.leaf(&["a.test"]), authority.leaf(&["*.b.test"]), authority.leaf(&["x.b.test", "c.test"])];
    for (name, leaf) in ["a", "b", "c"].iter().zip(&leaves) {
        files.leaf(name, leaf);
    }
    let section = |unknown: &str| {
        format!(
            "      certificates: [{{ cert: a.crt, key: a.key }}, {{ cert: b.crt, key: b.key }}, {{ cert: c.crt, key: c.key }}]\n      unknown_sni: {unknown}"
        )
    };
    let tls = files.good(&section("default"), None);
    let cases = [
        ("a.test", 0),
        ("A.TEST", 0),
        ("y.b.test", 1),
        ("x.b.test", 2),
        ("c.test", 2),
        ("y.x.b.test", 0),
        ("stranger.test", 0),
        ("192.0.2.7", 0),
    ];
    for (name, expected) in cases {
        let met = anybody().meet(&tls, name).await.unwrap();
        assert_eq!(met.leaf, leaves[expected].der, "{name}");
    }
    let tls = files.good(&section("refuse"), Some(&tls));
    assert_eq!(anybody().meet(&tls, "y.b.test").await.unwrap().leaf, leaves[1].der);
    assert_eq!(anybody().refused(&tls, "stranger.test").await, "no_certificate");
    assert_eq!(anybody().refused(&tls, "192.0.2.7").await, "no_certificate");
}

#[tokio::test]
async fn ecdsa_and_rsa_stand_side_by_side_and_the_client_decides() {
    let (files, authority) = (Files::new(), Authority::new("Test CA"));
    let (rsa, ecdsa) = (authority.rsa(&["a.test"]), authority.leaf(&["a.test"]));
    files.leaf("rsa", &rsa).leaf("ecdsa", &ecdsa);
    let section = "      certificates: [{ cert: rsa.crt, key: rsa.key }, { cert: ecdsa.crt, key: ecdsa.key }]";
    let tls = files.good(section, None);
    for version in [&TLS12, &TLS13] {
        let shown = async |schemes| {
            let client = Client::new(Offer { version: Some(version), schemes, ..Offer::default() });
            client.meet(&tls, "a.test").await.unwrap().leaf
        };
        assert_eq!(shown(Some(vec![SignatureScheme::RSA_PSS_SHA256])).await, rsa.der);
        assert_eq!(shown(Some(vec![SignatureScheme::ECDSA_NISTP256_SHA256])).await, ecdsa.der);
        assert_eq!(shown(None).await, ecdsa.der, "the cheaper one for those who can do both");
    }
}

#[tokio::test]
async fn of_two_certificates_for_a_name_the_one_that_expires_later_is_shown() {
    let (files, authority) = (Files::new(), Authority::new("Test CA"));
    let key = || rcgen::KeyPair::generate().unwrap();
    let sooner = authority.leaf_of(&["a.test"], ((2020, 1, 1), (2110, 1, 1)), key());
    let later = authority.leaf_of(&["a.test"], LONG, key());
    files.leaf("sooner", &sooner).leaf("later", &later);
    let section = "      certificates: [{ cert: sooner.crt, key: sooner.key }, { cert: later.crt, key: later.key }]";
    let tls = files.good(section, None);
    assert_eq!(anybody().meet(&tls, "a.test").await.unwrap().leaf, later.der);
    let mut all = tls.expiries().map(|expiry| (expiry.certificate.to_string(), expiry.at));
    assert_eq!(all.next(), Some(("sooner.crt".to_owned(), 4_417_977_600)));
}

#[tokio::test]
async fn versions_below_the_minimum_are_refused() {
    let (files, _) = one();
    let client = |version| Client::new(Offer { version: Some(version), ..Offer::default() });
    let tls = files.good(ONE, None);
    assert_eq!(client(&TLS12).meet(&tls, "a.test").await.unwrap().facts.client.version, Version::V1_2);
    assert_eq!(client(&TLS13).meet(&tls, "a.test").await.unwrap().facts.client.version, Version::V1_3);
    let tls = files.good(&format!("{ONE}      min_version: \"1.3\""), None);
    assert_eq!(client(&TLS12).refused(&tls, "a.test").await, "no_shared_version");
    assert_eq!(client(&TLS13).meet(&tls, "a.test").await.unwrap().facts.client.version, Version::V1_3);
}

#[tokio::test]
async fn http2_is_agreed_on_where_it_is_offered() {
    let (files, _) = one();
    let both = || Client::new(Offer { alpn: vec![b"http/1.1", b"h2"], ..Offer::default() });
    let tls = files.good(ONE, None);
    let met = both().meet(&tls, "a.test").await.unwrap();
    assert!(met.facts.http2 && met.alpn.as_deref() == Some(b"h2"), "the server's order decides");
    let met = anybody().meet(&tls, "a.test").await.unwrap();
    assert!(!met.facts.http2 && met.alpn.is_none());
    let tls = files.good(&format!("{ONE}      http2: false"), None);
    let met = both().meet(&tls, "a.test").await.unwrap();
    assert!(!met.facts.http2 && met.alpn.as_deref() == Some(b"http/1.1"));
    let only = Client::new(Offer { alpn: vec![b"h2"], ..Offer::default() });
    assert_eq!(only.refused(&tls, "a.test").await, "no_shared_protocol");
}

#[tokio::test]
async fn a_session_is_resumed_also_after_a_reload_with_another_certificate() {
    let (files, authority) = one();
    for version in [&TLS12, &TLS13] {
        let tls = files.good(ONE, None);
        let client = Client::new(Offer { version: Some(version), ..Offer::default() });
        assert!(!client.meet(&tls, "a.test").await.unwrap().resumed);
        assert!(client.meet(&tls, "a.test").await.unwrap().resumed, "{version:?}");
        files.leaf("a", &authority.leaf(&["a.test"]));
        let reloaded = files.good(ONE, Some(&tls));
        assert!(client.meet(&reloaded, "a.test").await.unwrap().resumed, "{version:?}");
        let restarted = files.good(ONE, None);
        assert!(!client.meet(&restarted, "a.test").await.unwrap().resumed, "{version:?}");
    }
}

#[tokio::test]
async fn a_session_is_not_resumed_when_who_may_come_in_has_changed() {
    let (files, _) = one();
    let clients = Authority::new("Clients");
    let billing = clients.leaf(&["billing.test"]);
    files.write("clients.crt", &clients.pem);
    let section = format!("{ONE}      client_auth: {{ ca: clients.crt, mode: require, crl: [clients.crl] }}");
    for version in [&TLS12, &TLS13] {
        files.write("clients.crl", clients.revokes(&[], (2120, 1, 1)));
        let open = files.good(ONE, None);
        let tls = files.good(&section, Some(&open));
        let good = Client::new(Offer { version: Some(version), certificate: Some(&billing), ..Offer::default() });
        let nobody = Client::new(Offer { version: Some(version), ..Offer::default() });
        nobody.meet(&open, "a.test").await.unwrap();
        assert_eq!(
            nobody.refused(&tls, "a.test").await,
            "client_certificate_missing",
            "no way in by an open door's ticket"
        );
        good.meet(&tls, "a.test").await.unwrap();
        let resumed = good.meet(&tls, "a.test").await.unwrap();
        assert!(resumed.resumed);
        assert_eq!(
            &*resumed.facts.client.client_certificate.as_ref().unwrap().subject,
            "O=Example\\, Inc, CN=billing.test"
        );
        files.write("clients.crl", clients.revokes(&[&clients.leaf(&["other.test"])], (2120, 1, 1)));
        let same = files.good(&section, Some(&tls));
        assert!(!good.meet(&same, "a.test").await.unwrap().resumed, "another list, another rule");
    }
}

#[tokio::test]
async fn a_revoked_client_is_refused_and_every_other_bad_one() {
    let (files, _) = one();
    let (clients, strangers) = (Authority::new("Clients"), Authority::new("Clients"));
    let key = || rcgen::KeyPair::generate().unwrap();
    let (good, revoked) = (clients.leaf(&["billing.test"]), clients.leaf(&["lost.test"]));
    let expired = clients.leaf_of(&["old.test"], super::files::PAST, key());
    let forged = strangers.leaf(&["billing.test"]);
    files.write("clients.crt", &clients.pem).write("clients.crl", clients.revokes(&[&revoked], (2120, 1, 1)));
    for (mode, without) in [("require", Some("client_certificate_missing")), ("request", None)] {
        let section = format!("{ONE}      client_auth: {{ ca: clients.crt, mode: {mode}, crl: [clients.crl] }}");
        let tls = files.good(&section, None);
        for version in [&TLS12, &TLS13] {
            let client = |certificate| Client::new(Offer { version: Some(version), certificate, ..Offer::default() });
            let met = client(Some(&good)).meet(&tls, "a.test").await.unwrap();
            let shown = met.facts.client.client_certificate.as_ref().unwrap();
            assert_eq!(shown.names, ["DNS:billing.test".into()]);
            for bad in [&revoked, &expired, &forged] {
                assert_eq!(client(Some(bad)).refused(&tls, "a.test").await, "client_certificate_refused");
            }
            match (without, client(None).meet(&tls, "a.test").await) {
                (None, Ok(met)) => assert!(met.facts.client.client_certificate.is_none()),
                (Some(why), Err(error)) => assert_eq!(error.reason(), why),
                (_, other) => panic!("{mode}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_list_past_its_time_lets_nobody_of_its_authority_in() {
    let (files, _) = one();
    let clients = Authority::new("Clients");
    let good = clients.leaf(&["billing.test"]);
    let soon = SystemTime::UNIX_EPOCH.elapsed().unwrap() + Duration::from_secs(3);
    files.write("clients.crt", &clients.pem).write("clients.crl", clients.revokes_until(&[], soon));
    let section = format!("{ONE}      client_auth: {{ ca: clients.crt, mode: require, crl: [clients.crl] }}");
    let tls = files.good(&section, None);
    let meet = async |tls| {
        // A new client each time: one that was here before would resume.
        let client = Client::new(Offer { certificate: Some(&good), ..Offer::default() });
        client.meet(tls, "a.test").await.map_err(|error| error.reason())
    };
    meet(&tls).await.unwrap();
    let begun = Instant::now();
    let refused = loop {
        match meet(&tls).await {
            Ok(_) => assert!(begun.elapsed() < Duration::from_secs(30), "a list that has ended still counts"),
            Err(why) => break why,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(refused, "client_certificate_refused");
    // A reload for another reason is not kept out by it, and lets nobody in.
    let again = files.build(&section, Some(&tls));
    assert!(again.warnings.contains("clients.crl was good until"), "{}", again.warnings);
    assert_eq!(meet(&again.tls.unwrap()).await.unwrap_err(), "client_certificate_refused");
    assert!(files.build(&section, None).errors.contains("clients.crl was good until"), "nor is it good for a start");
}

#[tokio::test]
async fn what_is_not_tls_is_told_from_what_is_closed() {
    let (files, _) = one();
    let tls = files.good(ONE, None);
    for (bytes, reason) in
        [(&b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"[..], "not_tls"), (b"", "closed"), (b"\x16\x03\x01", "closed")]
    {
        let (mut near, far) = duplex(1024);
        near.write_all(bytes).await.unwrap();
        near.shutdown().await.unwrap();
        assert_eq!(tls.accept(far).await.unwrap_err().reason(), reason, "{bytes:?}");
    }
}
