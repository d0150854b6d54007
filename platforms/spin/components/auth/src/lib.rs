//! The function `auth` as a Spin component.
#![cfg(target_os = "wasi")]

use auth::Auth;
use spin_doorway::Component;
use spin_sdk::http::Request;
use spin_sdk::wasip3::http::types::{ErrorCode, Response};

static COMPONENT: Component<Auth> = Component::new(|grants| grants.cache().ledger().signatures().signer());

#[spin_sdk::http_service]
async fn handle(request: Request) -> Result<Response, ErrorCode> {
    COMPONENT.answer(request).await
}
