use spin_sdk::wasip3::random::random::get_random_u64;

/// The host's secure random numbers.
pub(crate) struct Entropy;

impl platform::Entropy for Entropy {
    fn fill(&self, buffer: &mut [u8]) {
        // Eight bytes at a time: a number needs no memory of ours, and no function asks for more than a few.
        for part in buffer.chunks_mut(8) {
            for (target, source) in part.iter_mut().zip(get_random_u64().to_ne_bytes()) {
                *target = source;
            }
        }
    }
}
