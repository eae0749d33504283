//! Any bytes in the place of a key set are either no set, or a bounded number of keys and of complaints.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portreeve_plugin_jwt::fuzzing;

fuzz_target!(|text: &[u8]| {
    if let Some((keys, complaints)) = fuzzing::key_set(text) {
        assert!(keys <= 100 && complaints <= 101);
    }
});
