use std::net::IpAddr;

use http::header::USER_AGENT;
use platform::{ClientAddress, Context, Request, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use telemetry::RequestId;
use token::api_key;
use uuid::Uuid;

/// The longest user agent that is recorded, in characters.
const MAX_USER_AGENT: usize = 500;

/// One entry of the audit log, as `api.record_audit` takes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Ours: an event that is sent twice is recorded once.
    pub id: Uuid,
    /// Words such as `session.failed`.
    pub action: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What acted.
    pub actor_kind: ActorKind,
    /// The user, if known for certain.
    pub actor_id: Option<Uuid>,
    /// In whose log it belongs; none if that is not known for certain.
    pub org_id: Option<Uuid>,
    /// From where it was asked for.
    #[serde(flatten)]
    pub origin: Origin,
    /// Whatever else there is to know; never a credential.
    pub details: Map<String, Value>,
    /// When it happened.
    pub occurred_at: Timestamp,
}

/// How what an event tells of ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was tried and failed.
    Failure,
    /// It was not allowed.
    Denied,
}

/// What acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person.
    User,
    /// An API key.
    Key,
}

/// From where a request came, as far as the host and the caller tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The caller's address.
    pub address: Option<IpAddr>,
    /// `User-Agent`, cut.
    pub user_agent: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
}

impl Event {
    /// Something that a person did, now.
    pub fn new(action: &'static str, outcome: Outcome, origin: Origin, context: &Context) -> Self {
        Self {
            id: context.new_id(),
            action,
            outcome,
            actor_kind: ActorKind::User,
            actor_id: None,
            org_id: None,
            origin,
            details: Map::new(),
            occurred_at: context.clock.now(),
        }
    }

    /// The event with one detail more.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.into(), value.into());
        self
    }
}

impl Origin {
    /// Where `request` came from.
    pub fn of(request: &Request) -> Self {
        let user_agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
        Self {
            address: request.extensions().get::<ClientAddress>().map(|ClientAddress(address)| *address),
            user_agent: user_agent.map(|text| text.chars().take(MAX_USER_AGENT).collect()),
            request_id: request.extensions().get::<RequestId>().map(ToString::to_string),
        }
    }
}

/// What the log has of an account that may not exist: SHA-256 of its address in lower case. It is for comparing events
/// with each other; whoever knows an address can compute it.
pub fn account_digest(email: &str) -> String {
    api_key::hex(&Sha256::digest(email.trim().to_lowercase()).into())
}

#[cfg(test)]
mod tests {
    use platform::Body;
    use platform::fakes::Host;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_what_the_database_function_takes() {
        let host = Host::new();
        let mut request = http::Request::builder().header("user-agent", "x".repeat(501)).body(Body::empty()).unwrap();
        request.extensions_mut().insert(ClientAddress("2001:db8::1".parse().unwrap()));
        let event = Event::new("session.failed", Outcome::Failure, Origin::of(&request), &host.context());
        let event = serde_json::to_value(event.detail("reason", "invalid credentials")).unwrap();
        assert_eq!(
            event,
            json!({
                "id": event["id"],
                "action": "session.failed",
                "outcome": "failure",
                "actor_kind": "user",
                "actor_id": null,
                "org_id": null,
                "address": "2001:db8::1",
                "user_agent": "x".repeat(500),
                "request_id": null,
                "details": {"reason": "invalid credentials"},
                "occurred_at": "2026-01-01T00:00:00Z",
            })
        );
    }

    #[test]
    fn an_account_has_one_digest_however_it_is_written() {
        assert_eq!(account_digest(" Ada@Example.com"), account_digest("ada@example.com"));
        assert_ne!(account_digest("ada@example.com"), account_digest("bob@example.com"));
    }
}
