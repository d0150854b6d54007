//! A host that does nothing right breaks every rule of the contract: no check passes by itself.

#![allow(clippy::unwrap_used)] // a test may fail this way

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use platform::fakes::{Host, MapVariables, SeededEntropy, block_on};
use platform::{
    Background, Body, BoxFuture, Clock, Context, Entropy, HttpClient, KeyValue, Ledger, PrivateKey, PublicKey, Request,
    Response, SendError, SignatureVerifier, Signer, SignerError, StoreError, Timestamp, VerifierError, contract,
};
use quota::account::{self, Operation, Outcome};
use quota::{Decision, Standing, Take};

/// Answers everything at once, keeps nothing, refuses nobody and stands still.
struct Worthless;

#[async_trait]
impl HttpClient for Worthless {
    async fn send(&self, _: Request) -> Result<Response, SendError> {
        Ok(Response::new(Body::empty()))
    }
}

impl Clock for Worthless {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

impl Entropy for Worthless {
    fn fill(&self, _: &mut [u8]) {}
}

#[async_trait]
impl KeyValue for Worthless {
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
impl Ledger for Worthless {
    async fn take(&self, _: &str, takes: &[Take]) -> Result<Decision, StoreError> {
        let standing = |take: &Take| Standing {
            policy: take.policy.clone(),
            remaining: take.policy.limit,
            reset_after: 0,
            retry_after: Some(0),
        };
        Ok(Decision { allowed: true, standings: takes.iter().map(standing).collect() })
    }

    async fn apply(&self, _: &str, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        let allowed = account::Decision { allowed: true, standings: Vec::new() };
        Ok(operations.iter().map(|_| Outcome::Decided(allowed.clone())).collect())
    }
}

impl Background for Worthless {
    fn spawn(&self, _: BoxFuture<'static, ()>) {}
}

#[async_trait]
impl SignatureVerifier for Worthless {
    async fn verify(&self, _: &PublicKey, _: &[u8], _: &[u8]) -> Result<bool, VerifierError> {
        Ok(true)
    }
}

#[async_trait]
impl Signer for Worthless {
    async fn sign(&self, _: &PrivateKey, _: &[u8]) -> Result<[u8; 64], SignerError> {
        Ok([0; 64])
    }
}

fn worthless() -> Context {
    Context {
        http: Arc::new(Worthless),
        clock: Arc::new(Worthless),
        entropy: Arc::new(Worthless),
        variables: Arc::new(MapVariables::default()),
        cache: Arc::new(Worthless),
        ledger: Arc::new(Worthless),
        background: Arc::new(Worthless),
        signatures: Arc::new(Worthless),
        signer: Arc::new(Worthless),
    }
}

fn passed(context: Context) -> Vec<&'static str> {
    let outcomes = block_on(contract::run_all(context, "http://peer.test".parse().unwrap()));
    assert_eq!(outcomes.len(), contract::checks().len());
    outcomes.into_iter().filter(|outcome| outcome.failure.is_none()).map(|outcome| outcome.name).collect()
}

#[test]
fn a_host_that_does_nothing_right_breaks_every_rule() {
    assert_eq!(passed(worthless()), [""; 0]);
}

#[test]
fn each_adapter_is_judged_by_itself() {
    let host = Host::new();
    let entropy = Context { entropy: Arc::new(SeededEntropy::default()), ..worthless() };
    assert_eq!(passed(entropy), ["no two random buffers are alike, whatever their length"]);
    let ledger = Context { ledger: Arc::new(host.ledger), entropy: Arc::new(SeededEntropy::default()), ..worthless() };
    assert_eq!(
        passed(ledger),
        [
            "no two random buffers are alike, whatever their length",
            "of 1,000 takes at once exactly the limit passes",
            "all policies are taken or none",
            "shards are apart",
            "of 1,000 calls at once as many begin as a budget allows",
            "what a call held comes back, once",
            "an account keeps rules, and what was spent",
        ]
    );
}

#[test]
fn outcomes_are_told_as_json() {
    let outcomes = [
        contract::Outcome { name: "kept", failure: None },
        contract::Outcome { name: "broken", failure: Some("saw \"x\"".into()) },
    ];
    let json = contract::to_json(&outcomes);
    assert_eq!(json, r#"[{"failure":null,"name":"kept"},{"failure":"saw \"x\"","name":"broken"}]"#);
}
