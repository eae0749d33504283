//! Reads a parameter of a query and takes it out again. Both see names the same way, so that no spelling of the name is
//! read as the key and yet left in the URL.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;
use portreeve_plugin::query::{name_of, pairs, reads_as};

/// Every value of the parameter `name`, decoded as `application/x-www-form-urlencoded`; also of parameters that some server
/// takes for it, so that there is no other key beside the one that is looked at.
pub(crate) fn values<'q>(query: &'q str, name: &str) -> impl Iterator<Item = Cow<'q, str>> {
    let named = move |pair: &'q str| {
        let value = pair.split_once('=').map_or("", |(_, value)| value);
        reads_as(name_of(pair), name).then(|| decoded(value))
    };
    pairs(query).filter_map(named)
}

/// Path and query without the parameter `name`; `None` if it is not there.
pub(crate) fn without(uri: &Uri, name: &str) -> Option<String> {
    let Cow::Owned(others) = portreeve_plugin::query::without(uri.query()?, &[name]) else { return None };
    let path = uri.path();
    Some(if others.is_empty() { path.to_owned() } else { format!("{path}?{others}") })
}

fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}
