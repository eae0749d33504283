//! Reading certificates: their names, their time, their subject as text. rustls verifies them; this only tells.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use jiff::Timestamp;
use portreeve_plugin::ClientCertificate;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Reads a certificate. `None` when it is none.
pub(super) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, certificate)| certificate)
}

/// What plugins may know of a client's certificate.
pub(super) fn client(der: &[u8]) -> Option<ClientCertificate> {
    let certificate = parse(der)?;
    let not_after = moment(certificate.validity().not_after.timestamp());
    let client = ClientCertificate::new(&name(certificate.subject()), sha256(&[der]), not_after);
    Some(names(&certificate).fold(client, |client, name| client.with_name(&name)))
}

/// SHA-256 of these bytes, one after the other.
pub(crate) fn sha256<'b>(parts: impl IntoIterator<Item = &'b &'b [u8]>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.into_iter().for_each(|part| context.update(part));
    // SHA-256 has 32 bytes.
    context.finish().as_ref().try_into().unwrap_or_default()
}

/// The subject alternative names that are text, each with its kind before it, as OpenSSL prints them.
fn names(certificate: &X509Certificate<'_>) -> impl Iterator<Item = String> {
    alternative(certificate).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
        GeneralName::URI(uri) => Some(format!("URI:{uri}")),
        GeneralName::RFC822Name(address) => Some(format!("email:{address}")),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| format!("IP:{address}")),
        _ => None,
    })
}

/// The hosts a certificate is for: names as they stand in it, and whether it has addresses beside or instead of them.
pub(super) fn hosts(certificate: &X509Certificate<'_>) -> (Vec<String>, bool) {
    let mut has_addresses = false;
    let names = alternative(certificate).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(_) => {
            has_addresses = true;
            None
        }
        _ => None,
    });
    (names.collect(), has_addresses)
}

fn alternative<'c>(certificate: &'c X509Certificate<'_>) -> impl Iterator<Item = &'c GeneralName<'c>> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    extension.into_iter().flat_map(|extension| &extension.value.general_names)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// A name as text: its parts in the order of the certificate, `O=Example, CN=billing`. What would read as another part is
/// escaped (RFC 4514 §2.4), so that no two names have one text.
pub(super) fn name(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for part in name.iter_rdn() {
        for (position, attribute) in part.iter().enumerate() {
            text.push_str(match (text.is_empty(), position) {
                (true, _) => "",
                (false, 0) => ", ",
                (false, _) => "+",
            });
            push_attribute(&mut text, attribute);
        }
    }
    text
}

fn push_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    match oid2abbrev(attribute.attr_type(), oid_registry()) {
        Ok(short) => text.push_str(short),
        Err(_) => text.push_str(&attribute.attr_type().to_id_string()),
    }
    text.push('=');
    let Ok(value) = attribute.as_str() else {
        text.push('#');
        for byte in attribute.attr_value().data {
            // Writing into a text cannot fail.
            write!(text, "{byte:02x}").ok();
        }
        return;
    };
    let last = value.chars().count().saturating_sub(1);
    for (position, character) in value.chars().enumerate() {
        let at_edge = (position == 0 && matches!(character, ' ' | '#')) || (position == last && character == ' ');
        if at_edge || matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=') {
            text.push('\\');
            text.push(character);
        } else if character.is_control() {
            write!(text, "\\{:02x}", u32::from(character)).ok();
        } else {
            text.push(character);
        }
    }
}

/// Seconds since 1970 as a moment; what lies before is 1970.
pub(crate) fn moment(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// The day and minute of a moment, for people.
pub(super) fn day(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(moment) => moment.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => format!("second {seconds} since 1970"),
    }
}

/// Now, in seconds since 1970.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_second()
}
