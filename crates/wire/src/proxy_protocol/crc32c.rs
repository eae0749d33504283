//! CRC32C (RFC 3720 §12.1, appendix B.4), a byte at a time: once for each connection, over some 100 bytes.

/// The Castagnoli polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

static TABLE: [u32; 256] = table();

/// The checksum of `bytes`.
pub(super) fn checksum(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(!0, |sum, byte| {
        let [low, ..] = sum.to_le_bytes();
        sum >> 8 ^ TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default()
    })
}

#[expect(clippy::indexing_slicing, reason = "runs when compiled: a miss would be an error then")]
#[expect(clippy::cast_possible_truncation, reason = "counts to 255")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = index as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn the_vectors_of_rfc_3720_come_out() {
        assert_eq!(checksum([0; 32].into_iter()), 0x8a91_36aa);
        assert_eq!(checksum([0xff; 32].into_iter()), 0x62a8_ab43);
        assert_eq!(checksum(0..32), 0x46dd_794e);
        assert_eq!(checksum(b"123456789".iter().copied()), 0xe306_9283);
    }
}
