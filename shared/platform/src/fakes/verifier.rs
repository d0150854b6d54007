use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::{PublicKey, SignatureVerifier, VerifierError};

/// Gives the answer it was told to give, and counts how often it was asked. It accepts everything at first.
#[derive(Clone)]
pub struct ScriptedVerifier(Arc<Mutex<(Result<bool, VerifierError>, usize)>>);

impl ScriptedVerifier {
    /// Sets the answer from now on.
    pub fn answer(&self, answer: Result<bool, VerifierError>) {
        self.0.lock().unwrap().0 = answer;
    }

    /// How many signatures were checked.
    pub fn calls(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

impl Default for ScriptedVerifier {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((Ok(true), 0))))
    }
}

#[async_trait]
impl SignatureVerifier for ScriptedVerifier {
    async fn verify(&self, _: &PublicKey, _: &[u8], _: &[u8]) -> Result<bool, VerifierError> {
        let mut state = self.0.lock().unwrap();
        state.1 += 1;
        state.0.clone()
    }
}
