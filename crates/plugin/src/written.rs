//! Reads a text in the settings of a plugin by the words that its schema has for language and moment, before any plugin is
//! built: so mistakes are told even where the settings around them are wrong, and what texts name and cost is known at load.

use http::HeaderName;

use crate::expression::{self, Pattern};
use crate::fields::headers_of;
use crate::template::{self, Bounds, Reference, SyntaxError};

/// What a text names and costs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Fields of requests.
    pub headers: Vec<HeaderName>,
    /// Path parameters that a template wants: those without which it has no value, since it gives no default. None of an
    /// expression, where a missing one is `null`.
    pub params: Vec<Box<str>>,
    /// Bytes that its regular expressions take, compiled.
    pub regex_size: usize,
}

/// Reads a template of the moment that `x-template` names. An unknown word is a moment of a later version: nothing is known
/// of its text.
///
/// # Errors
/// As [`Template::parse`](crate::Template::parse).
pub fn read_template(moment: &str, text: &str) -> Result<Written, SyntaxError> {
    let Some(bounds) = Bounds::at(moment) else { return Ok(Written::default()) };
    let named = template::read(text, bounds)?;
    let headers = headers_of(named.iter().map(|(reference, _)| reference)).collect();
    let wanted = named.iter().filter(|(_, has_default)| !has_default);
    let params = wanted.filter_map(|(reference, _)| match reference {
        Reference::Param(name) => Some((**name).into()),
        _ => None,
    });
    Ok(Written { headers, params: params.collect(), regex_size: 0 })
}

/// Reads an expression of the moment that `x-expression` names, as [`read_template`] does.
///
/// # Errors
/// As [`Expression::parse`](crate::Expression::parse).
pub fn read_expression(moment: &str, text: &str) -> Result<Written, SyntaxError> {
    let Some(bounds) = Bounds::at(moment) else { return Ok(Written::default()) };
    let (named, regex_size) = expression::read(text, bounds)?;
    Ok(Written { headers: headers_of(&named).collect(), params: Vec::new(), regex_size })
}

/// Reads a regular expression, which `x-regex` says a text to be.
///
/// # Errors
/// When it is malformed or too large.
pub fn read_regex(text: &str) -> Result<Written, SyntaxError> {
    let pattern = Pattern::parse(text);
    let pattern = pattern.map_err(|reason| SyntaxError::new(text, 0, format!("not a regular expression: {reason}")))?;
    Ok(Written { regex_size: pattern.size(), ..Written::default() })
}

#[cfg(test)]
mod tests {
    use schemars::{JsonSchema, schema_for};

    use super::*;
    use crate::template::{AtMatch, AtResponse, WithCalls};
    use crate::{Expression, JsonTemplate, Template};

    fn word<T: JsonSchema>(keyword: &str) -> String {
        schema_for!(T).to_value()[keyword].as_str().unwrap().to_owned()
    }

    #[test]
    fn the_word_in_the_schema_is_the_one_that_is_checked_by() {
        let knows_response = |moment: &str| read_template(moment, "${response.status}").is_ok();
        assert!(!knows_response(&word::<Template>("x-template")));
        assert!(knows_response(&word::<Template<AtResponse>>("x-template")));
        let calls = word::<JsonTemplate<WithCalls>>("x-template");
        assert!(read_template(&calls, "${calls.a}").is_ok() && read_template("request", "${calls.a}").is_err());
        let moment = word::<Expression<AtMatch>>("x-expression");
        assert!(read_expression(&moment, "claims.plan == 'free'").is_err());
        assert!(read_expression(&moment, "request.method == 'GET'").is_ok());
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        let error = read_template("request", "a ${nope}").unwrap_err();
        assert_eq!(error.offset(), 4);
        assert!(read_regex("(").unwrap_err().message().contains("unclosed group"));
    }

    #[test]
    fn what_texts_name_and_cost_is_told() {
        let headers = |written: Written| written.headers.iter().map(ToString::to_string).collect::<Vec<_>>();
        let template = |moment, text| read_template(moment, text).unwrap();
        assert_eq!(headers(template("request", "${request.headers.x-a}/${consumer.id}")), ["x-a"]);
        assert_eq!(headers(template("response", "${request.headers.x-b} ${response.headers.x-c}")), ["x-b"]);
        assert_eq!(template("tomorrow", "${request.headers.x-a}"), Written::default());
        assert_eq!(*template("request", "${params.a}/${params.b:-x}").params, ["a".into()]);
        let condition = "request.headers.x-a == \"1\" && has(request.headers.x_b) && params.c == '1'";
        let read = read_expression("request", condition).unwrap();
        assert_eq!((read.params.len(), read.regex_size), (0, 0));
        assert_eq!(headers(read), ["x-a", "x_b"]);
        let once = read_expression("request", "request.path matches '[a-z]+'").unwrap().regex_size;
        let twice = read_expression("request", "not request.path matches '[a-z]+' or request.host matches '[a-z]+'");
        assert_eq!((twice.unwrap().regex_size, read_regex("[a-z]+").unwrap().regex_size), (2 * once, once));
        assert!(once > 0);
    }
}
