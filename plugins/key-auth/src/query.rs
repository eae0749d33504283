//! Reads a parameter of a query and takes it out again. Both see names the same way, so that no spelling of the name is
//! read as the key and yet left in the URL.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;

/// Every value of the parameter `name`, decoded as `application/x-www-form-urlencoded`.
pub(crate) fn values<'q>(query: &'q str, name: &str) -> impl Iterator<Item = Cow<'q, str>> {
    let named = move |pair: &'q str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key) == name).then(|| decoded(value))
    };
    query.split('&').filter_map(named)
}

/// Path and query without the parameter `name`; `None` if it is not there.
pub(crate) fn without(uri: &Uri, name: &str) -> Option<String> {
    let query = uri.query()?;
    let is_other = |pair: &&str| decoded(pair.split_once('=').map_or(*pair, |(key, _)| key)) != name;
    let others: Vec<&str> = query.split('&').filter(is_other).collect();
    if others.len() == query.split('&').count() {
        return None;
    }
    let (path, others) = (uri.path(), others.join("&"));
    Some(if others.is_empty() { path.to_owned() } else { format!("{path}?{others}") })
}

fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}
