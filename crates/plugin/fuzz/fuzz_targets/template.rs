//! Any source either compiles or is refused with a position inside it, and no value breaks out of a URL, a header or a JSON string.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portreeve_plugin::template::{Datum, Escape, Reference, Scope, Template, WithCalls};

struct Same<'v>(&'v str);

impl Scope for Same<'_> {
    fn resolve<'s>(&'s self, _: &Reference) -> Option<Datum<'s>> {
        Some(Datum::text(self.0))
    }
}

fuzz_target!(|input: (&str, &str)| {
    let (source, value) = input;
    let scope = Same(value);
    match Template::<WithCalls>::parse(source) {
        Err(error) => assert!(source.is_char_boundary(error.offset())),
        Ok(template) => {
            for escape in [Escape::None, Escape::PathSegment, Escape::QueryValue, Escape::Url, Escape::Json] {
                let _ = template.render_with(&scope, escape);
            }
            let _ = template.render_value(&scope);
            if let Some(header) = template.render_header(&scope) {
                assert!(!header.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            }
        }
    }

    if let Ok(template) = Template::<WithCalls>::parse("/a/${params.id}/b?c=${params.id}")
        && let Some(url) = template.render_with(&scope, Escape::Url)
    {
        assert_eq!(url.matches('/').count(), 3);
        assert_eq!(url.matches(['?', '#', '&', '=', ' ', '\r', '\n']).count(), 2);
    }
    if let Ok(template) = Template::<WithCalls>::parse("\"${params.id}\"") {
        let text = template.render_with(&scope, Escape::Json);
        let back = text.and_then(|text| serde_json::from_str::<String>(&text).ok());
        assert_eq!(back.as_deref(), Some(value));
    }
});
