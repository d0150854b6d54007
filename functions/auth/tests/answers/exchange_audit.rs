use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{Answer, Scene};

const USER: &str = "00000000-0000-4000-8000-000000000001";
const ORG: &str = "00000000-0000-4000-8000-00000000000a";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const API_KEY: &str = "urn:qlp:params:oauth:token-type:api-key";
const KEY: &str = "qlp_test_0123456789ABCDEFGHIJKLMNOPQ3BQI4O";

fn scene() -> Scene {
    let scene = Scene::new();
    scene.host.http.handle(|_| async { Ok(platform::Response::new(r#"{"recorded":1}"#.into())) });
    scene
}

fn exchange(scene: &Scene, token: &str, kind: &str, more: &str) -> Answer {
    let grant = "urn:ietf:params:oauth:grant-type:token-exchange";
    let body = format!("grant_type={grant}&subject_token={token}&subject_token_type={kind}{more}");
    scene.post("/auth/token", "application/x-www-form-urlencoded", body, "192.0.2.1")
}

/// A user's access token for an hour from the fake clock's beginning.
fn access_token(claims: &Value) -> String {
    let mut all = json!({"iss": "https://x.supabase.co/auth/v1", "sub": USER, "aud": "authenticated",
        "role": "authenticated", "iat": 1_767_225_600, "exp": 1_767_229_200, "app_metadata": {"org_id": ORG}});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", encode(&json!({"alg": "HS256", "typ": "JWT"})), encode(&all));
    let mac = Hmac::<Sha256>::new_from_slice(b"a legacy secret of 32 bytes or more").unwrap().chain_update(&input);
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[test]
fn a_subject_that_is_not_valid_is_recorded_by_whom_it_names_if_anybody() {
    let scene = scene();
    for (token, kind) in [("nonsense", JWT), (KEY, API_KEY), (KEY, JWT)] {
        assert_eq!(exchange(&scene, token, kind, "").status, 400);
    }
    let events = scene.events();
    let told: Vec<_> =
        events.iter().map(|event| (&event["details"]["reason"], &event["details"]["key_prefix"])).collect();
    let prefix = json!("qlp_test_0123");
    assert_eq!(
        told,
        [
            (&json!("the token is not a compact JWS"), &Value::Null),
            (&json!("API keys are not configured: API_KEY_PEPPER is not set"), &prefix),
            (&json!("the token is of another type than was said"), &prefix),
        ]
    );
    for event in &events {
        assert_eq!(
            (&event["action"], &event["details"]["parameter"]),
            (&"credential.refused".into(), &"subject_token".into())
        );
        assert_eq!((&event["org_id"], &event["address"]), (&Value::Null, &"192.0.2.1".into()));
    }
}

#[test]
fn an_actor_that_is_not_valid_is_recorded() {
    let scene = scene();
    let more = format!("&actor_token=nonsense&actor_token_type={JWT}");
    assert_eq!(exchange(&scene, &access_token(&json!({})), JWT, &more).status, 400);
    assert_eq!(scene.events()[0]["details"]["parameter"], "actor_token");
}

#[test]
fn whoever_asks_for_more_than_they_have_is_in_the_log_of_their_organization() {
    let scene = scene();
    let token = access_token(&json!({"scope": "llm"}));
    assert_eq!(exchange(&scene, &token, JWT, "&scope=webhooks").status, 400);
    assert_eq!(exchange(&scene, &token, JWT, "&audience=other").status, 400);
    let strong = access_token(&json!({"app_metadata": {"org_id": ORG, "requires_aal2": true}, "aal": "aal1"}));
    assert_eq!(exchange(&scene, &strong, JWT, "").status, 400);
    let events = scene.events();
    assert_eq!(events.len(), 3);
    for event in events {
        assert_eq!((&event["action"], &event["outcome"]), (&"token.denied".into(), &"denied".into()));
        assert_eq!((&event["actor_id"], &event["org_id"]), (&USER.into(), &ORG.into()));
    }
}

#[test]
fn what_was_merely_too_late_is_not_recorded_and_a_flood_is_recorded_once() {
    let scene = scene();
    let expired = access_token(&json!({"exp": 1_767_225_000, "iat": 1_767_224_000}));
    assert_eq!(exchange(&scene, &expired, JWT, "").status, 400);
    assert_eq!(scene.events().len(), 0);
    (0..100).for_each(|_| assert_eq!(exchange(&scene, "nonsense", JWT, "").status, 400));
    assert_eq!(scene.events().len(), 1);
}
