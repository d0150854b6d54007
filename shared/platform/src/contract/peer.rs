use std::fmt::Display;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use url::Url;

use crate::{Body, Context, Request, Response, timeout};

/// The HTTP peer, reached through the host under test.
#[derive(Clone)]
pub struct Peer {
    context: Context,
    url: Url,
}

/// What the peer's echo saw of a request.
pub(super) struct Echo(Value);

const LIMIT: usize = 4 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

impl Peer {
    pub(super) fn new(context: Context, url: Url) -> Self {
        Self { context, url }
    }

    /// The peer's host with another port.
    pub(super) fn with_port(&self, port: u16) -> Self {
        let mut url = self.url.clone();
        // It fails only for URLs without a host.
        let _ = url.set_port(Some(port));
        Self { context: self.context.clone(), url }
    }

    /// The address of an endpoint.
    pub(super) fn uri(&self, path_and_query: &str) -> Result<String, String> {
        self.url.join("/__peer/").and_then(|base| base.join(path_and_query)).map(Into::into).map_err(text)
    }

    pub(super) fn request(&self, method: &str, endpoint: &str, body: Body) -> Result<Request, String> {
        http::Request::builder().method(method).uri(self.uri(endpoint)?).body(body).map_err(text)
    }

    pub(super) async fn send(&self, request: Request) -> Result<Response, String> {
        let sent = timeout(&*self.context.clock, PATIENCE, self.context.http.send(request)).await;
        sent.map_err(text)?.map_err(text)
    }

    pub(super) async fn get(&self, endpoint: &str) -> Result<Response, String> {
        self.send(self.request("GET", endpoint, Body::empty())?).await
    }

    pub(super) async fn get_json(&self, endpoint: &str) -> Result<Value, String> {
        json(self.get(endpoint).await?).await
    }

    pub(super) async fn echo(&self, request: Request) -> Result<Echo, String> {
        json(self.send(request).await?).await.map(Echo)
    }
}

impl Echo {
    pub(super) fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// The values of a header, in order.
    pub(super) fn header(&self, name: &str) -> Vec<&str> {
        let pairs = self.0.get("headers").and_then(Value::as_array).into_iter().flatten();
        let named = pairs.filter(|pair| pair.get(0).and_then(Value::as_str) == Some(name));
        named.filter_map(|pair| pair.get(1).and_then(Value::as_str)).collect()
    }

    pub(super) fn body(&self) -> Result<Bytes, String> {
        STANDARD.decode(self.text("body")).map(Into::into).map_err(text)
    }
}

pub(super) async fn json(response: Response) -> Result<Value, String> {
    let status = response.status();
    let body = response.into_body().read(LIMIT).await.map_err(text)?;
    serde_json::from_slice(&body).map_err(|error| format!("the peer answered {status} without JSON: {error}"))
}

pub(super) fn text(error: impl Display) -> String {
    error.to_string()
}
