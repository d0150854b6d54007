use std::sync::Arc;

use uuid::Uuid;

use crate::{Background, Clock, Entropy, HttpClient, KeyValue, Ledger, SignatureVerifier, Signer, Variables};

/// One of each capability: everything a function can reach outside itself. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Outbound HTTP.
    pub http: Arc<dyn HttpClient>,
    /// Time and sleep.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Configuration and secrets.
    pub variables: Arc<dyn Variables>,
    /// An eventually consistent cache shared by instances.
    pub cache: Arc<dyn KeyValue>,
    /// The only atomic thing: limits.
    pub ledger: Arc<dyn Ledger>,
    /// Work after the response.
    pub background: Arc<dyn Background>,
    /// The host's cryptography for public-key signatures.
    pub signatures: Arc<dyn SignatureVerifier>,
    /// The same, for making them.
    pub signer: Arc<dyn Signer>,
}

impl Context {
    /// A new UUID version 7 (RFC 9562): sortable by time, unique without coordination.
    pub fn new_id(&self) -> Uuid {
        let mut random = [0; 10];
        self.entropy.fill(&mut random);
        let millis = u64::try_from(self.clock.now().as_millisecond()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}
