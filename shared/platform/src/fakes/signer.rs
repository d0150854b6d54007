use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::{PrivateKey, Signer, SignerError};

/// Gives the signature it was told to give, and counts how often it was asked.
#[derive(Clone)]
pub struct ScriptedSigner(Arc<Mutex<(Answer, usize)>>);

type Answer = Result<[u8; 64], SignerError>;

impl ScriptedSigner {
    /// Sets the answer from now on.
    pub fn answer(&self, answer: Result<[u8; 64], SignerError>) {
        self.0.lock().unwrap().0 = answer;
    }

    /// How many signatures were asked for.
    pub fn calls(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

impl Default for ScriptedSigner {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((Ok([7; 64]), 0))))
    }
}

#[async_trait]
impl Signer for ScriptedSigner {
    async fn sign(&self, _: &PrivateKey, _: &[u8]) -> Result<[u8; 64], SignerError> {
        let mut state = self.0.lock().unwrap();
        state.1 += 1;
        state.0.clone()
    }
}
