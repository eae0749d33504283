//! `headers`: sets, adds and removes header fields of requests and of answers.

mod config;
mod edits;
#[cfg(test)]
mod tests;

use portreeve_plugin::prelude::*;
use portreeve_plugin::template::{AtRequest, AtResponse};

pub use config::{Config, Edits as EditsConfig};
use edits::{Edit, Edits};

/// Edits the header fields of requests and of answers.
#[derive(Debug)]
pub struct Headers {
    request: Edits<AtRequest>,
    response: Edits<AtResponse>,
}

#[async_trait]
impl Plugin for Headers {
    fn hooks(&self) -> Hooks {
        let request = if self.request.is_empty() { Hooks::none() } else { Hooks::REQUEST };
        let response = if self.response.is_empty() { Hooks::none() } else { Hooks::RESPONSE };
        request | response
    }

    fn request_fields(&self) -> RequestFields {
        let Edits { remove, set, add } = &self.request;
        let set = set.iter().chain(add).map(|edit| edit.name.clone());
        RequestFields::none().sets(set).removes(remove.iter().cloned())
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        for name in &self.request.remove {
            cx.remove_header(name);
        }
        for Edit { name, value } in &self.request.set {
            match value.render(cx) {
                Some(value) => cx.set_header(name.clone(), value),
                None => cx.remove_header(name),
            }
        }
        for Edit { name, value } in &self.request.add {
            if let Some(value) = value.render(cx) {
                cx.append_header(name.clone(), value);
            }
        }
        Ok(Flow::Continue)
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        for name in &self.response.remove {
            cx.remove_header(name);
        }
        for Edit { name, value } in &self.response.set {
            match value.render(cx) {
                Some(value) => cx.set_header(name.clone(), value),
                None => cx.remove_header(name),
            }
        }
        for Edit { name, value } in &self.response.add {
            if let Some(value) = value.render(cx) {
                cx.append_header(name.clone(), value);
            }
        }
        Ok(())
    }
}

impl Build for Headers {
    const NAME: &'static str = "headers";
    type Config = Config;

    fn build(config: Config, _host: &Host) -> Result<Self, BuildError> {
        let request = Edits::compile(config.request, "request")?;
        let response = Edits::compile(config.response, "response")?;
        if request.is_empty() && response.is_empty() {
            return Err(BuildError::new("edits nothing; give `request` or `response` with `set`, `add` or `remove`"));
        }
        Ok(Self { request, response })
    }
}
