//! Any text: normalising it must not panic, and what comes out must be normal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portreeve_router::path::normalise;

fuzz_target!(|raw: &str| {
    let Ok(once) = normalise(raw) else { return };
    assert!(once.path.starts_with('/') && once.path.bytes().all(|byte| byte.is_ascii_graphic()));
    let closed = format!("{}/", once.path.trim_end_matches('/'));
    for never in ["//", "/./", "/../", "\\", "?", "#", "%00", "%2E"] {
        assert!(!closed.contains(never), "{never} in {closed}");
    }
    assert_eq!(closed.contains("%2F"), once.ambiguity.encoded_slash);
    assert_eq!(closed.contains("%5C"), once.ambiguity.backslash);
    assert_eq!(normalise(&once.path).as_ref(), Ok(&once));
});
