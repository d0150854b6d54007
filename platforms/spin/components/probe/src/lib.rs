//! Routes that only tests use, as a Spin component: never in what ships.
#![cfg(target_os = "wasi")]

use spin_doorway::{Component, Probe};
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::service::export;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

static COMPONENT: Component<Probe> = Component::new(|grants| grants.cache().ledger().signatures().signer());

struct Handler;

// Not `#[http_service]`: it reads a request for the SDK's types, and the doorway for ours.
export!(Handler);

impl Guest for Handler {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        COMPONENT.answer(request).await
    }
}
