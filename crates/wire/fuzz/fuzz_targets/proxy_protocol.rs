//! Any bytes at the beginning of a connection: a verdict must stand whatever follows, and must come in time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portreeve_wire::proxy_protocol::{MAX_HEADER, Parsed, parse};

fuzz_target!(|bytes: &[u8]| {
    let verdict = parse(bytes);
    match verdict {
        Ok(Parsed::Incomplete) => assert!(bytes.len() < MAX_HEADER),
        Ok(Parsed::Complete { length, .. }) => {
            assert!(length <= bytes.len() && length <= MAX_HEADER);
            assert_eq!(parse(&bytes[..length]), verdict);
            assert_eq!(parse(&bytes[..length - 1]), Ok(Parsed::Incomplete));
        }
        Err(_) => {}
    }
    for end in 0..bytes.len().min(200) {
        let early = parse(&bytes[..end]);
        assert!(early == Ok(Parsed::Incomplete) || early == verdict, "{early:?} then {verdict:?}");
    }
});
