use audit::Origin;
use http::header::{HeaderValue, SET_COOKIE, USER_AGENT};
use http::request::Parts;
use http::{StatusCode, Uri};
use platform::{ClientAddress, Context, Request, Response};
use problem::{Problem, kinds};
use serde_json::{Value, json};
use supabase::{Identity, LIST_SESSIONS, LogoutScope, REVOKE_SESSION, REVOKE_SESSIONS, Session};
use token::{Begun, Caller, Device, Method, Sent, Sessions};
use uuid::Uuid;

use crate::{Auth, answer, events, no_content, own_token};

/// In which form a new session is wanted: tokens, or with `?session=cookie` a cookie.
pub struct Wish<'a>(Option<Cookie<'a>>);

struct Cookie<'a> {
    sessions: &'a Sessions,
    user_agent: Option<String>,
    address: Option<ClientAddress>,
    /// The cookie that the browser has already, whose session ends here.
    old: Option<String>,
}

impl<'a> Wish<'a> {
    /// What the request asks for. 503 if this edge has no cookie sessions.
    pub fn of(auth: &'a Auth, request: &Request) -> Result<Self, Problem> {
        match parameter(request.uri(), "session") {
            None => Ok(Self(None)),
            Some("cookie") => {
                let sessions = auth.authenticator.sessions().ok_or(kinds::MISCONFIGURED)?;
                let user_agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
                Ok(Self(Some(Cookie {
                    sessions,
                    user_agent: user_agent.map(str::to_owned),
                    address: request.extensions().get::<ClientAddress>().copied(),
                    old: Sent::with(request).session_cookie().map(str::to_owned),
                })))
            }
            Some(_) => Err(Problem::new(kinds::INVALID_REQUEST).detail("`session` can only be `cookie`.")),
        }
    }

    /// The answer to a sign-in.
    pub async fn grant(&self, session: &Session, context: &Context) -> Result<Response, Problem> {
        let Some(wish) = &self.0 else { return answer(StatusCode::OK, session) };
        if let Some(old) = &wish.old {
            wish.sessions.end(old, context).await?;
        }
        let device = Device { address: wish.address, user_agent: wish.user_agent.as_deref() };
        let begun = wish.sessions.begin(session, device, context).await?;
        with_cookie(
            &begun,
            &json!({"user": session.user, "csrf_token": begun.csrf_token, "expires_at": begun.expires_at}),
        )
    }
}

/// `POST /auth/refresh` with a cookie: the next tokens, under another cookie.
pub async fn rotate(auth: &Auth, head: &Parts, caller: &Caller, context: &Context) -> Result<Response, Problem> {
    let (sessions, cookie) = of_cookie(auth, head, caller)?;
    let begun = sessions.rotate(&cookie, context).await?;
    with_cookie(&begun, &json!({"csrf_token": begun.csrf_token, "expires_at": begun.expires_at}))
}

/// `GET /auth/csrf`: what unsafe requests with the cookie carry in `x-csrf-token`.
pub fn csrf(auth: &Auth, head: &Parts, caller: &Caller) -> Result<Response, Problem> {
    let (sessions, cookie) = of_cookie(auth, head, caller)?;
    answer(StatusCode::OK, &json!({"csrf_token": sessions.csrf_token(&cookie)}))
}

/// `POST /auth/logout`: ends the session; with `?scope=global` all of the user's, and makes their access tokens stale.
pub async fn logout(
    auth: &Auth,
    head: &Parts,
    origin: Origin,
    caller: &Caller,
    context: &Context,
) -> Result<Response, Problem> {
    let everywhere = match parameter(&head.uri, "scope") {
        None | Some("local") => false,
        Some("global") => true,
        Some(_) => return Err(Problem::new(kinds::INVALID_REQUEST).detail("`scope` can be `local` or `global`.")),
    };
    let token = own_token(caller)?;
    let cookie = Sent::of(head).session_cookie().map(str::to_owned);
    if let (Some(sessions), Some(cookie)) = (auth.authenticator.sessions(), &cookie) {
        sessions.end(cookie, context).await?;
    }
    if everywhere {
        let all = json!({"user_id": caller.principal.user_id});
        let _: Value = auth.supabase.rpc(context, REVOKE_SESSIONS, &all, Identity::Service).await?;
    }
    let scope = if everywhere { LogoutScope::Global } else { LogoutScope::Local };
    auth.supabase.auth().logout(context, &token, scope).await?;
    events::signed_out(&auth.recorder, origin, &caller.principal, context);
    let mut response = no_content();
    if cookie.is_some() {
        response.headers_mut().insert(SET_COOKIE, Sessions::no_cookie());
    }
    Ok(response)
}

/// `GET /auth/sessions`: the user's own cookie sessions.
pub async fn list(auth: &Auth, caller: &Caller, context: &Context) -> Result<Response, Problem> {
    let token = own_token(caller)?;
    let mut listed: Value = auth.supabase.rpc(context, LIST_SESSIONS, &json!({}), Identity::User(&token)).await?;
    answer(StatusCode::OK, &json!({"data": listed.get_mut("sessions").map(Value::take)}))
}

/// `DELETE /auth/sessions/{session}`: ends one of them.
pub async fn revoke(auth: &Auth, id: &str, caller: &Caller, context: &Context) -> Result<Response, Problem> {
    let token = own_token(caller)?;
    // What is no id names no session.
    let id: Uuid = id.parse().map_err(|_| Problem::new(kinds::NOT_FOUND))?;
    let _: Value = auth.supabase.rpc(context, REVOKE_SESSION, &json!({"id": id}), Identity::User(&token)).await?;
    Ok(no_content())
}

/// The sessions, and the value of the cookie that the caller must have come with.
fn of_cookie<'a>(auth: &'a Auth, head: &Parts, caller: &Caller) -> Result<(&'a Sessions, String), Problem> {
    match (auth.authenticator.sessions(), Sent::of(head).session_cookie()) {
        (Some(sessions), Some(cookie)) if caller.principal.method == Method::Session => {
            Ok((sessions, cookie.to_owned()))
        }
        _ => {
            Err(Problem::new(kinds::INVALID_REQUEST).detail("This is for cookie sessions: the request has no cookie."))
        }
    }
}

/// The value of a parameter in the query, as it stands.
fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let mut pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn with_cookie(begun: &Begun, body: &Value) -> Result<Response, Problem> {
    let mut response = answer(StatusCode::OK, body)?;
    let cookie: HeaderValue = begun.cookie.clone();
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}
