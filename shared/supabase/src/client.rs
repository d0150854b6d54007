use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use platform::{Body, Context, timeout};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Auth, Config, Error, Rpc, Storage};

const DEADLINE: Duration = Duration::from_secs(5);
pub(crate) const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// The shortest pause before the one retry; as much again at most is added by chance.
const RETRY_PAUSE_MILLIS: u64 = 50;

const API_KEY: HeaderName = HeaderName::from_static("apikey");
const CONTENT_PROFILE: HeaderName = HeaderName::from_static("content-profile");

/// A Supabase project. Cheap to clone.
#[derive(Clone)]
pub struct Supabase {
    config: Arc<Config>,
    pub(crate) deadline: Duration,
}

/// As whom a call is made.
#[derive(Debug, Clone, Copy)]
pub enum Identity<'a> {
    /// The user with this access token.
    User(&'a SecretString),
    /// The edge itself, beyond row level security. Each such call says why.
    Service,
    /// Nobody.
    Anonymous,
}

/// One request, in parts that can be sent again.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) profile: Option<&'static str>,
    pub(crate) body: Bytes,
    pub(crate) identity: Identity<'a>,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Serialize)]
struct Arguments<'a, P: ?Sized> {
    payload: &'a P,
}

impl Supabase {
    /// The project that `config` names, with a deadline of 5 s per call.
    pub fn new(config: Config) -> Self {
        Self { config: Arc::new(config), deadline: DEADLINE }
    }

    /// The same project with another deadline per call, a retry included.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { config: Arc::clone(&self.config), deadline }
    }

    /// The project's Auth.
    pub fn auth(&self) -> Auth<'_> {
        Auth(self)
    }

    /// The project's Storage.
    pub fn storage(&self) -> Storage<'_> {
        Storage(self)
    }

    /// Calls a database function as `identity`. One that is idempotent is tried once more when the first try met a
    /// momentary failure.
    pub async fn rpc<T: DeserializeOwned>(
        &self,
        context: &Context,
        function: Rpc,
        payload: &(impl Serialize + Sync + ?Sized),
        identity: Identity<'_>,
    ) -> Result<T, Error> {
        let call = Call {
            method: Method::POST,
            path: format!("/rest/v1/rpc/{}", function.name),
            profile: Some("api"),
            body: json(&Arguments { payload })?,
            identity,
        };
        let body = timeout(&*context.clock, self.deadline, self.call_function(context, &call, function)).await;
        read(&body.map_err(|_| Error::Timeout)??)
    }

    async fn call_function(&self, context: &Context, call: &Call<'_>, function: Rpc) -> Result<Bytes, Error> {
        match self.try_function(context, call).await {
            Err(error) if function.idempotent && error.is_worth_a_retry() => {
                tracing::debug!(%error, function = function.name, "calling again");
                context.clock.sleep(retry_pause(context)).await;
                self.try_function(context, call).await
            }
            outcome => outcome,
        }
    }

    async fn try_function(&self, context: &Context, call: &Call<'_>) -> Result<Bytes, Error> {
        let answer = self.exchange(context, call).await?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        Err(Error::of_answer(answer.status, &answer.headers, &answer.body, &call.identity))
    }

    /// Sends `call` once, within the deadline, and reads the answer whatever its status.
    pub(crate) async fn send(&self, context: &Context, call: &Call<'_>) -> Result<Answer, Error> {
        timeout(&*context.clock, self.deadline, self.exchange(context, call)).await.map_err(|_| Error::Timeout)?
    }

    async fn exchange(&self, context: &Context, call: &Call<'_>) -> Result<Answer, Error> {
        let (parts, body) = context.http.send(self.request(call)?).await?.into_parts();
        let body = body.read(MAX_ANSWER_BYTES).await?;
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    fn request(&self, call: &Call<'_>) -> Result<platform::Request, Error> {
        let body = Body::from(call.body.clone());
        let mut request = self.bare_request(call.method.clone(), &call.path, body, &call.identity)?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if !call.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(profile) = call.profile {
            headers.insert(CONTENT_PROFILE, HeaderValue::from_static(profile));
        }
        Ok(request)
    }

    /// A request as `identity` that says nothing yet of media types.
    pub(crate) fn bare_request(
        &self,
        method: Method,
        path: &str,
        body: Body,
        identity: &Identity<'_>,
    ) -> Result<platform::Request, Error> {
        let uri: Uri = format!("{}{path}", self.base()).parse().map_err(|_| Error::Unusable("the URL".into()))?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        // A secret key together with a browser's name is refused, so ours is always said.
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("qlp-edge/", env!("CARGO_PKG_VERSION"))));
        self.identify(headers, identity)?;
        Ok(request)
    }

    /// The project's URL without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        self.config.url.as_str().trim_end_matches('/')
    }

    /// New keys (`sb_…`) are no JWTs and go into `apikey` alone; legacy keys are also the bearer token.
    fn identify(&self, headers: &mut HeaderMap, identity: &Identity<'_>) -> Result<(), Error> {
        let (key, token) = match identity {
            Identity::User(token) => (&self.config.publishable_key, Some(*token)),
            Identity::Service => {
                let key = self.config.secret_key.as_ref();
                (key.ok_or_else(|| Error::Unusable("no secret key is configured here".into()))?, None)
            }
            Identity::Anonymous => (&self.config.publishable_key, None),
        };
        let is_jwt = key.expose_secret().starts_with("eyJ");
        if let Some(token) = token.or(is_jwt.then_some(key)) {
            headers.insert(AUTHORIZATION, secret_header(&format!("Bearer {}", token.expose_secret()))?);
        }
        headers.insert(API_KEY, secret_header(key.expose_secret())?);
        Ok(())
    }
}

/// Without the keys.
impl fmt::Debug for Supabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supabase").field("url", &self.config.url.as_str()).finish_non_exhaustive()
    }
}

pub(crate) fn json(value: &impl Serialize) -> Result<Bytes, Error> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| Error::Unusable(error.to_string()))
}

/// The parser's message may quote the answer, so it is not kept.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|_| Error::Unusable("the answer has another form".into()))
}

fn secret_header(value: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(value).map_err(|_| Error::Unusable("a credential's characters".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn retry_pause(context: &Context) -> Duration {
    let mut random = [0];
    context.entropy.fill(&mut random);
    Duration::from_millis(RETRY_PAUSE_MILLIS + RETRY_PAUSE_MILLIS * u64::from(random[0]) / 255)
}
