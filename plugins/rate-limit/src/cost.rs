//! What a request counts, before and after its answer.

use std::num::NonZeroU32;

use portreeve_plugin::prelude::*;

use crate::config::Cost as Setting;

/// Where the cost of a request comes from.
#[derive(Debug)]
pub(crate) enum Cost {
    /// The tier says, or it is 1.
    OfTier,
    Fixed(NonZeroU32),
    Template(Template),
    /// 1 beforehand, and what this header says beyond that when the answer comes.
    Answer(HeaderName),
}

impl Cost {
    pub(crate) fn compile(setting: Option<Setting>) -> Result<Self, BuildError> {
        Ok(match setting {
            None => Self::OfTier,
            Some(Setting::Fixed(cost)) => Self::Fixed(cost),
            Some(Setting::Template(template)) => {
                if let Some(text) = template.as_literal() {
                    let message = format!("{text:?} is not a whole number; write one without quotes, or a template");
                    return Err(BuildError::at("cost", message));
                }
                Self::Template(template)
            }
            Some(Setting::Answer(answer)) => {
                let name = answer.response_header.as_str().parse();
                Self::Answer(name.map_err(|_| BuildError::at("cost.response_header", "not a header name"))?)
            }
        })
    }

    /// What the request counts before it goes on, or why that cannot be told.
    pub(crate) fn before(&self, of_tier: NonZeroU32, cx: &RequestCx<'_>) -> Result<u64, String> {
        match self {
            Self::OfTier => Ok(u64::from(of_tier.get())),
            Self::Fixed(cost) => Ok(u64::from(cost.get())),
            Self::Answer(_) => Ok(1),
            Self::Template(template) => {
                let text = cx.render(template).ok_or_else(|| format!("`cost: {template}` has no value"))?;
                // Not what a client sent into a log: a number that is none may be anything.
                whole(&text).ok_or_else(|| format!("`cost: {template}` gives no whole number up to {}", u32::MAX))
            }
        }
    }

    /// What is to be charged now that the answer is there.
    pub(crate) fn after(&self, cx: &ResponseCx<'_>) -> Option<u64> {
        let Self::Answer(name) = self else { return None };
        let cost = whole(cx.header(name)?)?;
        cost.checked_sub(1).filter(|more| *more > 0)
    }
}

/// A whole number that fits 32 bits: what is larger is a mistake.
fn whole(text: &str) -> Option<u64> {
    let text = text.trim_matches(' ');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse::<u32>().ok().map(u64::from)).flatten()
}
