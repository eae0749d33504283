//! Names of listeners for TCP that cannot be, and upstreams that connections cannot go to.

use portreeve_config::{Catalog, load_str};
use portreeve_plugin::Registry;

use crate::engine::{Engine, StartError};

fn wrong(sni: &str, upstream: &str) -> String {
    let text = format!(
        "version: 1\nlisteners: [{{ name: raw, bind: '127.0.0.1:0', tcp: {{ sni: {{ {sni} }} }} }}]\n\
         upstreams: {{ a: {{ targets: ['127.0.0.1:1'], {upstream} }} }}\n"
    );
    let loaded = load_str("gateway.yaml", &text, &Catalog::default(), &|_| None).unwrap();
    match Engine::check(&loaded, &Registry::new()) {
        Ok(_) => String::new(),
        Err(StartError::Config(errors)) => errors.to_string(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn names_that_nobody_could_ask_for_are_refused_where_they_stand() {
    assert_eq!(wrong("db.example.com: a, '*.example.com': a, '*.db.example.com': a", ""), "");
    for (sni, expected) in [
        ("db..example.com: a", "gateway.yaml:2:78: listeners[0].tcp.sni[\"db..example.com\"]: byte 3: an empty label"),
        ("'[::1]': a", "an address is never asked for in TLS (RFC 6066 §3)"),
        ("10.0.0.7: a", "an address is never asked for in TLS (RFC 6066 §3)"),
        ("db.example.com: a, DB.example.com.: a", "this name stands here already, in another spelling; keep one"),
    ] {
        let told = wrong(sni, "");
        assert!(told.contains(expected), "{sni}: {told}");
    }
}
