//! Checks a template or an expression by the word that schemas have for its moment: for texts in the settings of plugins,
//! which are looked at even where the settings around them are wrong.

use crate::expression::Expression;
use crate::template::{AtMatch, AtRequest, AtResponse, Phase, SyntaxError, Template, WithCalls};

/// Checks a template of the moment that `x-template` names. An unknown word is a moment of a later version: no error.
///
/// # Errors
/// As [`Template::parse`].
pub fn check_template(moment: &str, text: &str) -> Result<(), SyntaxError> {
    fn check<P: Phase>(text: &str) -> Result<(), SyntaxError> {
        Template::<P>::parse(text).map(drop)
    }
    match moment {
        AtMatch::WORD => check::<AtMatch>(text),
        AtRequest::WORD => check::<AtRequest>(text),
        AtResponse::WORD => check::<AtResponse>(text),
        WithCalls::WORD => check::<WithCalls>(text),
        _ => Ok(()),
    }
}

/// The path parameters that a template wants, as [`Template::wanted_params`]; none of one that is wrong.
pub fn wanted_params(moment: &str, text: &str) -> Vec<String> {
    fn wanted<P: Phase>(text: &str) -> Vec<String> {
        let template = Template::<P>::parse(text).ok();
        template.iter().flat_map(Template::wanted_params).map(str::to_owned).collect()
    }
    if !text.contains("params") {
        return Vec::new();
    }
    match moment {
        AtMatch::WORD => wanted::<AtMatch>(text),
        AtRequest::WORD => wanted::<AtRequest>(text),
        AtResponse::WORD => wanted::<AtResponse>(text),
        WithCalls::WORD => wanted::<WithCalls>(text),
        _ => Vec::new(),
    }
}

/// Checks an expression of the moment that `x-expression` names, as [`check_template`] does.
///
/// # Errors
/// As [`Expression::parse`].
pub fn check_expression(moment: &str, text: &str) -> Result<(), SyntaxError> {
    fn check<P: Phase>(text: &str) -> Result<(), SyntaxError> {
        Expression::<P>::parse(text).map(drop)
    }
    match moment {
        AtMatch::WORD => check::<AtMatch>(text),
        AtRequest::WORD => check::<AtRequest>(text),
        AtResponse::WORD => check::<AtResponse>(text),
        WithCalls::WORD => check::<WithCalls>(text),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use schemars::{JsonSchema, schema_for};

    use super::*;
    use crate::JsonTemplate;

    fn word<T: JsonSchema>(keyword: &str) -> String {
        schema_for!(T).to_value()[keyword].as_str().unwrap().to_owned()
    }

    #[test]
    fn the_word_in_the_schema_is_the_one_that_is_checked_by() {
        let knows_response = |moment: &str| check_template(moment, "${response.status}").is_ok();
        assert!(!knows_response(&word::<Template>("x-template")));
        assert!(knows_response(&word::<Template<AtResponse>>("x-template")));
        let calls = word::<JsonTemplate<WithCalls>>("x-template");
        assert!(check_template(&calls, "${calls.a}").is_ok() && check_template("request", "${calls.a}").is_err());
        let moment = word::<Expression<AtMatch>>("x-expression");
        assert!(check_expression(&moment, "claims.plan == 'free'").is_err());
        assert!(check_expression(&moment, "request.method == 'GET'").is_ok());
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        let error = check_template("request", "a ${nope}").unwrap_err();
        assert_eq!(error.offset(), 4);
    }
}
