//! Checks signatures for the other components, which alone can reach it.
#![cfg(target_os = "wasi")]

use spin_sdk::http::Request;
use spin_sdk::wasip3::http::types::{ErrorCode, Response};

#[spin_sdk::http_service]
async fn handle(request: Request) -> Result<Response, ErrorCode> {
    spin_doorway::verify(request).await
}
