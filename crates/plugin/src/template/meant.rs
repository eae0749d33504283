//! Plain text where a template is wanted: what was probably meant, also by those who come from other gateways.

use super::{AtRequest, Phase, Template};

/// What others call a value, and what it is called here. Sorted by nothing; looked through at load only.
const ELSEWHERE: [(&str, &str); 34] = [
    // nginx
    ("remote_addr", "request.client_ip"),
    ("binary_remote_addr", "request.client_ip"),
    ("realip_remote_addr", "request.client_ip"),
    ("proxy_protocol_addr", "request.client_ip"),
    ("remote_user", "consumer.id"),
    ("request_method", "request.method"),
    ("request_id", "request.id"),
    ("request_uri", "request.path"),
    ("document_uri", "request.path"),
    ("uri", "request.path"),
    ("http_host", "request.host"),
    ("server_name", "request.host"),
    ("jwt_claim_sub", "claims.sub"),
    // Kong and APISIX
    ("consumer", "consumer.id"),
    ("consumer_name", "consumer.id"),
    ("credential", "consumer.id"),
    ("ip", "request.client_ip"),
    ("client_ip", "request.client_ip"),
    // Envoy, HAProxy, Traefik, KrakenD
    ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "request.client_ip"),
    ("DOWNSTREAM_REMOTE_ADDRESS", "request.client_ip"),
    ("remote_address", "request.client_ip"),
    ("source_ip", "request.client_ip"),
    ("src", "request.client_ip"),
    ("ipStrategy", "request.client_ip"),
    ("requestHost", "request.host"),
    ("method", "request.method"),
    ("path", "request.path"),
    ("host", "request.host"),
    // What people say
    ("request.ip", "request.client_ip"),
    ("request.remote_addr", "request.client_ip"),
    ("user", "consumer.id"),
    ("user_id", "consumer.id"),
    ("sub", "claims.sub"),
    ("tier", "consumer.tier"),
];

/// How others begin the name of a header, a query parameter or a cookie, or a claim.
const BEGINNINGS: [(&str, &str, &str); 17] = [
    ("http_", "", "request.headers."),
    ("sent_http_", "", "request.headers."),
    ("arg_", "", "request.query."),
    ("cookie_", "", "request.cookies."),
    ("REQ(", ")", "request.headers."),
    ("req.hdr(", ")", "request.headers."),
    ("req.fhdr(", ")", "request.headers."),
    ("url_param(", ")", "request.query."),
    ("req.cook(", ")", "request.cookies."),
    ("request.header.", "", "request.headers."),
    ("headers.", "", "request.headers."),
    ("header.", "", "request.headers."),
    ("header:", "", "request.headers."),
    ("query.", "", "request.query."),
    ("cookies.", "", "request.cookies."),
    ("jwt.", "", "claims."),
    ("token.", "", "claims."),
];

/// What stands around a name in other languages of templates.
const AROUND: [(&str, &str); 9] =
    [("{{", "}}"), ("${", "}"), ("$(", ")"), ("%{", "}"), ("%[", "]"), ("{", "}"), ("%", "%"), ("$", ""), ("", "")];

/// The template that a plain text was probably meant to be: `${claims.sub}` for `claims.sub`, `${request.client_ip}` for
/// `$remote_addr`.
fn meant<P: Phase>(text: &str) -> Option<String> {
    let text = text.trim();
    AROUND.iter().find_map(|(before, after)| {
        let name = text.strip_prefix(before)?.strip_suffix(after)?.trim();
        let known = ELSEWHERE.iter().find(|(other, _)| *other == name).map(|(_, here)| (*here).to_owned());
        let part = BEGINNINGS.iter().find_map(|(begin, end, here)| {
            let part = name.strip_prefix(begin)?.strip_suffix(end)?;
            let is_header = here.contains("headers");
            Some(format!(
                "{here}{}",
                if is_header { part.to_ascii_lowercase().replace('_', "-") } else { part.to_owned() }
            ))
        });
        [Some(name.to_owned()), known, part].into_iter().flatten().find_map(|name| {
            let template = format!("${{{name}}}");
            Template::<P>::parse(&template).is_ok_and(|template| !template.is_literal()).then_some(template)
        })
    })
}

impl<P: Phase> Template<P> {
    /// Refuses a text that is the same for every request, for places where that would put all of them together.
    ///
    /// # Errors
    /// What is wrong, with the template that was probably meant.
    pub fn must_vary(&self) -> Result<(), String> {
        if !self.is_literal() {
            return Ok(());
        }
        let hint = match meant::<P>(self.source()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => "write a template, such as ${consumer.id} or ${request.headers.x-team}".to_owned(),
        };
        let text: String = self.source().chars().take(60).collect();
        Err(format!("{text:?} is plain text, the same for every request; {hint}"))
    }

    /// Refuses a text that is the same for every request and looks as if it was meant to be a template.
    ///
    /// # Errors
    /// As [`Template::must_vary`].
    pub fn must_not_look_like_one(&self) -> Result<(), String> {
        match meant::<AtRequest>(self.source()) {
            Some(_) => self.must_vary(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(text: &str) -> Option<String> {
        let refused = Template::<AtRequest>::parse(text).unwrap().must_vary().unwrap_err();
        let (_, meant) = refused.split_once("did you mean \"")?;
        Some(meant.trim_end_matches("\"?").to_owned())
    }

    #[test]
    fn plain_text_is_told_with_the_template_that_was_meant() {
        for (text, meant) in [
            ("claims.sub", "${claims.sub}"),
            ("{consumer.id}", "${consumer.id}"),
            ("{{ consumer.id }}", "${consumer.id}"),
            ("$consumer.id", "${consumer.id}"),
            ("$remote_addr", "${request.client_ip}"),
            ("$binary_remote_addr", "${request.client_ip}"),
            ("$http_x_team", "${request.headers.x-team}"),
            ("$arg_page", "${request.query.page}"),
            ("%REQ(X-Team)%", "${request.headers.x-team}"),
            ("%[src]", "${request.client_ip}"),
            ("req.hdr(X-Team)", "${request.headers.x-team}"),
            ("consumer", "${consumer.id}"),
            ("request.ip", "${request.client_ip}"),
        ] {
            assert_eq!(hint(text).as_deref(), Some(meant), "{text}");
        }
        assert_eq!((hint("everybody"), hint("")), (None, None));
    }

    #[test]
    fn what_differs_from_request_to_request_is_fine() {
        for text in ["${consumer.id}", "a-${request.path}", "${claims.sub:-nobody}"] {
            assert_eq!(Template::<AtRequest>::parse(text).unwrap().must_vary(), Ok(()));
        }
        assert_eq!(Template::<AtRequest>::parse("free").unwrap().must_not_look_like_one(), Ok(()));
        assert!(Template::<AtRequest>::parse("claims.plan").unwrap().must_not_look_like_one().is_err());
    }

    #[test]
    fn every_word_of_others_leads_to_something_that_there_is_here() {
        for (other, here) in ELSEWHERE {
            assert!(Template::<AtRequest>::parse(&format!("${{{here}}}")).is_ok(), "{here}");
            assert!(meant::<AtRequest>(other).is_some(), "{other}");
        }
    }
}
