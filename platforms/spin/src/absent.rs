use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use platform::{
    KeyValue, Ledger, PrivateKey, PublicKey, SignatureVerifier, Signer, SignerError, StoreError, VerifierError,
};
use quota::account::{Operation, Outcome};
use quota::{Decision, Take};

/// What a component has not been granted: a cache that is always empty, a ledger, a verifier and a signer that fail.
pub(crate) struct Absent;

#[async_trait]
impl KeyValue for Absent {
    async fn get(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }

    async fn set(&self, _: &str, _: Bytes, _: Duration) -> Result<(), StoreError> {
        Ok(())
    }

    async fn delete(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl Ledger for Absent {
    async fn take(&self, _: &str, _: &[Take]) -> Result<Decision, StoreError> {
        Err(StoreError::Refused("this component has no ledger".into()))
    }

    async fn apply(&self, _: &str, _: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        Err(StoreError::Refused("this component has no ledger".into()))
    }
}

#[async_trait]
impl SignatureVerifier for Absent {
    async fn verify(&self, _: &PublicKey, _: &[u8], _: &[u8]) -> Result<bool, VerifierError> {
        Err(VerifierError("this component verifies no signatures".into()))
    }
}

#[async_trait]
impl Signer for Absent {
    async fn sign(&self, _: &PrivateKey, _: &[u8]) -> Result<[u8; 64], SignerError> {
        Err(SignerError("this component signs nothing".into()))
    }
}
