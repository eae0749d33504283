//! From settings to a [`Versioning`]: upstreams found, header values made, contradictions refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use portreeve_plugin::prelude::*;

use crate::config::{Config, Source, VersionConfig};
use crate::{From, Place, Served, Versioning, dates};

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

impl Build for Versioning {
    const NAME: &'static str = "versioning";
    /// Every request is given an upstream or refused.
    const ENDS_CHAIN: bool = true;
    type Config = Config;

    fn build(config: Config, host: &Host) -> Result<Self, BuildError> {
        if config.from.is_empty() {
            return Err(BuildError::at("from", "names no place where a version could stand"));
        }
        let mut versions = BTreeMap::new();
        for (name, version) in &config.versions {
            versions.insert(Box::from(name.as_str()), Arc::new(served(name, version, host)?));
        }
        let known = config.versions.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let default = config.default.as_deref().map(|name| {
            let served = versions.get(name).cloned();
            served.ok_or_else(|| BuildError::at("default", format!("no version \"{name}\"; there are: {known}")))
        });
        let default = default.transpose()?;
        Ok(Self { places: places(config.from)?, default, versions, known: known.into() })
    }
}

fn places(sources: Vec<Source>) -> Result<Box<[Place]>, BuildError> {
    let mut headers: Vec<String> = Vec::new();
    let places = sources.into_iter().enumerate().map(|(index, source)| {
        let at = |key: &str| format!("from[{index}].{key}");
        let from = match source {
            Source::Path(param) => From::Path(param.into()),
            Source::Query(name) => From::Query(name.into()),
            Source::Header(name) => {
                headers.push(name.to_string());
                let name = name.as_str().parse();
                From::Header(name.map_err(|_| BuildError::at(at("header"), "not a header name"))?)
            }
            Source::Claim(path) => {
                let claim = format!("${{claims.{path}}}").parse::<Template>().ok();
                // One reference and nothing else, whatever the setting holds.
                let claim = claim.filter(|claim| {
                    claim.source().matches("${").count() == 1 && claim.source().matches('}').count() == 1
                });
                let expected = "not a claim; write its name, or names with dots between them: plan.version";
                From::Claim(claim.ok_or_else(|| BuildError::at(at("claim"), expected))?)
            }
        };
        let vary = (!headers.is_empty()).then(|| HeaderValue::try_from(headers.join(", ")));
        let vary = vary.transpose().map_err(|_| BuildError::at(at("header"), "not a header name"))?;
        Ok(Place { from, vary })
    });
    places.collect()
}

fn served(name: &str, version: &VersionConfig, host: &Host) -> Result<Served, BuildError> {
    let at = |key: &str| format!("versions.{name}{key}");
    // The characters that no path, query or header needs to encode: a name is compared as it stands in the path.
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b)) {
        let message = format!("{name:?} is not a version; use letters, digits and `.`, `_`, `~`, `-`");
        return Err(BuildError::at(at(""), message));
    }
    if let (Some(deprecated), Some(sunset)) = (version.deprecated, version.sunset)
        && sunset < deprecated
    {
        return Err(BuildError::at(at(".sunset"), format!("lies before `deprecated` ({deprecated})")));
    }
    let mut notices = Vec::new();
    let mut add = |name, text: String, key| {
        let value = HeaderValue::try_from(text).map_err(|_| BuildError::at(at(key), "cannot be put into a header"))?;
        notices.push((name, value));
        Ok(())
    };
    if let Some(date) = version.deprecated {
        add(DEPRECATION, format!("@{}", dates::unix_seconds(date)), ".deprecated")?;
    }
    if let Some(date) = version.sunset {
        add(SUNSET, dates::imf_fixdate(date), ".sunset")?;
    }
    if let Some(link) = &version.link {
        let relations = match (version.deprecated, version.sunset) {
            (Some(_), Some(_)) => "deprecation sunset",
            (Some(_), None) => "deprecation",
            (None, Some(_)) => "sunset",
            (None, None) => return Err(BuildError::at(at(".link"), "needs `deprecated` or `sunset` beside it")),
        };
        let is_reference =
            !link.is_empty() && link.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&b));
        if !is_reference {
            return Err(BuildError::at(at(".link"), "not a URL"));
        }
        add(header::LINK, format!("<{link}>; rel=\"{relations}\""), ".link")?;
    }
    let upstream = host.upstream(&version.upstream, &at(".upstream"))?;
    Ok(Served { name: name.into(), upstream, notices })
}
