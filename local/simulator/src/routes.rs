//! From a request to its answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::Answer;
use crate::behaviour::Behaviour;
use crate::chat::ChatRequest;
use crate::connection::Fate;
use crate::delivery::{Body, Delivery, Hangup};
use crate::dialect::Dialect;
use crate::error::ApiError;
use crate::exchange::{Progress, Received};
use crate::reply::{self, EVENT_STREAM, JSON};
use crate::rules::Traits;
use crate::script::{End, Frame, Script};
use crate::server::Simulator;
use crate::tally::{Endpoint, Outcome};
use crate::{bedrock, catalogue, control, embeddings, json_answer, messages, peer, responses, stream_answer};

/// The largest request body that the API takes.
const MOST_BODY_BYTES: usize = 64 << 20;
const HTML: &str =
    "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n";

/// The member of a request that speaks to the simulator.
#[derive(Deserialize, Default)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    marker: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    sim: Option<&'a RawValue>,
}

/// The members that are read before a request is known to be valid.
#[derive(Deserialize, Default)]
struct Addressed<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default, alias = "requestMetadata")]
    metadata: Option<&'a RawValue>,
}

/// A request of the API, recorded, with the behaviour that was chosen for it.
struct Call {
    progress: Progress,
    behaviour: Behaviour,
    fate: Fate,
    dialect: Dialect,
}

/// Answers one request, or ends its connection.
pub async fn answer(
    simulator: Arc<Simulator>,
    fate: Fate,
    request: Request<Incoming>,
) -> Result<Response<Body>, Hangup> {
    let path = request.uri().path();
    if path == "/healthz" {
        return Ok(reply::text(StatusCode::OK, "ok\n"));
    }
    if path.starts_with("/__sim") {
        return Ok(control::answer(&simulator, request).await);
    }
    if path.starts_with("/__peer/") {
        return peer::answer(&simulator, fate, request).await;
    }
    let endpoint = endpoint(path);
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MOST_BODY_BYTES).collect().await else {
        return Ok(reply::text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large, or broke off\n"));
    };
    api(&simulator, fate, endpoint, parts, body.to_bytes()).await
}

/// Azure and others put the same endpoints below other prefixes, so only the end of the path counts.
fn endpoint(path: &str) -> Endpoint {
    if path.ends_with("/chat/completions") || Dialect::of(path) != Dialect::OpenAi {
        Endpoint::Chat
    } else if path.ends_with("/responses") {
        Endpoint::Responses
    } else if path.ends_with("/embeddings") {
        Endpoint::Embeddings
    } else if path.ends_with("/models") || path.contains("/models/") {
        Endpoint::Models
    } else {
        Endpoint::Other
    }
}

async fn api(
    simulator: &Simulator,
    fate: Fate,
    endpoint: Endpoint,
    parts: Parts,
    body: Bytes,
) -> Result<Response<Body>, Hangup> {
    let Addressed { model, metadata } = serde_json::from_slice(&body).unwrap_or_default();
    let dialect = Dialect::of(parts.uri.path());
    let user = if dialect == Dialect::Messages { messages::metadata(&body) } else { None };
    let metadata = user.as_deref().or(metadata.map(RawValue::get));
    let metadata: Metadata<'_> = metadata.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let model = bedrock::model(parts.uri.path()).map(Cow::Owned).or(model);
    let target = parts.uri.path_and_query().map_or_else(|| parts.uri.path().to_owned(), ToString::to_string);
    let progress = simulator.log.receive(Received {
        endpoint,
        method: parts.method.clone(),
        target,
        body: body.clone(),
        model: model.as_deref().map(str::to_owned),
        marker: metadata.marker.as_deref().map(str::to_owned),
        headers: parts.headers,
    });
    let headers = &progress.exchange().request().headers;
    let path = parts.uri.path();
    let credential = dialect.credential(headers);
    let refusal = authorise(simulator, credential).and_then(|()| allow(endpoint, &parts.method, path)).err();
    let traits = Traits { api_key: credential, model: model.as_deref(), marker: metadata.marker.as_deref(), path };
    let chosen = match (refusal, simulator.queue.take(&traits)) {
        (Some(error), _) => Err(error),
        (None, Some(queued)) => Ok(queued),
        (None, None) => metadata.behaviour(progress.attempt),
    };
    match chosen {
        Ok(behaviour) => Call { progress, behaviour, fate, dialect }.answer(path, &body).await,
        Err(error) => Ok(Call { progress, behaviour: Behaviour::default(), fate, dialect }.refuse(&error)),
    }
}

fn authorise(simulator: &Simulator, credential: Option<&str>) -> Result<(), ApiError> {
    match (credential, simulator.options.api_key.as_deref()) {
        (None, _) => {
            let mut error = ApiError::usual(401, None);
            "You didn't provide an API key.".clone_into(&mut error.message);
            error.code = None;
            Err(error)
        }
        (Some(given), Some(wanted)) if given != wanted => Err(ApiError::usual(401, None)),
        _ => Ok(()),
    }
}

fn allow(endpoint: Endpoint, method: &Method, path: &str) -> Result<(), ApiError> {
    let expected = match endpoint {
        Endpoint::Chat | Endpoint::Responses | Endpoint::Embeddings => Method::POST,
        Endpoint::Models => Method::GET,
        Endpoint::Peer | Endpoint::Other => {
            let mut error = ApiError::invalid(&format!("Invalid URL ({method} {path})"), None);
            error.status = 404;
            return Err(error);
        }
    };
    if *method == expected {
        return Ok(());
    }
    let mut error = ApiError::invalid(&format!("Not allowed to {method} on {path}."), None);
    error.status = 405;
    error.code = Some("method_not_supported".to_owned());
    Err(error)
}

impl Metadata<'_> {
    /// The behaviour that the request itself asks for: of a list, the one for this attempt, or the last.
    fn behaviour(&self, attempt: u64) -> Result<Behaviour, ApiError> {
        let Some(raw) = self.sim else { return Ok(Behaviour::default()) };
        // Metadata of OpenAI's API maps strings to strings, so the behaviour comes as JSON in a string.
        let text =
            if raw.get().starts_with('"') { serde_json::from_str(raw.get()) } else { Ok(Cow::Borrowed(raw.get())) };
        let wrong = |error: serde_json::Error| {
            ApiError::invalid(
                &format!("The simulator does not understand metadata.sim: {error}."),
                Some("metadata.sim"),
            )
        };
        let text = plain(text.map_err(wrong)?);
        if !text.trim_start().starts_with('[') {
            return serde_json::from_str(&text).map_err(wrong);
        }
        if self.marker.is_none() {
            let message = "A list of behaviours is counted by metadata.marker, which is missing.";
            return Err(ApiError::invalid(message, Some("metadata.marker")));
        }
        let list: Vec<Behaviour> = serde_json::from_str(&text).map_err(wrong)?;
        let at = usize::try_from(attempt).unwrap_or(usize::MAX);
        Ok(list.get(at).or(list.last()).cloned().unwrap_or_default())
    }
}

/// Bedrock's metadata has no room for braces, so the JSON may come in base64.
fn plain(text: Cow<'_, str>) -> Cow<'_, str> {
    let decoded = STANDARD.decode(text.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.map_or(text, Cow::Owned)
}

impl Call {
    /// Waits, breaks off, refuses or answers, as the behaviour says.
    async fn answer(mut self, path: &str, body: &[u8]) -> Result<Response<Body>, Hangup> {
        if self.behaviour.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.behaviour.delay_ms)).await;
        }
        if self.behaviour.hang {
            std::future::pending::<()>().await;
        }
        if self.behaviour.reset || self.behaviour.close {
            if self.behaviour.reset {
                self.fate.reset();
            }
            self.progress.end(Outcome::Interrupted);
            return Err(Hangup);
        }
        let given = self.behaviour.body.clone().or_else(|| self.behaviour.html.then(|| HTML.to_owned()));
        if let Some(given) = given {
            return Ok(self.literally(given.into()));
        }
        if self.behaviour.status.is_some_and(|status| status != 200) {
            let error = ApiError::of(&self.behaviour);
            return Ok(self.refuse(&error));
        }
        let endpoint = self.progress.exchange().request().endpoint;
        let answered = match endpoint {
            Endpoint::Chat => {
                return Ok(match self.dialect {
                    Dialect::OpenAi => self.complete(body),
                    Dialect::Messages => self.message(body),
                    Dialect::Bedrock => self.converse(path, body),
                });
            }
            Endpoint::Responses => return Ok(self.respond(body)),
            Endpoint::Embeddings => embeddings::answer(body),
            _ => match path.split_once("/models/") {
                Some((_, id)) => catalogue::find(id),
                None => Ok(catalogue::list()),
            },
        };
        Ok(match answered {
            Ok(body) => self.whole(body, 0, JSON),
            Err(error) => self.refuse(&error),
        })
    }

    fn complete(self, body: &[u8]) -> Response<Body> {
        let request = match ChatRequest::parse(body) {
            Ok(request) => request,
            Err(error) => return self.refuse(&error),
        };
        let answer = Answer::to(&request, &self.behaviour);
        let exchange = self.progress.exchange();
        let model = self.behaviour.model.as_deref().or(request.model.as_deref()).unwrap_or_default();
        let (id, created) = (exchange.completion_id(), exchange.received_ms() / 1000);
        if request.stream == Some(true) {
            let asked = request.include_usage();
            let script = stream_answer::render(&answer, &id, model, created, asked, &self.behaviour);
            return self.play(script, None, EVENT_STREAM);
        }
        let body = json_answer::render(&answer, &id, model, created, &self.behaviour);
        self.whole(body, answer.counts.completion, JSON)
    }

    fn respond(self, body: &[u8]) -> Response<Body> {
        let chat = match responses::chat_request(body) {
            Ok(chat) => chat,
            Err(error) => return self.refuse(&error),
        };
        let request = match ChatRequest::parse(&chat) {
            Ok(request) => request,
            Err(error) => return self.refuse(&error),
        };
        let answer = Answer::to(&request, &self.behaviour);
        let exchange = self.progress.exchange();
        let model = self.behaviour.model.as_deref().or(request.model.as_deref()).unwrap_or_default();
        let (id, created) = (exchange.completion_id(), exchange.received_ms() / 1000);
        if request.stream == Some(true) {
            let script = responses::render_stream(&answer, &id, model, created, &self.behaviour);
            return self.play(script, None, EVENT_STREAM);
        }
        let body = responses::render_json(&answer, &id, model, created, &self.behaviour);
        self.whole(body, answer.counts.completion, JSON)
    }

    fn message(self, body: &[u8]) -> Response<Body> {
        let chat = match messages::chat_request(body, &self.progress.exchange().request().headers) {
            Ok(chat) => chat,
            Err(error) => return self.refuse(&error),
        };
        let request = match ChatRequest::parse(&chat) {
            Ok(request) => request,
            Err(error) => return self.refuse(&error),
        };
        let answer = Answer::to(&request, &self.behaviour);
        let model = self.behaviour.model.as_deref().or(request.model.as_deref()).unwrap_or_default();
        let id = self.progress.exchange().message_id();
        if request.stream == Some(true) {
            let script = messages::render_stream(&answer, &id, model, &self.behaviour);
            return self.play(script, None, EVENT_STREAM);
        }
        let body = messages::render_json(&answer, &id, model, &self.behaviour);
        self.whole(body, answer.counts.completion, JSON)
    }

    fn converse(self, path: &str, body: &[u8]) -> Response<Body> {
        let completion = match bedrock::completion(body) {
            Ok(completion) => completion.to_string(),
            Err(error) => return self.refuse(&error),
        };
        let request = match ChatRequest::parse(completion.as_bytes()) {
            Ok(request) => request,
            Err(error) => return self.refuse(&error),
        };
        let answer = Answer::to(&request, &self.behaviour);
        if bedrock::is_stream(path) {
            let script = bedrock::stream(&answer, &self.behaviour);
            return self.play(script, None, bedrock::EVENT_STREAM);
        }
        let body = bedrock::whole(&answer, &self.behaviour);
        self.whole(body, answer.counts.completion, JSON)
    }

    /// A body that the test wrote.
    fn literally(self, body: Bytes) -> Response<Body> {
        let media_type = if self.behaviour.html { "text/html; charset=utf-8" } else { JSON };
        self.whole(body, 0, media_type)
    }

    fn refuse(mut self, error: &ApiError) -> Response<Body> {
        self.progress.begin(error.status);
        self.progress.end(Outcome::Refused);
        let exchange = self.progress.exchange();
        let body = Body::whole(self.dialect.error_body(error, &self.behaviour, &exchange.id()));
        let mut response = reply::api(error.status, JSON, body, exchange, &self.behaviour);
        self.dialect.head(response.headers_mut(), Some(error));
        response
    }

    /// A body of known size: in one piece, unless the behaviour splits it or cuts it off.
    fn whole(mut self, body: Bytes, tokens: usize, media_type: &'static str) -> Response<Body> {
        if !self.behaviour.writes_plainly() || self.behaviour.cut_after_bytes.is_some() {
            let frame = Frame { end: body.len(), wait: None, tokens };
            let script = Script::lay_out(&body, &[frame], End::Complete, &self.behaviour);
            return self.play(script, Some(body.len() as u64), media_type);
        }
        let status = self.behaviour.status.unwrap_or(200);
        self.progress.begin(status);
        self.progress.sent(1, tokens);
        self.progress.end(if status < 400 { Outcome::Finished } else { Outcome::Refused });
        let mut response = reply::api(status, media_type, Body::whole(body), self.progress.exchange(), &self.behaviour);
        self.dialect.head(response.headers_mut(), None);
        response
    }

    fn play(self, script: Script, declared: Option<u64>, media_type: &'static str) -> Response<Body> {
        let status = self.behaviour.status.unwrap_or(200);
        self.progress.begin(status);
        let empty = Body::whole(Bytes::new());
        let mut response = reply::api(status, media_type, empty, self.progress.exchange(), &self.behaviour);
        self.dialect.head(response.headers_mut(), None);
        let delivery = Delivery::new(script, declared, self.progress, self.fate);
        response.map(|_| Body::Played(Box::new(delivery)))
    }
}
