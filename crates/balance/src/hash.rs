//! The hash that says which target a key belongs to. Every gateway of a fleet must come to the same answer, on every machine
//! and after every upgrade, so it is a published function over bytes, not whatever the hash maps of the day use.

/// FNV-1a in 64 bits (Fowler, Noll and Vo), which is short and the same everywhere.
#[must_use]
pub fn stable(bytes: impl IntoIterator<Item = u8>) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.into_iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// Spreads every bit over all bits: the finaliser of `MurmurHash3`. FNV alone leaves like keys alike in their high bits.
#[must_use]
pub fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_published_functions() {
        assert_eq!(stable(*b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(stable(*b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(stable(*b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(mix(0), 0);
        assert_eq!(mix(1), 0xb456_bcfc_34c2_cb2c);
    }
}
