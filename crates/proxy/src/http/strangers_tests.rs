//! What is taken of what strangers say, and what passes.

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> HeaderName {
    HeaderName::from_bytes(text.as_bytes()).unwrap()
}

/// What a stranger, or a trusted proxy, still says when this has been taken off.
fn left(strangers: &Strangers, fields: &[&str], is_of_trusted: bool) -> Vec<String> {
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    for field in fields {
        head.append_header((*field).to_owned(), "1").unwrap();
    }
    strangers.strip(&mut head, is_of_trusted);
    fields.iter().filter(|field| head.headers.contains_key(**field)).map(|field| (*field).to_owned()).collect()
}

#[test]
fn what_targets_believe_of_gateways_is_taken_in_every_spelling() {
    let strangers = Fields::default().compile();
    let known = OF_PROXIES.into_iter().chain(OF_GATEWAYS).chain(OF_IDENTITY);
    let of_families = FAMILIES.into_iter().map(|family| format!("{}x", family.trim_end_matches('-').to_owned() + "-"));
    for known in known.map(str::to_owned).chain(of_families) {
        for separator in ['-', '_', '.', '~', '!'] {
            let spelt = known.replace('-', &separator.to_string());
            assert!(left(&strangers, &[&spelt], false).is_empty(), "{spelt}");
            assert!(strangers.knows(&name(&spelt)), "{spelt}");
        }
    }
    let usual = ["accept", "user-agent", "x-requested-with", "x-csrf-token", "x_debug", "ssl-off", "x-forwarder"];
    assert_eq!(left(&strangers, &usual, false), usual);
}

#[test]
fn trusted_proxies_speak_of_the_client_and_of_nothing_else() {
    let strangers = Fields::default().compile();
    let said = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-ssl"];
    assert_eq!(left(&strangers, &said, true), said);
    for forged in [
        "x_forwarded_for",
        "x-forwarded.proto",
        "x-forwarded_ssl",
        "x-forwarded-user",
        "x-forwarded-prefix",
        "x-user-id",
        "x-mirrored",
        "remote-user",
        "x-auth-request-email",
        "x-forwarded-client-cert",
    ] {
        assert!(left(&strangers, &[forged], true).is_empty(), "{forged}");
    }
}

#[test]
fn what_steps_set_is_taken_unless_something_reads_it_and_look_alikes_always() {
    let mut fields = Fields::default();
    fields.set(&name("x-tenant"));
    fields.set(&name("x_region"));
    fields.set(&name("x-trace"));
    fields.read(&name("x-trace"));
    fields.set(&name("content-type"));
    fields.removed(&name("x-debug"));
    fields.read(&name("x-api-key"));
    fields.read(&name("x-goog-iap-jwt-assertion"));
    fields.read(&name("x-user-id"));
    fields.told_by_proxies(&name("x-country"));
    let strangers = fields.compile();
    let passes = ["x-trace", "content-type", "x-debug", "x-api-key", "x-goog-iap-jwt-assertion", "x-other"];
    assert_eq!(left(&strangers, &passes, false), passes);
    for taken in [
        "x-tenant",
        "x_tenant",
        "x.tenant",
        "x-region",
        "x_region",
        "x_trace",
        "content_type",
        "x_debug",
        "x.api-key",
        "x-goog-iap-jwt_assertion",
        "x-goog-iap-id",
        "x-user-id",
        "x-country",
    ] {
        assert!(left(&strangers, &[taken], false).is_empty(), "{taken}");
    }
    assert_eq!(left(&strangers, &["x-country", "x_country", "x-tenant"], true), ["x-country"]);
}

#[test]
fn nothing_that_the_file_names_comes_behind_a_body() {
    let mut fields = Fields::default();
    fields.read(&name("x-api-key"));
    let strangers = fields.compile();
    assert!(strangers.knows(&name("x-api-key")) && strangers.knows(&name("x.api_key")));
    assert!(!strangers.knows(&name("grpc-status")) && !strangers.knows(&name("x-checksum")));
}

#[test]
fn names_that_some_take_for_each_other_are_alike() {
    let alike = |a: &'static str, b: &'static str| reads_as(&HeaderName::from_static(a), &HeaderName::from_static(b));
    assert!(alike("x-tier", "x-tier") && alike("x_tier", "x-tier") && alike("x-tier", "x.tier"));
    assert!(!alike("x-tier", "x-tie") && !alike("x-tier", "xxtier") && !alike("x-tiers", "x-tier"));
}

/// The rule, said as plainly as can be: every field against every name, as texts.
fn oracle(set: &[String], read: &[String], removed: &[String], field: &str, is_of_trusted: bool) -> bool {
    let dashed = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let normal = dashed(field);
    let of = |names: &[&str]| names.iter().any(|name| dashed(name) == normal);
    let named = |names: &[String]| names.iter().any(|name| dashed(name) == normal);
    let says = |names: &[String]| names.iter().any(|name| name == field);
    if of(&OF_PROXIES) {
        return is_of_trusted && field == normal;
    }
    if of(&OF_GATEWAYS) {
        return false;
    }
    let is_known = of(&OF_IDENTITY) || FAMILIES.iter().any(|family| normal.starts_with(family));
    if says(read) {
        return true;
    }
    if named(set) || named(read) || named(removed) {
        let is_left = says(removed) && !says(set) && !is_known;
        return is_left || (says(set) || says(removed)) && OF_CLIENTS.contains(&field);
    }
    if normal.starts_with("x-forwarded-") {
        return is_of_trusted && field == normal;
    }
    !is_known
}

/// Names of few letters, so that they meet; and those that are known.
fn spelling() -> impl Strategy<Value = String> {
    let known = OF_PROXIES.into_iter().chain(OF_GATEWAYS).chain(OF_IDENTITY).chain(OF_CLIENTS).chain(FAMILIES);
    let known = proptest::sample::select(known.collect::<Vec<_>>());
    let respelt = (known, proptest::collection::vec(proptest::sample::select(vec!['-', '_', '.', '-']), 6));
    let respelt = respelt.prop_map(|(name, separators)| {
        let mut separators = separators.into_iter().cycle();
        name.chars().map(|c| if c == '-' { separators.next().unwrap_or('-') } else { c }).collect::<String>()
    });
    prop_oneof![3 => "[ax][-_.][ab]", 1 => "[ax][-_.][ab][-_.~][a-b]{0,60}", 3 => respelt.clone(), 1 => respelt.prop_map(|name| name + "x")]
}

proptest! {
    #[test]
    fn what_passes_is_what_the_rule_says(
        set in proptest::collection::vec(spelling(), 0..5),
        read in proptest::collection::vec(spelling(), 0..5),
        removed in proptest::collection::vec(spelling(), 0..5),
        sent in proptest::collection::vec(spelling(), 1..12),
        is_of_trusted in any::<bool>(),
    ) {
        let mut fields = Fields::default();
        for text in &set {
            fields.set(&name(text));
        }
        for text in &read {
            fields.read(&name(text));
        }
        for text in &removed {
            fields.removed(&name(text));
        }
        let strangers = fields.compile();
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for field in &sent {
            head.append_header(field.clone(), "1").unwrap();
        }
        for field in &sent {
            let passes = oracle(&set, &read, &removed, field, is_of_trusted);
            prop_assert_eq!(strangers.passes(&name(field), is_of_trusted), passes, "{}", field);
        }
        for gone in strangers.taken(&head.headers, is_of_trusted) {
            prop_assert!(!oracle(&set, &read, &removed, gone.as_str(), is_of_trusted));
        }
    }
}
