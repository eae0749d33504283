//! `acme`: what an authority would refuse, or nobody would use, said before anybody is asked.

use std::collections::HashMap;

use crate::path::ConfigPath;
use crate::report::Report;
use crate::yaml::{Node, Span};

/// Names in one certificate, as the largest authority has it.
const MAX_NAMES: usize = 100;

pub(super) fn check(root: &Node, report: &mut Report) {
    let account = root.entry("acme");
    let mut asked = false;
    for (index, listener) in root.get("listeners").map(Node::items).unwrap_or_default().iter().enumerate() {
        let path = ConfigPath::root().key("listeners").index(index).key("tls");
        let Some(tls) = listener.entry("tls").filter(|tls| !tls.value.is_unknown()) else { continue };
        let Some(names) = tls.value.entry("acme") else {
            if tls.value.get("certificates").is_none() && tls.value.to_json().is_object() {
                let message = "no certificate: give certificates, or acme with the names to ask for";
                report.error(path, tls.key.span, message);
            }
            continue;
        };
        asked = true;
        let path = path.key("acme");
        if account.is_none() {
            let message =
                "with which authority? Add a section acme with directory, store and agree_to_terms at the top";
            report.error(path.clone(), names.key.span, message);
        }
        check_names(&names.value, &path, report);
    }
    let Some(account) = account else { return };
    let path = ConfigPath::root().key("acme");
    if !asked && root.get("listeners").is_some() {
        let message = "no listener asks for a certificate; add tls: { acme: [api.example.com] } to one";
        report.error(path.clone(), account.key.span, message);
    }
    check_account(root, &account.value, account.key.span, &path, report);
}

fn check_account(root: &Node, account: &Node, at: Span, path: &ConfigPath, report: &mut Report) {
    if let Some(agree) = account.get("agree_to_terms").filter(|agree| agree.to_json() == false) {
        let message = "authorities give certificates only to those who agree to their terms; read them and write true";
        report.error(path.key("agree_to_terms"), agree.span, message);
    }
    if let Some(directory) = account.get("directory")
        && let Some(url) = directory.str()
        && !url.is_empty()
        && !is_https(url)
    {
        let message = format!("{url:?} is no https URL, as https://acme-v02.api.letsencrypt.org/directory is");
        report.error(path.key("directory"), directory.span, message);
    }
    for (index, contact) in account.get("contact").map(Node::items).unwrap_or_default().iter().enumerate() {
        let address = contact.str().and_then(|text| text.strip_prefix("mailto:"));
        if contact.str().is_some() && !address.is_some_and(|address| address.contains('@')) {
            let message = "a contact is written as mailto:ops@example.com";
            report.error(path.key("contact").index(index), contact.span, message);
        }
    }
    let challenge = account.get("challenge");
    let by_http = challenge.is_none_or(|challenge| challenge.str() == Some("http-01"));
    let listeners = root.get("listeners").map(Node::items).unwrap_or_default();
    let is_in_clear = |listener: &Node| listener.get("tls").is_none() && listener.get("tcp").is_none();
    if by_http && !listeners.is_empty() && !listeners.iter().any(is_in_clear) {
        let message = "http-01 wants a listener in clear, which the authority reaches as port 80 of the names; add one, or write challenge: tls-alpn-01";
        let (path, span) = challenge.map_or((path.clone(), at), |challenge| (path.key("challenge"), challenge.span));
        report.error(path, span, message);
    }
}

fn is_https(url: &str) -> bool {
    let rest = url.strip_prefix("https://");
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}

fn check_names(names: &Node, path: &ConfigPath, report: &mut Report) {
    let mut first: HashMap<String, Span> = HashMap::new();
    for (index, name) in names.items().iter().enumerate() {
        let Some(text) = name.str() else { continue };
        let path = path.index(index);
        if let Err(message) = public_name(text) {
            report.error(path, name.span, format!("{text:?} {message}"));
        } else if let Some(first) = first.insert(text.to_ascii_lowercase(), name.span) {
            let others = vec![("first here".to_owned(), first)];
            report.error_with(path, name.span, format!("{text:?} stands twice in this list"), others);
        }
    }
    if names.items().len() > MAX_NAMES {
        let message = format!("authorities put at most {MAX_NAMES} names into one certificate; use several listeners");
        report.error(path.clone(), names.span, message);
    }
}

/// Whether an authority could give a certificate for it, by the challenges there are here.
fn public_name(name: &str) -> Result<(), &'static str> {
    if name.starts_with("*.") {
        return Err(
            "is a wildcard: authorities prove those over DNS only (dns-01), which the gateway does not do; name the hosts, or use certificates",
        );
    }
    if name.parse::<std::net::IpAddr>().is_ok() {
        return Err("is an address: authorities give certificates for names; use certificates for it");
    }
    if !name.is_ascii() {
        return Err("is not in ASCII; write it as DNS has it, with xn--");
    }
    if name.ends_with('.') {
        return Err("ends with a dot; leave it out");
    }
    let is_label = |label: &str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&label.len()) && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err("is no host name: labels of letters, digits and hyphens with dots between, as in api.example.com");
    }
    let Some((_, top)) = name.rsplit_once('.') else {
        return Err("has no dot: authorities know names in the public DNS only, as api.example.com");
    };
    if top.bytes().all(|byte| byte.is_ascii_digit()) || ["local", "localhost", "internal"].contains(&top) {
        return Err("is not in the public DNS, so no authority can look at it; use certificates for it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_public_dns_can_be_asked_for_and_others_cannot() {
        for name in ["example.com", "API.example.com", "a-b.c1.example", "xn--bcher-kva.example", "a.test"] {
            assert_eq!(public_name(name), Ok(()), "{name}");
        }
        for (name, says) in [
            ("*.example.com", "is a wildcard"),
            ("192.0.2.1", "is an address"),
            ("2001:db8::1", "is an address"),
            ("bücher.example", "is not in ASCII"),
            ("example.com.", "ends with a dot"),
            ("example", "has no dot"),
            ("a..b", "is no host name"),
            ("-a.example", "is no host name"),
            ("a_b.example", "is no host name"),
            ("", "is no host name"),
            ("db.internal", "is not in the public DNS"),
            ("1.2.3.4.5", "is not in the public DNS"),
        ] {
            assert!(public_name(name).is_err_and(|why| why.starts_with(says)), "{name}");
        }
    }
}
