//! The script that decides inside Redis: what it is told of limits and of a key, and how its answer is read.

use std::hash::Hasher;
use std::time::Duration;

use portreeve_plugin::prelude::*;
use portreeve_plugin::{Key, NoAccount, Subject};
use redis::{Script, ScriptInvocation, Value};

use crate::account::{Decision, Refusal, Standings};
use crate::meter::{Limit, Standing, Wait};

/// The beginning of time inside the script, in seconds since 1970.
const EPOCH: u64 = 1_735_689_600;

/// What the script is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Take so much or nothing.
    Decide(u64),
    /// Take as much as there is, from the first up to the second.
    Draw(u64, u64),
    /// Take so much in any case.
    Take(u64),
}

/// What the script did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) decision: Decision,
    /// How much was taken.
    pub(crate) granted: u64,
}

pub(crate) fn script() -> Script {
    Script::new(include_str!("decide.lua"))
}

/// The name of a key inside Redis: 128 bits of SHA-256, so that all nodes find the same, nobody can look for two keys that
/// meet, and no name or address is stored.
///
/// # Errors
/// As [`Key::feed`].
pub(crate) fn tag<'k>(name: &str, key: &'k Key, cx: &RequestCx<'_>) -> Result<u128, portreeve_plugin::NoKey<'k>> {
    let mut digest = Sha256::of(name);
    key.feed(cx, &mut digest)?;
    Ok(digest.half())
}

/// The same for a subject without a request.
///
/// # Errors
/// As [`Key::feed_subject`].
pub(crate) fn tag_of_subject(name: &str, key: &Key, subject: &Subject) -> Result<u128, NoAccount> {
    let mut digest = Sha256::of(name);
    key.feed_subject(subject, &mut digest)?;
    Ok(digest.half())
}

/// Numbers go in with one order of bytes: nodes may differ in theirs.
struct Sha256(aws_lc_rs::digest::Context);

impl Sha256 {
    fn of(name: &str) -> Self {
        let mut digest = Self(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256));
        digest.write_usize(name.len());
        digest.write(name.as_bytes());
        digest
    }

    fn half(self) -> u128 {
        let bytes = self.0.finish();
        u128::from_be_bytes(bytes.as_ref().first_chunk::<16>().copied().unwrap_or_default())
    }
}

impl Hasher for Sha256 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn write_u32(&mut self, number: u32) {
        self.write(&number.to_le_bytes());
    }

    fn write_u128(&mut self, number: u128) {
        self.write(&number.to_le_bytes());
    }

    fn write_usize(&mut self, number: usize) {
        self.write(&(number as u64).to_le_bytes());
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// Keys and arguments of one call.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub(crate) keys: Vec<String>,
    pub(crate) arguments: Vec<String>,
}

impl Words {
    /// What the script is told. `wall` is nanoseconds since 1970 on this node's clock: good enough to name some periods of
    /// a calendar, among which the server's clock chooses.
    pub(crate) fn new(prefix: &str, tag: u128, limits: &[Limit], ask: Ask, wall: u64) -> Self {
        let (mode, cost, wish) = match ask {
            Ask::Decide(cost) => ("decide", cost, cost),
            Ask::Draw(cost, wish) => ("draw", cost, wish.max(cost)),
            Ask::Take(cost) => ("take", cost, cost),
        };
        let mut words = Self::default();
        words.arguments.extend([mode.to_owned(), cost.to_string(), wish.to_string()]);
        let mut buckets = 0;
        for limit in limits {
            let (what, kind, most, [x, y]) = match limit {
                Limit::Window(window) => {
                    let (span, slot) = (window.span / 1000, (window.slot / 1000).max(1));
                    (format!("w{span}"), "w", window.count, [span.to_string(), slot.to_string()])
                }
                Limit::Bucket(bucket) => {
                    let interval = Duration::from_nanos(bucket.interval).as_secs_f64() * 1e6;
                    let shape = [format!("{interval:.6}"), u8::from(bucket.is_smooth).to_string()];
                    buckets += 1;
                    (format!("b{buckets}"), "b", bucket.burst, shape)
                }
                Limit::Calendar(calendar) => {
                    let micros = |end: u64| (end / 1000).saturating_sub(EPOCH * 1_000_000).to_string();
                    let ends = calendar.around(wall).map(micros).join(" ");
                    (format!("c{}", calendar.period.as_str()), "c", calendar.count, [ends, String::new()])
                }
            };
            // All keys of one decision have one tag in braces, and so one slot of a cluster.
            words.keys.push(format!("{prefix}:{{{tag:032x}}}:{what}"));
            words.arguments.extend([kind.to_owned(), most.to_string(), x, y]);
        }
        words
    }

    pub(crate) fn call(self, script: &Script) -> ScriptInvocation<'_> {
        let mut call = script.prepare_invoke();
        for key in self.keys {
            call.key(key);
        }
        for argument in self.arguments {
            call.arg(argument);
        }
        call
    }
}

/// Reads the answer; `None` if it is not one of the script's.
pub(crate) fn read(value: &Value, limits: usize) -> Option<Answer> {
    let Value::Array(items) = value else { return None };
    let mut numbers = items.iter().map(|item| if let Value::Int(number) = item { Some(*number) } else { None });
    let (granted, blocking, wait) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let mut standings = Standings::new();
    for _ in 0..limits {
        let (remaining, more_in) = (numbers.next()??, numbers.next()??);
        standings.push(Standing { remaining: unsigned(remaining), more_in: unsigned(more_in).saturating_mul(1000) });
    }
    let verdict = match usize::try_from(blocking).ok()?.checked_sub(1) {
        None => Ok(()),
        Some(limit) => {
            let wait = if wait < 0 { Wait::Forever } else { Wait::For(unsigned(wait).max(1).saturating_mul(1000)) };
            Err(Refusal { limit, wait })
        }
    };
    Some(Answer { decision: Decision { verdict, standings }, granted: unsigned(granted) })
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tag(name: &str, by: serde_json::Value, key: &[&str]) -> u128 {
        let key = key.iter().map(ToString::to_string).collect();
        let subject = Subject { consumer: std::sync::Arc::default(), key };
        tag_of_subject(name, &serde_json::from_value(by).unwrap(), &subject).unwrap()
    }

    #[test]
    fn keys_that_differ_have_names_that_differ() {
        let (one, two) = (json!("${consumer.id}"), json!(["${consumer.id}", "${request.route}"]));
        let network = json!({ "client_network": {} });
        let mut all = vec![
            tag("step a", one.clone(), &["ada"]),
            tag("step b", one.clone(), &["ada"]),
            tag("step a", one.clone(), &["eve"]),
            tag("step aa", one, &["da"]),
            tag("step a", two.clone(), &["a", "bc"]),
            tag("step a", two, &["ab", "c"]),
        ];
        let addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"];
        all.extend(addresses.map(|address| tag("step a", network.clone(), &[address])));
        let distinct: std::collections::HashSet<u128> = all.iter().copied().collect();
        assert_eq!(distinct.len(), all.len());
    }

    /// Nodes of two versions count together while one takes over from the other.
    #[test]
    fn the_name_of_a_key_never_changes() {
        let by = json!(["${consumer.id}", { "client_network": {} }]);
        assert_eq!(tag("step all/rate-limit", by, &["ada", "192.0.2.1"]), 0x5047_8733_2c55_0df4_b3bd_4ed8_1ceb_cff3);
    }
}
