use std::io;

use platform::Entropy;

/// The operating system's random bytes.
pub(crate) struct OsEntropy(());

impl OsEntropy {
    /// Fails if the system gives none.
    pub(crate) fn new() -> io::Result<Self> {
        getrandom::fill(&mut [0; 32]).map_err(io::Error::other)?;
        Ok(Self(()))
    }
}

impl Entropy for OsEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        if getrandom::fill(buffer).is_err() {
            // It worked at the start. To go on with bytes that can be guessed would be worse than to stop.
            std::process::abort();
        }
    }
}
