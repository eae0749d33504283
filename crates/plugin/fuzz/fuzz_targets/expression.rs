//! Any source either compiles, and then decides for every value, or is refused with a position inside it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portreeve_plugin::expression::Expression;
use portreeve_plugin::template::{Datum, Reference, Scope, WithCalls};
use serde_json::Value;

struct Same(Option<Value>);

impl Scope for Same {
    fn resolve<'s>(&'s self, _: &Reference) -> Option<Datum<'s>> {
        self.0.as_ref().map(Datum::Json)
    }
}

fuzz_target!(|input: (&str, &str)| {
    let (source, value) = input;
    let scope = Same(serde_json::from_str(value).ok());
    match Expression::<WithCalls>::parse(source) {
        Err(error) => assert!(source.is_char_boundary(error.offset())),
        Ok(expression) => {
            let first = expression.eval(&scope);
            assert_eq!(first, expression.eval(&scope));
        }
    }
});
