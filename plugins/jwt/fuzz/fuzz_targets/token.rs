//! Any bytes in the place of a token are taken apart without a panic, and none that nobody signed passes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portreeve_plugin_jwt::fuzzing;

const SET: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fuzz_target!(|token: &[u8]| assert!(!fuzzing::token(token, SET)));
