//! Any bytes at the beginning of a connection: a verdict must stand whatever follows, and must come in time. What a header
//! says, written again, is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portreeve_wire::proxy_protocol::{Additions, Header, MAX_HEADER, Parsed, parse, write_v1, write_v2};

fuzz_target!(|bytes: &[u8]| {
    let verdict = parse(bytes);
    match verdict {
        Ok(Parsed::Incomplete) => assert!(bytes.len() < MAX_HEADER),
        Ok(Parsed::Complete { length, header }) => {
            assert!(length <= bytes.len() && length <= MAX_HEADER);
            assert_eq!(parse(&bytes[..length]), verdict);
            assert_eq!(parse(&bytes[..length - 1]), Ok(Parsed::Incomplete));
            again(header, bytes);
        }
        Err(_) => {}
    }
    for end in 0..bytes.len().min(200) {
        let early = parse(&bytes[..end]);
        assert!(early == Ok(Parsed::Incomplete) || early == verdict, "{early:?} then {verdict:?}");
    }
});

/// Both versions, with whatever additions.
fn again(header: Header, bytes: &[u8]) {
    let (alpn, rest) = bytes.split_at(bytes.len() / 3);
    let (authority, unique_id) = rest.split_at(rest.len() / 2);
    let (mut one, mut two) = (Vec::new(), Vec::new());
    write_v1(&header, &mut one);
    write_v2(&header, &Additions { alpn, authority, unique_id }, &mut two);
    for written in [one, two] {
        assert_eq!(parse(&written), Ok(Parsed::Complete { length: written.len(), header }));
    }
}
