//! Parameters of a query as servers read them, which is not one way: for plugins that set or remove one and mean it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Whether some server takes a parameter that is written `written` (encoded, as it stands in the query) for `name` (decoded).
///
/// Beside the same name that is: another letter case (ASP.NET), `name[…]` (PHP, Rack, Express make a list of both), `.` and
/// space for `_`, spaces before it, and anything behind a NUL (PHP).
pub fn reads_as(written: &str, name: &str) -> bool {
    let spaced: Cow<'_, str> = if written.contains('+') { written.replace('+', " ").into() } else { written.into() };
    let decoded = percent_decode_str(&spaced).decode_utf8_lossy();
    normal(&decoded).eq(normal(name))
}

fn normal(name: &str) -> impl Iterator<Item = char> {
    let name = name.trim_start_matches(' ');
    // A name that begins with a bracket is no list of another.
    let end = name.char_indices().skip(1).find(|(_, c)| *c == '[').map_or(name.len(), |(at, _)| at);
    let name = name.get(..end).unwrap_or(name);
    let name = name.split('\0').next().unwrap_or(name);
    name.chars().map(|c| if matches!(c, '.' | ' ') { '_' } else { c.to_ascii_lowercase() })
}

/// The parameters of a query, each as it stands there: between `&`, and between `;` as well, which some servers take for the
/// same (HTML 4.01 appendix B.2.2).
pub fn pairs(query: &str) -> impl Iterator<Item = &str> {
    query.split(['&', ';'])
}

/// The name of a parameter, encoded as it stands there.
pub fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

/// The query without the parameters that some server takes for one of `names`: what is left stands as the client wrote it.
/// Borrowed if there was none.
pub fn without<'q, N: AsRef<str>>(query: &'q str, names: &[N]) -> Cow<'q, str> {
    let goes = |pair: &str| names.iter().any(|name| reads_as(name_of(pair), name.as_ref()));
    if !pairs(query).any(goes) {
        return Cow::Borrowed(query);
    }
    let mut left = String::with_capacity(query.len());
    for group in query.split('&') {
        let mut is_first = true;
        for pair in group.split(';').filter(|pair| !goes(pair)) {
            if !left.is_empty() {
                left.push(if is_first { '&' } else { ';' });
            }
            left.push_str(pair);
            is_first = false;
        }
    }
    Cow::Owned(left)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_parameter_goes_wherever_some_server_sees_it() {
        for (query, left) in [
            ("user=root", ""),
            ("a=1&user=root&b=2", "a=1&b=2"),
            ("a=1;user=root", "a=1"),
            ("user=root;a=1&b=2", "a=1&b=2"),
            ("a=1;user=root;b=2&c", "a=1;b=2&c"),
            ("a;user;user=x&&b", "a&&b"),
            ("%75ser=root&a=1", "a=1"),
            ("user[]=root&user[0]=a&user%5b%5d=b&a=1", "a=1"),
            ("USER=root&+user=a&user%00x=b", ""),
            ("a=user&users=1&user-=2&a[user]=3&[user=4", "a=user&users=1&user-=2&a[user]=3&[user=4"),
            ("a=1%3Buser=root", "a=1%3Buser=root"),
        ] {
            assert_eq!(without(query, &["user"]), left, "{query}");
        }
        assert_eq!(without("user.id=1&user+id=2&user_id=3&user-id=4", &["user_id"]), "user-id=4");
        assert!(matches!(without("a=1;b=2&c", &["user"]), Cow::Borrowed("a=1;b=2&c")));
    }

    proptest! {
        #[test]
        fn no_server_finds_what_was_taken_out(query in "[abuser=&;%+\\[\\]5d0U.]{0,40}") {
            let left = without(&query, &["user", "b"]);
            // What a server does that splits so, and decodes then.
            for separators in [&['&'][..], &['&', ';']] {
                for pair in left.split(separators) {
                    let name = percent_decode_str(&name_of(pair).replace('+', " ")).decode_utf8_lossy().into_owned();
                    let php = name.trim_start_matches(' ').replace(['.', ' '], "_");
                    let seen = [name.to_ascii_lowercase(), php.split('[').next().unwrap_or_default().to_ascii_lowercase()];
                    prop_assert!(!seen.iter().any(|name| name == "user" || name == "b"), "{} leaves {}", query, left);
                }
            }
            // Nothing else goes, and nothing moves.
            let kept = |text: &str| pairs(text).filter(|pair| !["user", "b"].iter().any(|name| reads_as(name_of(pair), name)))
                .filter(|pair| !pair.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(kept(&query), kept(&left));
        }
    }
}
