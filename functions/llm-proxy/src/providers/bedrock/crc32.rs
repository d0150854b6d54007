//! The checksum of event streams: CRC-32 as ISO 3309 and zlib have it.

const POLYNOMIAL: u32 = 0xedb8_8320;
const TABLE: [u32; 256] = table();

/// The checksum of `bytes`.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        let index = (crc ^ u32::from(*byte)) & 0xff;
        // An index of eight bits is never outside the table.
        TABLE.get(index as usize).copied().unwrap_or_default() ^ (crc >> 8)
    })
}

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation)] // worked out by the compiler
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_check_value_that_is_published_for_it() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
