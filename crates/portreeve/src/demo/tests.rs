//! The demo answers as its guide says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::instance::Instance;
use super::{Issuer, StartError, complaint, loopback, services};

/// What a server answers, head and body; an error if it is not there.
fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: demo\r\nx-user-id: ada\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn start(router: Router) -> Instance {
    Instance::start("sample", loopback(0), router).expect("a free port")
}

#[test]
fn a_token_is_signed_by_the_key_that_is_published() {
    let issuer = Issuer::new("http://issuer.example/").unwrap();
    let token = issuer.token("ada", "paid").unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let jwks = issuer.jwks();
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwks["keys"][0][name].as_str().unwrap()).unwrap();
    let key = RsaPublicKeyComponents { n: part("n"), e: part("e") };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).expect("the signature of the key");
    let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["sub"], &claims["plan"], &claims["aud"]), (&"ada".into(), &"paid".into(), &"api".into()));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 12 * 3600);
}

#[test]
fn every_service_says_who_it_is() {
    let services = [
        (services::users_v1("u1"), "/users/7", r#""service":"users","version":"v1","instance":"u1","caller":"ada""#),
        (services::users_v2("u2"), "/users/7", r#""service":"users","version":"v2","instance":"u2","caller":"ada""#),
        (services::orders("o"), "/orders?user=7", r#""service":"orders","version":"v1","instance":"o""#),
        (
            services::recommendations("r"),
            "/recommendations?user=7",
            r#""service":"recommendations","version":"v1","instance":"r""#,
        ),
    ];
    for (router, path, expected) in services {
        let instance = start(router);
        let answer = ask(instance.address, path).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(expected), "{answer}");
        assert!(ask(instance.address, "/healthz").unwrap().ends_with("ok\n"));
    }
}

#[test]
fn a_killed_instance_is_gone_with_its_connections_until_it_is_revived() {
    let mut instance = start(Router::new().route("/", get(|| async { "here" })));
    let mut open = TcpStream::connect(instance.address).unwrap();
    open.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(open, "GET / HTTP/1.1\r\nhost: demo\r\n\r\n").unwrap();
    assert_ne!(open.read(&mut [0; 512]).unwrap(), 0);
    instance.kill();
    // Ends or is reset, but does not stay open.
    assert!(!open.read(&mut [0; 512]).is_ok_and(|read| read > 0));
    drop(open);
    assert!(!instance.is_alive());
    instance.revive().unwrap();
    assert!(ask(instance.address, "/").unwrap().ends_with("here"));
    instance.revive().expect("reviving the living changes nothing");
}

#[test]
fn a_taken_port_is_named_with_what_to_do() {
    let first = start(Router::new());
    let taken: StartError = Instance::start("orders", first.address, Router::new()).expect_err("the port is taken");
    let text = complaint(&[taken]);
    assert!(text.contains(&format!("{} (orders) is taken by another process", first.address)), "{text}");
    assert!(text.contains("Stop it"), "{text}");
}
