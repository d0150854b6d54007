//! The function `rate-limit` as a Spin component.
#![cfg(target_os = "wasi")]

use rate_limit::RateLimit;
use spin_doorway::Component;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::service::export;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

static COMPONENT: Component<RateLimit> = Component::new(|grants| grants.cache().ledger().signatures().signer());

struct Handler;

// Not `#[http_service]`: it reads a request for the SDK's types, and the doorway for ours.
export!(Handler);

impl Guest for Handler {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        COMPONENT.answer(request).await
    }
}
