//! Whose key is it? Keys are held and looked up by their SHA-256 alone.
//!
//! A table keyed by the keys themselves compares bytes until the first difference, and how long that takes tells a patient
//! stranger how much of a key was right. The hash of a guess says nothing about the hash of a key, so that there is nothing
//! to learn from comparing hashes early-out; and a core dump holds no key of this table.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use portreeve_plugin::{BuildError, Consumer, DeclaredConsumer};

type Hash = [u8; SHA256_OUTPUT_LEN];

/// The keys of all consumers.
pub(crate) struct Vault(HashMap<Hash, Arc<Consumer>>);

impl Vault {
    /// Takes the keys in.
    ///
    /// # Errors
    /// When there is no key at all, or a key twice: it could not tell who calls.
    pub(crate) fn new(consumers: &[DeclaredConsumer]) -> Result<Self, BuildError> {
        let mut owners = HashMap::new();
        for DeclaredConsumer { consumer, keys } in consumers {
            for key in keys {
                match owners.entry(hash(key.expose().as_bytes())) {
                    Entry::Vacant(place) => {
                        // Each key says which it is: so one that is still used is seen before it is taken away.
                        let (method, credential) = (Some("key-auth".into()), Some(key.source().to_string().into()));
                        let owner = Consumer { method, credential, ..Consumer::clone(consumer) };
                        place.insert(Arc::new(owner));
                    }
                    Entry::Occupied(other) => {
                        let other: &Arc<Consumer> = other.get();
                        return Err(BuildError::new(format!(
                            "consumers \"{}\" and \"{}\" have the same key",
                            other.id, consumer.id
                        )));
                    }
                }
            }
        }
        if owners.is_empty() {
            return Err(BuildError::new("no consumer of this file has a key, so that every request would be refused"));
        }
        Ok(Self(owners))
    }

    /// Whose key it is.
    pub(crate) fn owner(&self, key: &[u8]) -> Option<&Arc<Consumer>> {
        self.0.get(&hash(key))
    }
}

fn hash(key: &[u8]) -> Hash {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(digest(&SHA256, key).as_ref());
    hash
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({} keys)", self.0.len())
    }
}
