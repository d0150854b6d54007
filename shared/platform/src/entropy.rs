/// Cryptographically secure random bytes.
pub trait Entropy: Send + Sync {
    /// Overwrites `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}
