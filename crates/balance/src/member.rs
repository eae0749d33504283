//! A target as one pool has it.

use std::sync::Arc;

use crate::Target;

/// One target of one pool: the shared state, its share, and what the pool has prepared for every attempt there.
#[derive(Debug)]
pub struct Member<P> {
    /// The state that all pools share.
    pub target: Arc<Target>,
    /// Its share, relative to the other members'. 0 counts as 1: whoever is not to be picked is no member.
    pub weight: u32,
    /// What an attempt needs: for HTTP, the peer that each attempt clones.
    pub prepared: P,
}
