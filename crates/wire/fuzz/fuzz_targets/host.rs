//! Any text in the place of a host: what is taken must be read the same way by whoever reads it after us, and a request
//! must be taken exactly when its host is.
#![no_main]

use http::uri::Authority;
use libfuzzer_sys::fuzz_target;
use portreeve_wire::http1::{At, Bounds, Requests, is_host};

/// Whether these bytes are one whole request.
fn is_request(parts: &[&[u8]]) -> bool {
    let bytes = parts.concat();
    let read = Requests::new(Bounds::default()).read(&bytes);
    read.is_ok_and(|progress| progress.taken == bytes.len() && progress.at == At::End)
}

/// The first line, and what follows.
fn halves(input: &[u8]) -> (&[u8], &[u8]) {
    let mut halves = input.splitn(2, |&byte| byte == b'\n');
    (halves.next().unwrap_or_default(), halves.next().unwrap_or(b"other.example"))
}

fuzz_target!(|input: &[u8]| {
    let (host, other) = halves(input);
    let taken = is_host(host);
    if taken {
        assert!(host.iter().all(u8::is_ascii_graphic));
        assert!(!host.iter().any(|byte| b"@/?#\\ ,".contains(byte)), "a host that holds a delimiter");
        let text = str::from_utf8(host).expect("graphic bytes");
        let authority: Authority = text.parse().expect("an authority of the http crate");
        assert!(!authority.host().is_empty());
        match authority.port_u16() {
            Some(port) => assert_eq!(text.rsplit_once(':').and_then(|(_, digits)| digits.parse().ok()), Some(port)),
            None => assert_eq!(authority.host(), text),
        }
    }
    // Blanks around a field's value are no part of it, and a line's end ends it.
    if !host.iter().any(|byte| matches!(byte, b'\r' | b' ' | b'\t')) {
        assert_eq!(is_request(&[b"GET / HTTP/1.1\r\nhost: ", host, b"\r\n\r\n"]), taken, "in a field");
        let both: [&[u8]; 5] = [b"GET http://", host, b"/ HTTP/1.1\r\nhost: ", host, b"\r\n\r\n"];
        assert_eq!(is_request(&both), taken, "in a target and a field");
        // What is no host may hold the slash that ends one.
        if taken
            && !other.contains(&b'\r')
            && is_request(&[b"GET http://", host, b"/ HTTP/1.1\r\nhost: ", other, b"\r\n\r\n"])
        {
            let place =
                |text: &[u8]| text.trim_ascii().strip_suffix(b":80").unwrap_or(text.trim_ascii()).to_ascii_lowercase();
            let number = |text: &[u8]| text.windows(2).any(|pair| pair == b":0");
            assert!(place(host) == place(other) || number(host) || number(other), "two hosts in one request");
        }
    }
});
