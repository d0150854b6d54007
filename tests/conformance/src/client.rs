use std::time::Duration;

use serde_json::Value;
use ureq::http;

use crate::hygiene;

/// A client of one edge. Every answer it returns has passed the checks in `hygiene`.
#[derive(Clone)]
pub struct Client {
    /// The edge's base URL.
    pub base: String,
    agent: ureq::Agent,
    token: Option<String>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body's bytes.
    pub body: Vec<u8>,
}

fn agent(patience: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
    config.timeout_global(Some(patience)).build().into()
}

impl Client {
    /// A client without a credential.
    pub fn new(base: &str) -> Self {
        Self { base: base.to_owned(), agent: agent(Duration::from_secs(30)), token: None }
    }

    /// The same client, for a machine that has much else to do.
    #[must_use]
    pub fn patient(&self) -> Self {
        Self { agent: agent(Duration::from_mins(3)), ..self.clone() }
    }

    /// The same client with `Authorization: Bearer <token>`.
    #[must_use]
    pub fn bearer(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// `GET path`.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    /// `POST path` with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], Some(body.to_string().into_bytes()))
    }

    /// Any request. Header values may be any bytes that HTTP allows.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Answer {
        let answer = self.exchange(method, path, headers, body);
        hygiene::check(method, path, &answer);
        answer
    }

    fn exchange(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Answer {
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            Some(body) => self.agent.run(request.body(body).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        };
        let mut response = response.unwrap_or_else(|error| panic!("{method} {path}: no answer: {error}"));
        let body = response.body_mut().with_config().limit(64 << 20).read_to_vec();
        let body = body.unwrap_or_else(|error| panic!("{method} {path}: the body broke: {error}"));
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Asserts the status and returns the answer.
    #[expect(clippy::return_self_not_must_use, reason = "an assertion, often the last one")]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Asserts an error in the OpenAI shape with this status and code.
    pub fn expect_openai_error(self, status: u16, code: &str) -> Value {
        let error = self.expect(status).json()["error"].clone();
        assert_eq!(error["code"], code, "{error}");
        error
    }

    /// Asserts a problem document with this status and slug.
    pub fn expect_problem(self, status: u16, slug: &str) -> Value {
        let problem = self.expect(status).json();
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{problem}");
        problem
    }
}
