//! Any fields with any trusted networks: the client must be the peer or somebody that was named, and an element that we
//! write must be read as it was meant.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use portreeve_wire::forwarded::{Element, by_forwarded, by_x_forwarded_for};

fuzz_target!(|input: &[u8]| {
    let Some((&trust, bytes)) = input.split_first() else { return };
    let trusted = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets()[3] & trust == 0,
        IpAddr::V6(address) => address.octets()[15] & trust == 0,
    };
    let peer = IpAddr::from([192, 0, 2, 0]);
    let fields = || bytes.split(|&byte| byte == b'\n');
    let clients = [by_x_forwarded_for(peer, trusted, fields()), by_forwarded(peer, trusted, fields())];
    for client in clients.into_iter().flatten() {
        assert_eq!(client, client.to_canonical());
        // Who is not the peer was named by somebody trusted.
        assert!(client == peer || trusted(peer));
    }

    // One more element, written by us: whoever trusts us reads it, whatever stands before it, well-formed or not.
    let said = clients[1].unwrap_or(peer);
    let mut field = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default().to_vec();
    field.extend_from_slice(b", ");
    Element { client: said, proto: "https", host: Some(b"a.example:80") }.write(&mut field);
    let read = by_forwarded(peer, |address| address == peer, [&field[..]].into_iter());
    assert_eq!(read, Some(said).filter(|said| !said.is_unspecified()));

    let mut field = Vec::new();
    Element { client: said, proto: "https", host: Some(bytes) }.write(&mut field);
    assert!(!field.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    let read = by_forwarded(peer, |address| address == peer, [&field[..]].into_iter());
    assert_eq!(read, Some(said).filter(|said| !said.is_unspecified()));
});
