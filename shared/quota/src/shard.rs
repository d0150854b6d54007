/// In how many shards those of one kind are counted.
const SHARDS: u64 = 128;

/// The shard in which `name` is counted among others of its `kind`, such as the network that an address belongs to. There
/// is a fixed number of them, so that whoever comes from ever new addresses makes no ever new states; the counter within
/// it is the name's own.
pub fn shard(kind: &str, name: &str) -> String {
    format!("{kind}:{}", hash(name) % SHARDS)
}

/// FNV-1a with 64 bits: the same on every host and in every version.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // http://www.isthe.com/chongo/src/fnv/test_fnv.c
        assert_eq!(
            [hash(""), hash("a"), hash("foobar")],
            [0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8]
        );
    }

    #[test]
    fn ever_new_networks_come_into_the_same_shards_and_evenly() {
        let mut shards = BTreeMap::<String, u32>::new();
        for number in 0..64_000u32 {
            *shards.entry(shard("address", &format!("10.{}.{}.0", number / 256, number % 256))).or_default() += 1;
        }
        assert_eq!(shards.len(), 128);
        assert!(shards.values().all(|count| (250..1_000).contains(count)), "{shards:?}");
    }
}
