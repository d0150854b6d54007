//! Routes that only tests use, as a Spin component: never in what ships.
#![cfg(target_os = "wasi")]

use spin_doorway::{Component, Probe};
use spin_sdk::http::Request;
use spin_sdk::wasip3::http::types::{ErrorCode, Response};

static COMPONENT: Component<Probe> = Component::new(|grants| grants.cache().ledger().signatures().signer());

#[spin_sdk::http_service]
async fn handle(request: Request) -> Result<Response, ErrorCode> {
    COMPONENT.answer(request).await
}
