//! The function from the outside, on a host that does only what a test wrote down.

mod check;
mod overrides;
mod own;

use std::collections::BTreeMap;
use std::sync::Mutex;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use front_door::FrontDoor;
use http::HeaderMap;
use platform::fakes::Host;
use platform::{Content, SendError, StoreError};
use quota::account::{Operation, Rule};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

const ADMIN: Uuid = Uuid::from_u128(1);
const DEVELOPER: Uuid = Uuid::from_u128(2);
/// Of nobody's organization.
const STRANGER: Uuid = Uuid::from_u128(3);
const ORG: Uuid = Uuid::from_u128(9);
/// 2026-01-01T00:00:00Z, where the fake clock begins.
const BEGIN: i64 = 1_767_225_600;

struct Scene {
    host: Host,
    door: FrontDoor<RateLimit>,
    database: Arc<Mutex<Database>>,
}

/// What the database of the tests knows and decides.
#[derive(Default)]
struct Database {
    stored: BTreeMap<String, Value>,
    version: u64,
    is_away: bool,
    /// What others store, each after the next time that somebody has.
    meanwhile: Vec<Value>,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Scene {
    fn new() -> Self {
        let coordinate = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
        let key = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k", "x": coordinate, "y": coordinate});
        let mut service_key = key.clone();
        service_key["iss"] = json!("orchestrator");
        let host = Host::new()
            .variable("SUPABASE_URL", "https://project.test")
            .variable("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_x")
            .variable("SUPABASE_SECRET_KEY", "sb_secret_x")
            .variable("SUPABASE_JWKS", &json!({"keys": [key]}).to_string())
            .variable("EDGE_ISSUER", "https://edge.test")
            .variable("SERVICE_KEYS", &json!({"keys": [service_key]}).to_string());
        let database = Arc::new(Mutex::new(Database::default()));
        let answering = Arc::clone(&database);
        host.http.handle(move |request| {
            let answer = answering.lock().unwrap().answer(request);
            async move { answer }
        });
        let door = host.block_on(async { FrontDoor::load(&host.context()).await });
        Self { host, door, database }
    }

    fn send(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("https://edge.test{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let response = self.host.block_on(self.door.handle(request, &self.host.context()));
        let (parts, body) = response.into_parts();
        let body = self.host.block_on(body.read(100_000)).unwrap();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    fn get(&self, token: &str, path: &str) -> Answer {
        self.send(token, "GET", path, "")
    }

    fn put(&self, token: &str, path: &str, limits: &Value) -> Answer {
        self.send(token, "PUT", path, &json!({"limits": limits}).to_string())
    }

    fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.send(token, "POST", path, &body.to_string())
    }

    /// The ledger of the organization does this by itself.
    fn apply(&self, operation: Operation) -> quota::account::Outcome {
        let account = format!("org:{ORG}");
        let context = self.host.context();
        self.host.block_on(context.ledger.apply(&account, &[operation])).unwrap().remove(0)
    }

    fn ledger_is_away(&self) {
        self.host.ledger.fail_with(StoreError::Unavailable("away".into()));
    }
}

impl Database {
    fn answer(&mut self, request: Request) -> Result<Response, SendError> {
        if self.is_away {
            return Err(SendError::Unreachable("the database is away".into()));
        }
        let function = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let user = user_of(request.headers());
        let Content::Bytes(body) = request.into_body().into_content() else { panic!("a stream") };
        let payload = serde_json::from_slice::<Value>(&body).unwrap()["payload"].clone();
        let refusal = |status: u16, message: &str, detail: &str| {
            (status, json!({"code": format!("PT{status}"), "message": message, "details": detail}))
        };
        let (status, answer) = match function.as_str() {
            "authz_changes" => (200, json!({"as_of": "2026-01-01T00:00:00Z", "changes": {}})),
            "record_audit" => (200, json!({"recorded": 1})),
            "set_limits" | "list_limits" if user != Some(ADMIN) => {
                refusal(403, "this needs the permission limits:write", "limits:write")
            }
            "set_limits" | "list_limits" if payload["subject"] == format!("user:{STRANGER}") => {
                refusal(404, "no such member or key of the organization", "subject")
            }
            "set_limits" => (200, self.set(&payload)),
            "list_limits" => {
                assert_eq!(payload["org_id"], json!(ORG));
                let found = self.stored.get(payload["subject"].as_str().unwrap());
                (200, json!({"limits": found.into_iter().collect::<Vec<_>>()}))
            }
            other => panic!("nobody calls {other}"),
        };
        let response = http::Response::builder().status(status).header("content-type", "application/json");
        Ok(response.body(Body::from(answer.to_string())).unwrap())
    }

    fn set(&mut self, payload: &Value) -> Value {
        assert_eq!(payload["org_id"], json!(ORG));
        let subject = payload["subject"].as_str().unwrap();
        let answer = self.store(subject, &payload["rules"]);
        if !self.meanwhile.is_empty() {
            let rules = self.meanwhile.remove(0);
            self.store(subject, &rules);
        }
        answer
    }

    fn store(&mut self, subject: &str, rules: &Value) -> Value {
        if rules == &json!([]) {
            self.stored.remove(subject);
            return json!({"subject": subject, "rules": [], "version": null, "updated_by": null, "updated_at": null});
        }
        self.version += 1;
        let stored = json!({"subject": subject, "rules": rules, "version": self.version, "updated_by": ADMIN,
            "updated_at": "2026-01-01T00:00:00+00:00"});
        self.stored.insert(subject.to_owned(), stored.clone());
        stored
    }
}

fn user_of(headers: &HeaderMap) -> Option<Uuid> {
    let token = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
    let claims: Value = serde_json::from_slice(&BASE64URL.decode(token.split('.').nth(1)?).ok()?).ok()?;
    claims["sub"].as_str()?.parse().ok()
}

/// A token that the host's verifier takes for signed.
fn token(claims: &Value) -> String {
    let header = json!({"alg": "ES256", "kid": "k", "typ": "JWT"});
    let [header, claims] = [&header, claims].map(|part| BASE64URL.encode(part.to_string()));
    format!("{header}.{claims}.{}", BASE64URL.encode([7; 64]))
}

fn claims(user: Uuid) -> Value {
    json!({"iss": "https://project.test/auth/v1", "sub": user, "aud": "authenticated", "role": "authenticated",
        "iat": BEGIN, "exp": BEGIN + 86_400, "aal": "aal1", "is_anonymous": false, "session_id": "s",
        "app_metadata": {"org_id": ORG, "roles": ["admin"], "tier": "T1"}})
}

fn user(user: Uuid) -> String {
    token(&claims(user))
}

fn with(user: Uuid, name: &str, value: Value) -> String {
    let mut claims = claims(user);
    claims[name] = value;
    token(&claims)
}

fn service(scope: &str) -> String {
    token(&json!({"iss": "orchestrator", "sub": "orchestrator-1", "aud": "https://edge.test", "scope": scope,
        "iat": BEGIN, "exp": BEGIN + 3_600}))
}

fn requests(seconds: u64, limit: u64) -> Value {
    json!([{"unit": "requests", "window": {"seconds": seconds}, "limit": limit}])
}

fn milliseconds(answer: &Answer) -> u64 {
    answer.headers["retry-after-ms"].to_str().unwrap().parse().unwrap()
}
