use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kept_secret::kept_secret;
use crate::{Demo, Error};

const EMAIL: &str = "demo@example.com";

/// Signs the demo user in through the edge at `edge`; the first time, signs the user up with a random password that is
/// kept in `state`.
pub fn sign_in(edge: &str, state: &Path) -> Result<Demo, Error> {
    let password = kept_secret(&state.join("demo-password"))?;
    let credentials = json!({"email": EMAIL, "password": password});
    let session = match post(edge, "/auth/login", None, &credentials)? {
        (200, session) => session,
        _ => match post(edge, "/auth/signup", None, &credentials)? {
            (200 | 201, session) => session,
            (status, answer) => return Err(Error::step("sign the demo user up", format!("{status} {answer}"))),
        },
    };
    let access_token = text(&session, "access_token").unwrap_or_default();
    let api_key = new_api_key(edge, &access_token)?;
    Ok(Demo { email: EMAIL.into(), password, access_token, api_key })
}

/// An API key of the demo user; `None` when the edge has no pepper to store keys with.
fn new_api_key(edge: &str, access_token: &str) -> Result<Option<String>, Error> {
    let (status, answer) = post(edge, "/auth/keys", Some(access_token), &json!({"name": "demo", "scopes": ["llm"]}))?;
    Ok((status == 201).then(|| text(&answer, "key")).flatten())
}

fn text(object: &Value, member: &str) -> Option<String> {
    object.get(member)?.as_str().map(str::to_owned)
}

fn post(edge: &str, path: &str, token: Option<&str>, body: &Value) -> Result<(u16, Value), Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let mut request = agent.post(format!("{edge}{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let failed = |error: ureq::Error| Error::step(format!("call {path}"), error);
    let mut response = request.send_json(body).map_err(failed)?;
    let answer = response.body_mut().read_json().unwrap_or(Value::Null);
    Ok((response.status().as_u16(), answer))
}
