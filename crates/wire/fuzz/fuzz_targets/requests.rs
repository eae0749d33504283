//! Any bytes from a client: the reader must agree with the naive second reading of the RFCs, and must not care how the
//! bytes are cut. The first byte is the size of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portreeve_wire::http1::{At, Bounds};

#[path = "../../tests/readers/drive.rs"]
mod drive;
#[path = "../../tests/readers/oracle.rs"]
mod oracle;

use drive::drive;
use oracle::Ending;

fuzz_target!(|input: &[u8]| {
    let Some((&size, bytes)) = input.split_first() else { return };
    let cut = |bounds| drive(bounds, bytes.chunks(usize::from(size).max(1)));

    let tight = Bounds { head_bytes: 90, fields: 3, target_bytes: 7, trailer_bytes: 12, chunk_line_bytes: 10, extension_bytes: 8 };
    assert_eq!(cut(tight), drive(tight, [bytes]));

    // The second reading knows no bounds.
    let most = usize::MAX;
    let wide =
        Bounds { head_bytes: most, fields: most, target_bytes: most, trailer_bytes: most, chunk_line_bytes: most, extension_bytes: most };
    let trace = cut(wide);
    assert_eq!(trace, drive(wide, [bytes]));
    let (messages, ending) = oracle::read(bytes);
    let found: Vec<_> = trace.messages.iter().map(|(end, head, _)| (*end, *head)).collect();
    assert_eq!(found, messages);
    match ending {
        Ending::Clean => assert!(matches!(trace.last, Ok(At::End | At::Between)), "{trace:?}"),
        // The second reading looks at whole heads: it may not have seen yet what is wrong.
        Ending::Open => assert_ne!(trace.last, Ok(At::End)),
        Ending::Broken => assert!(trace.last.is_err(), "{trace:?}"),
    }
});
