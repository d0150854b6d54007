//! What anyone may know: signing keys, endpoints, settings.

use std::sync::PoisonError;

use http::{StatusCode, header};
use serde_json::{Value, json};

use super::failure::Failure;
use crate::answer::{self, Response};
use crate::surface::Surface;

/// `/auth/v1/.well-known/<name>`; no API key is needed.
pub(super) fn document(name: &str, surface: &Surface) -> Response {
    let document = match name {
        "jwks.json" => surface.signing_keys.read().unwrap_or_else(PoisonError::into_inner).jwks(),
        "openid-configuration" => configuration(surface),
        _ => return Failure::not_found().into_response(None),
    };
    let mut response = answer::json(StatusCode::OK, &document);
    answer::set(&mut response, header::CACHE_CONTROL, "public, max-age=600");
    response
}

fn configuration(surface: &Surface) -> Value {
    let issuer = &surface.description.issuer;
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth/authorize"),
        "token_endpoint": format!("{issuer}/oauth/token"),
        "userinfo_endpoint": format!("{issuer}/oauth/userinfo"),
        "jwks_uri": surface.description.jwks_url,
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

/// What a project allows.
pub(super) fn settings() -> Value {
    json!({
        "external": { "anonymous_users": false, "email": true, "phone": false },
        "disable_signup": false, "mailer_autoconfirm": true, "phone_autoconfirm": false, "sms_provider": "", "saml_enabled": false,
    })
}
