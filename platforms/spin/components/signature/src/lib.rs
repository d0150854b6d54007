//! Checks signatures for the other components, which alone can reach it.
#![cfg(target_os = "wasi")]

use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::service::export;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

struct Handler;

// Not `#[http_service]`: it reads a request for the SDK's types, and the doorway for ours.
export!(Handler);

impl Guest for Handler {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        spin_doorway::verify(request).await
    }
}
