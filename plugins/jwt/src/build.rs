//! Makes an instance from its settings, and refuses settings that cannot work: keys without an algorithm, algorithms
//! without a key, secrets that are too short.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::jwk::ThumbprintHash;
use portreeve_plugin::{Build, BuildError, Host, units};

use crate::Jwt;
use crate::algorithm::{Algorithms, Kind};
use crate::bearer::Bearer;
use crate::cache::Verified;
use crate::claims::Checks;
use crate::config::{Config, Jwks, KeySetting, Names};
use crate::jwk::{self, Secrets};
use crate::key::Key;
use crate::keys::{Keys, Place};
use crate::keyset::{Generation, KeySet};
use crate::refusal::Challenges;
use crate::who::Who;

/// More than any key set.
const MAX_FILE_BYTES: u64 = 4 << 20;
const MAX_LEEWAY: Duration = Duration::from_mins(5);
const REFRESH: Duration = Duration::from_mins(10);
const MIN_REFRESH: Duration = Duration::from_secs(1);
const STALE_FOR: Duration = Duration::from_hours(24);

impl Build for Jwt {
    const NAME: &'static str = "jwt";
    const AUTHENTICATES: bool = true;
    type Config = Config;

    fn build(config: Config, host: &Host) -> Result<Self, BuildError> {
        // All that decides what a token is worth, apart from the keys: those have a generation. Secrets show only their source.
        let cache_key = format!("verified/{}/{config:?}/{:?}", host.step(), host.tiers());
        let algorithms: Algorithms = config.algorithms.iter().copied().collect();
        if algorithms.is_empty() {
            return Err(BuildError::at("algorithms", "name at least one algorithm, such as RS256"));
        }
        let leeway = config.leeway.get();
        if leeway > MAX_LEEWAY {
            return Err(BuildError::at("leeway", "more than 5m would let expired tokens live on"));
        }
        let keys = match (config.jwks, config.keys) {
            (Some(jwks), None) => published(jwks, algorithms, host)?,
            (None, Some(keys)) => inline(keys, algorithms, host)?,
            _ => return Err(BuildError::new("wants either `jwks` or `keys`")),
        };
        let header = match config.header {
            None => http::header::AUTHORIZATION,
            Some(name) => name.as_str().parse().map_err(|_| BuildError::at("header", "not a header name"))?,
        };
        let cache = config.cache.bytes();
        Ok(Self {
            bearer: Bearer::new(header),
            forward_token: config.forward_token,
            algorithms,
            keys,
            checks: Checks {
                issuers: names(config.issuer, "issuer")?,
                audiences: names(config.audience, "audience")?,
                required: config.required_claims,
                leeway,
            },
            who: Who::new(config.consumer, host.tiers())?,
            verified: host.shared(&cache_key, || Verified::new(cache)),
            challenges: Challenges::new(&config.realm)?,
            clock: host.clock(),
            hits: host.counter("cache_hits_total", "Tokens found among those already verified.")?,
            misses: host.counter("cache_misses_total", "Tokens that had to be verified.")?,
        })
    }
}

fn names(names: Option<Names>, at: &str) -> Result<Option<Vec<String>>, BuildError> {
    match names {
        Some(Names(names)) if names.is_empty() => Err(BuildError::at(at, "an empty list would refuse every token")),
        names => Ok(names.map(|names| names.0)),
    }
}

/// Keys of a set: from a file now, or from a URL later.
fn published(jwks: Jwks, algorithms: Algorithms, host: &Host) -> Result<Keys, BuildError> {
    match (jwks.url, jwks.file) {
        (Some(url), None) => {
            // What is published is no secret: nobody can verify HS256 with a fetched key, nor be tricked into it.
            if let Some(symmetric) = algorithms.iter().find(|algorithm| algorithm.kind() == Kind::Secret) {
                let message =
                    format!("{} needs a secret; a set fetched from a URL holds public keys", symmetric.name());
                return Err(BuildError::at("algorithms", message));
            }
            if !matches!(&*url.scheme(), "https" | "http") || url.expose().parse::<http::Uri>().is_err() {
                return Err(BuildError::at("jwks.url", "not a URL that begins with https:// or http://"));
            }
            let refresh = jwks.refresh.map_or(REFRESH, units::Duration::get);
            if refresh < MIN_REFRESH {
                return Err(BuildError::at("jwks.refresh", "must be at least 1s"));
            }
            let addresses = jwks.addresses.unwrap_or_default().into();
            let stale_for = jwks.stale_for.map_or(STALE_FOR, units::Duration::get);
            Keys::fetched(Place { url, addresses }, refresh, stale_for, host)
        }
        (None, Some(_)) if jwks.refresh.is_some() || jwks.stale_for.is_some() || jwks.addresses.is_some() => {
            let message = "`refresh`, `stale_for` and `addresses` are for a `url`; a file is read again at a reload";
            Err(BuildError::at("jwks", message))
        }
        (None, Some(file)) => from_file(file, algorithms, host),
        _ => Err(BuildError::at("jwks", "wants either `url` or `file`")),
    }
}

fn from_file(file: PathBuf, algorithms: Algorithms, host: &Host) -> Result<Keys, BuildError> {
    let path = host.folder().join(&file);
    let wrong = |message: String| BuildError::at("jwks.file", message);
    let text = units::file::read(&path, MAX_FILE_BYTES)
        .map_err(|error| wrong(format!("cannot read {}: {error}", file.display())))?;
    let read = jwk::read(&text, Secrets::Allowed).map_err(&wrong)?;
    for why in &read.left_out {
        tracing::warn!(plugin = "jwt", place = %host.place(), error = %why, "Key of a key set passed over.");
    }
    every_algorithm_has_a_key(&read.keys, algorithms, "jwks.file")?;
    Ok(fixed(&[&text], read.keys, host))
}

fn inline(settings: Vec<KeySetting>, algorithms: Algorithms, host: &Host) -> Result<Keys, BuildError> {
    let mut keys = Vec::with_capacity(settings.len());
    let mut texts = Vec::new();
    for (place, setting) in settings.into_iter().enumerate() {
        let at = |member: &str| format!("keys[{place}]{member}");
        texts.push(setting.kid.clone().unwrap_or_default());
        let key = match (setting.secret, setting.pem) {
            (Some(source), None) => {
                let text = host.secret(&source, &at(".secret"))?;
                let key = Key::secret(text.expose().as_bytes());
                long_enough(&key, algorithms).map_err(|message| BuildError::at(at(".secret"), message))?;
                texts.push(text.expose().to_owned());
                key
            }
            (None, Some(source)) => {
                let text = host.secret(&source, &at(".pem"))?;
                let key = Key::pem(text.expose()).map_err(|message| BuildError::at(at(".pem"), message))?;
                texts.push(text.expose().to_owned());
                key
            }
            _ => return Err(BuildError::at(at(""), "wants either `secret` or `pem`")),
        };
        if key.algorithms().and(algorithms).is_empty() {
            let message =
                format!("{} can be used with {}, none of which is allowed", key.kind().name(), key.algorithms());
            return Err(BuildError::at(at(""), message));
        }
        keys.push(key.with_kid(setting.kid));
    }
    every_algorithm_has_a_key(&keys, algorithms, "algorithms")?;
    let texts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    Ok(fixed(&texts, keys, host))
}

/// RFC 7518 §3.2: a secret has at least the size of the hash.
fn long_enough(key: &Key, algorithms: Algorithms) -> Result<(), String> {
    let length = key.secret_len().unwrap_or(usize::MAX);
    let mut allowed = key.algorithms().and(algorithms).iter();
    match allowed.find(|algorithm| length < algorithm.shortest_secret()) {
        None => Ok(()),
        Some(algorithm) => {
            let (name, least) = (algorithm.name(), algorithm.shortest_secret());
            Err(format!("{name} wants a secret of at least {least} bytes; this one has {length}"))
        }
    }
}

fn every_algorithm_has_a_key(keys: &[Key], algorithms: Algorithms, at: &str) -> Result<(), BuildError> {
    let has_key = |algorithm| keys.iter().any(|key| key.algorithms().contains(algorithm));
    match algorithms.iter().find(|algorithm| !has_key(*algorithm)) {
        None => Ok(()),
        Some(algorithm) => {
            Err(BuildError::at(at, format!("there is no key that can be used with {}", algorithm.name())))
        }
    }
}

/// Keys read from these texts. After a reload the same texts are the same generation, so that verified tokens stay
/// verified. They may be secret, so only their hash is kept.
fn fixed(texts: &[&[u8]], keys: Vec<Key>, host: &Host) -> Keys {
    let mut bytes = Vec::new();
    for text in texts {
        bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        bytes.extend_from_slice(text);
    }
    let hash = (DEFAULT_PROVIDER.key_utils.compute_digest)(&bytes, ThumbprintHash::SHA256);
    let generation = match hash {
        Ok(hash) => host.shared(&format!("keys/{}", URL_SAFE_NO_PAD.encode(hash)), Generation::next),
        Err(_) => Arc::new(Generation::next()),
    };
    Keys::Fixed { set: KeySet::new(*generation, keys), _generation: generation }
}
