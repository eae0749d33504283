//! Reads one `root.path` reference, checking root, field and name at load, so that nothing is left to check later.

use http::HeaderName;

use super::cursor::{Cursor, SyntaxError, did_you_mean};
use super::phase::{Bounds, NAMES, Roots};
use super::reference::Reference;

/// What a reference turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scanned {
    Reference(Reference),
    /// `env.NAME`, already looked up: a variable that is empty is as good as one that is not set.
    Env {
        name: String,
        value: Option<String>,
    },
}

pub(super) const REQUEST_FIELDS: [&str; 9] =
    ["method", "path", "host", "client_ip", "id", "route", "headers", "query", "cookies"];
pub(super) const CONSUMER_FIELDS: [&str; 6] = ["id", "tier", "groups", "scopes", "method", "credential"];
pub(super) const RESPONSE_FIELDS: [&str; 2] = ["status", "headers"];

/// What people call a field who do not know ours: its owner, their word, the field.
const ALIASES: [(&str, &str, &str); 22] = [
    ("request", "ip", "client_ip"),
    ("request", "client", "client_ip"),
    ("request", "remote_addr", "client_ip"),
    ("request", "remote_address", "client_ip"),
    ("request", "remote_ip", "client_ip"),
    ("request", "peer", "client_ip"),
    ("request", "uri", "path"),
    ("request", "url", "path"),
    ("request", "verb", "method"),
    ("request", "hostname", "host"),
    ("request", "authority", "host"),
    ("request", "args", "query"),
    ("request", "params", "query"),
    ("request", "query_params", "query"),
    ("request", "header", "headers"),
    ("request", "cookie", "cookies"),
    ("request", "request_id", "id"),
    ("consumer", "name", "id"),
    ("consumer", "username", "id"),
    ("consumer", "plan", "tier"),
    ("consumer", "roles", "groups"),
    ("response", "code", "status"),
];

/// Reads a reference from where the cursor stands to its end, whatever follows.
pub(crate) fn reference(cursor: &mut Cursor<'_>, bounds: Bounds) -> Result<Scanned, SyntaxError> {
    let start = cursor.at();
    let root = cursor.take_name();
    if root.is_empty() {
        return Err(cursor.error("expected a reference such as `request.path` or `claims.sub`"));
    }
    check_root(cursor, start, root, bounds)?;
    let reference = match root {
        "request" => request(cursor, bounds)?,
        "params" => Reference::Param(name(cursor, "params")?.into()),
        "consumer" => match field(cursor, "consumer", &CONSUMER_FIELDS)? {
            "id" => Reference::ConsumerId,
            "tier" => Reference::ConsumerTier,
            "groups" => Reference::ConsumerGroups,
            "scopes" => Reference::ConsumerScopes,
            "method" => Reference::ConsumerMethod,
            _ => Reference::ConsumerCredential,
        },
        "claims" => {
            let first = name(cursor, "claims")?;
            Reference::Claim(path(cursor, vec![first])?.into_iter().collect())
        }
        "calls" => Reference::Call {
            name: name(cursor, "calls")?.into(),
            path: path(cursor, Vec::new())?.into_iter().collect(),
        },
        "response" => match field(cursor, "response", &RESPONSE_FIELDS)? {
            "status" => Reference::ResponseStatus,
            _ => Reference::ResponseHeader(header(cursor, "response.headers")?),
        },
        _ => return env(cursor, start),
    };
    if matches!(cursor.peek(), Some('.' | '[')) {
        return Err(cursor.error(format!("`{reference}` is one value and has no parts")));
    }
    Ok(Scanned::Reference(reference))
}

fn check_root(cursor: &Cursor<'_>, start: usize, root: &str, bounds: Bounds) -> Result<(), SyntaxError> {
    let Some((_, bit)) = NAMES.iter().find(|(known, _)| *known == root) else {
        let names = NAMES.map(|(name, _)| name);
        let guess = did_you_mean(root, names);
        let message = if guess.is_empty() {
            format!("there is no `{root}`; a reference starts with one of {}", names.join(", "))
        } else {
            format!("there is no `{root}`{guess}")
        };
        return Err(cursor.error_at(start, message));
    };
    if bounds.roots.contains(*bit) {
        return Ok(());
    }
    let what = bounds.what;
    let message = if *bit == Roots::CALLS {
        format!("`calls` is not known {what}: only the plugin that makes the calls sees their answers")
    } else {
        format!("`{root}` is not known yet {what}")
    };
    Err(cursor.error_at(start, message))
}

fn request(cursor: &mut Cursor<'_>, bounds: Bounds) -> Result<Reference, SyntaxError> {
    let start = cursor.at();
    Ok(match field(cursor, "request", &REQUEST_FIELDS)? {
        "method" => Reference::Method,
        "path" => Reference::Path,
        "host" => Reference::Host,
        "client_ip" => Reference::ClientIp,
        "id" => Reference::RequestId,
        // Whoever may ask for the consumer asks after the route is found.
        "route" if bounds.roots.contains(Roots::CONSUMER) => Reference::Route,
        "route" => return Err(cursor.error_at(start, format!("`request.route` is not known yet {}", bounds.what))),
        "headers" => Reference::Header(header(cursor, "request.headers")?),
        "query" => Reference::Query(name(cursor, "request.query")?.into()),
        _ => Reference::Cookie(name(cursor, "request.cookies")?.into()),
    })
}

/// Reads `.field` where the fields are ours and closed.
fn field<'s>(cursor: &mut Cursor<'s>, owner: &str, known: &[&'static str]) -> Result<&'s str, SyntaxError> {
    let list = || known.join(", ");
    if !cursor.eat(".") {
        return Err(cursor.error(format!("`{owner}` needs a field, one of {}", list())));
    }
    let start = cursor.at();
    let word = cursor.take_name();
    if known.contains(&word) {
        return Ok(word);
    }
    let guess = match ALIASES.iter().find(|(of, other, _)| *of == owner && *other == word) {
        Some((.., ours)) => format!("; did you mean `{ours}`?"),
        None => did_you_mean(word, known.iter().copied()),
    };
    let message = if guess.is_empty() {
        format!("`{owner}` has no `{word}`; it has {}", list())
    } else {
        format!("`{owner}` has no `{word}`{guess}")
    };
    Err(cursor.error_at(start, message))
}

/// Reads `.NAME` or `["NAME"]` where the name is the user's, and must be there.
fn name(cursor: &mut Cursor<'_>, owner: &str) -> Result<String, SyntaxError> {
    member(cursor)?.ok_or_else(|| cursor.error(format!("`{owner}` needs a name: `{owner}.NAME`")))
}

fn header(cursor: &mut Cursor<'_>, owner: &str) -> Result<HeaderName, SyntaxError> {
    let start = cursor.at();
    let name = name(cursor, owner)?;
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| cursor.error_at(start, format!("`{}` is not a header name", name.escape_debug())))
}

fn path(cursor: &mut Cursor<'_>, mut keys: Vec<String>) -> Result<Vec<String>, SyntaxError> {
    while let Some(key) = member(cursor)? {
        keys.push(key);
    }
    Ok(keys)
}

fn member(cursor: &mut Cursor<'_>) -> Result<Option<String>, SyntaxError> {
    if cursor.eat(".") {
        let name = cursor.take_name();
        return if name.is_empty() {
            Err(cursor.error("expected a name after `.`; write an unusual one as `[\"…\"]`"))
        } else {
            Ok(Some(name.to_owned()))
        };
    }
    let open = cursor.at();
    if !cursor.eat("[") {
        return Ok(None);
    }
    let key = match cursor.peek() {
        Some('"' | '\'') => cursor.quoted()?,
        _ => cursor.take_while(|c| c.is_ascii_digit()).to_owned(),
    };
    if key.is_empty() {
        return Err(cursor.error("expected a quoted name or a number after `[`"));
    }
    if !cursor.eat("]") {
        return Err(cursor.error_at(open, "this `[` is never closed"));
    }
    Ok(Some(key))
}

fn env(cursor: &mut Cursor<'_>, start: usize) -> Result<Scanned, SyntaxError> {
    let name = name(cursor, "env")?;
    match std::env::var(&name) {
        Ok(value) => Ok(Scanned::Env { name, value: Some(value).filter(|value| !value.is_empty()) }),
        Err(std::env::VarError::NotPresent) => Ok(Scanned::Env { name, value: None }),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(cursor.error_at(start, format!("`{name}` in the environment is not UTF-8")))
        }
    }
}

/// The message for a variable that is needed and not there.
pub(crate) fn unset(name: &str) -> String {
    format!("the environment variable `{}` is not set, or empty", name.escape_debug())
}
