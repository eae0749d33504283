//! Whose requests belong together: the `by` of limiters, read from the file and turned into 128 bits for each request.
//!
//! A key is never held: entries have one size whatever a client sends, and no address or name stays in memory.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::Template;
use crate::cx::RequestCx;
use crate::limits::{NoAccount, Subject};
use crate::template::{Reference, Roots};

/// Whose requests belong together: a template, the client's network, or several of them together; or `all` requests. Other
/// plain text is refused: it would put all requests together in silence.
#[derive(Debug, Clone)]
pub struct Key(Box<[Part]>);

#[derive(Debug, Clone)]
enum Part {
    Template(Template),
    Network(ClientNetwork),
}

/// The network of the client: so many leading bits of its address.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ClientNetwork {
    /// Leading bits of an IPv4 address that make a network; 32 is every address by itself.
    #[serde(default = "v4_prefix")]
    #[schemars(range(max = 32))]
    v4: u8,
    /// Leading bits of an IPv6 address that make a network. Providers hand a customer 64 bits or more to choose from.
    #[serde(default = "v6_prefix")]
    #[schemars(range(max = 128))]
    v6: u8,
}

/// The client's network.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NetworkForm {
    /// The network of the client: so many leading bits of its address.
    client_network: ClientNetwork,
}

fn v4_prefix() -> u8 {
    32
}

fn v6_prefix() -> u8 {
    64
}

/// Why a request has no key: this part of it has no value, or an empty one.
#[derive(Debug, Clone, Copy)]
pub struct NoKey<'k>(&'k Template);

impl Key {
    /// Feeds what identifies the request to `sink`, each part with its length, so that no two keys read alike.
    ///
    /// # Errors
    /// When a part has no value, or an empty one: nobody is counted under the name of nothing.
    pub fn feed(&self, cx: &RequestCx<'_>, sink: &mut impl Hasher) -> Result<(), NoKey<'_>> {
        for part in &self.0 {
            match part {
                Part::Template(template) => {
                    let text = cx.render(template).filter(|text| !text.is_empty()).ok_or(NoKey(template))?;
                    feed_text(&text, sink);
                }
                Part::Network(network) => network.feed(cx.client_ip(), sink),
            }
        }
        Ok(())
    }
}

impl Key {
    /// Feeds what the requests of a subject feed, without one: what `subject.key` says the parts are, or what its consumer
    /// makes of them.
    ///
    /// # Errors
    /// When the key is not made of the consumer alone, or has other parts.
    pub fn feed_subject(&self, subject: &Subject, sink: &mut impl Hasher) -> Result<(), NoAccount> {
        let not_counted = |why: &str| NoAccount::NotCounted(why.to_owned());
        if subject.key.is_empty() {
            return self.feed_consumer(subject, sink);
        }
        if subject.key.len() != self.0.len() {
            let (given, wanted) = (subject.key.len(), self.0.len());
            return Err(NoAccount::NotCounted(format!("its key has {wanted} parts, and {given} are given")));
        }
        for (part, text) in self.0.iter().zip(&subject.key) {
            match part {
                Part::Template(_) if text.is_empty() => return Err(not_counted("an empty text is nobody's key")),
                Part::Template(_) => feed_text(text, sink),
                Part::Network(network) => {
                    let address = text.split_once('/').map_or(&**text, |(address, _)| address);
                    let address =
                        address.parse().map_err(|_| not_counted("a part of its key is a network; give an address"))?;
                    network.feed(address, sink);
                }
            }
        }
        Ok(())
    }

    fn feed_consumer(&self, subject: &Subject, sink: &mut impl Hasher) -> Result<(), NoAccount> {
        let not_counted = |why: String| Err(NoAccount::NotCounted(why));
        let templates = self.0.iter().map(|part| match part {
            Part::Template(template) => Some(template),
            Part::Network(_) => None,
        });
        let Some(templates) = templates.collect::<Option<Vec<_>>>() else {
            return not_counted("its key has the client's network in it; give key".to_owned());
        };
        let references = || templates.iter().flat_map(|template| template.references());
        if let Some(other) = references().find(|reference| reference.root() != Roots::CONSUMER) {
            return not_counted(format!("its key has ${{{other}}} in it; give key"));
        }
        if !references().any(|reference| *reference == Reference::ConsumerId) {
            return not_counted("its key is shared by consumers; give key".to_owned());
        }
        for template in templates {
            match template.render(&*subject.consumer).filter(|text| !text.is_empty()) {
                Some(text) => feed_text(&text, sink),
                None => return not_counted(format!("`{template}` has no value for what is known of the consumer")),
            }
        }
        Ok(())
    }
}

fn feed_text(text: &str, sink: &mut impl Hasher) {
    sink.write_usize(text.len());
    sink.write(text.as_bytes());
}

impl ClientNetwork {
    fn feed(self, address: IpAddr, sink: &mut impl Hasher) {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.v4.min(32))).unwrap_or(0);
                sink.write_u8(4);
                sink.write_u32(address.to_bits() & mask);
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.v6.min(128))).unwrap_or(0);
                sink.write_u8(6);
                sink.write_u128(address.to_bits() & mask);
            }
        }
    }
}

/// Turns keys into 128 bits under random seeds, so that nobody can look for two keys that meet. Among a million keys the
/// chance that any two meet by themselves is below 10⁻²⁶.
#[derive(Debug, Clone, Default)]
pub struct Seeds([RandomState; 2]);

impl Seeds {
    /// The 128 bits of this request's key.
    ///
    /// # Errors
    /// As [`Key::feed`].
    pub fn digest<'k>(&self, key: &'k Key, cx: &RequestCx<'_>) -> Result<u128, NoKey<'k>> {
        let mut both = Both(self.0.each_ref().map(BuildHasher::build_hasher));
        key.feed(cx, &mut both)?;
        Ok(both.finish_wide())
    }

    /// The 128 bits of the key that a subject's requests have.
    ///
    /// # Errors
    /// As [`Key::feed_subject`].
    pub fn digest_of_subject(&self, key: &Key, subject: &Subject) -> Result<u128, NoAccount> {
        let mut both = Both(self.0.each_ref().map(BuildHasher::build_hasher));
        key.feed_subject(subject, &mut both)?;
        Ok(both.finish_wide())
    }

    /// The 128 bits of a key that is a text.
    pub fn digest_of(&self, text: &str) -> u128 {
        let mut both = Both(self.0.each_ref().map(BuildHasher::build_hasher));
        feed_text(text, &mut both);
        both.finish_wide()
    }
}

/// Two hashers with seeds of their own, fed alike.
struct Both([std::hash::DefaultHasher; 2]);

impl Both {
    fn finish_wide(&self) -> u128 {
        let [high, low] = self.0.each_ref().map(Hasher::finish);
        u128::from(high) << 64 | u128::from(low)
    }
}

impl Hasher for Both {
    fn write(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|hasher| hasher.write(bytes));
    }

    fn finish(&self) -> u64 {
        let [high, _] = &self.0;
        high.finish()
    }
}

/// The one plain text that is a key: that of all requests together.
const EVERYBODY: &str = "all";

#[derive(Deserialize)]
#[serde(untagged)]
enum PartForm {
    Text(Template),
    Network(NetworkForm),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Many(Vec<PartForm>),
    One(PartForm),
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = match Form::deserialize(deserializer)? {
            Form::One(part) => vec![part],
            Form::Many(parts) => parts,
        };
        let is_alone = parts.len() == 1;
        let parts = parts.into_iter().map(|part| match part {
            PartForm::Text(template) if template.as_literal() == Some("") => {
                Err(de::Error::custom("an empty text is nobody's key; write a template such as ${consumer.id}"))
            }
            PartForm::Text(template) if is_alone && template.source() == EVERYBODY => Ok(Part::Template(template)),
            PartForm::Text(template) if template.is_literal() => {
                let why = template.must_vary().err().unwrap_or_default();
                Err(de::Error::custom(format!("{why}; {EVERYBODY} counts all requests together")))
            }
            PartForm::Text(template) => Ok(Part::Template(template)),
            PartForm::Network(form) => Ok(Part::Network(form.client_network)),
        });
        let parts = parts.collect::<Result<Box<[_]>, D::Error>>()?;
        if parts.is_empty() {
            return Err(de::Error::custom("an empty list is nobody's key"));
        }
        Ok(Self(parts))
    }
}

impl JsonSchema for Key {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (text, network) =
            (Template::<crate::template::AtRequest>::json_schema(generator), generator.subschema_for::<NetworkForm>());
        json_schema!({
            "anyOf": [text, network, { "type": "array", "items": { "anyOf": [text, network] }, "minItems": 1 }],
            "x-expected": "a template such as ${consumer.id}, all, { client_network: { v4: 24, v6: 64 } }, or a list of these",
        })
    }
}

impl fmt::Display for NoKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` has no value", self.0)
    }
}
