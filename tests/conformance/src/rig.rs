use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use local_stack::{Description, Edge, Host, Launcher};
use serde_json::{Value, json};

use crate::{Client, EventStream};

/// One edge under test, and the services behind it that can be told to misbehave.
#[derive(Clone)]
pub struct Rig {
    /// The host's name.
    pub host: &'static str,
    /// The host.
    pub kind: Host,
    /// Starts further edges.
    pub launcher: Launcher,
    /// A client of the edge without a credential.
    pub edge: Client,
    /// The stack it belongs to.
    pub stack: Description,
}

/// A word that no other test of this run uses.
pub fn marker(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Polls `look` until it finds something, at most 10 s.
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "this did not happen within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Rig {
    /// The demo user's client.
    pub fn user(&self) -> Client {
        self.edge.bearer(&self.stack.demo.access_token)
    }

    /// A client of the LLM simulator itself: what "direct" means in a comparison.
    pub fn simulator(&self) -> Plain {
        Plain::new(&self.stack.simulator.as_ref().expect("the stack runs with the simulator").url)
    }

    /// A client of Supabase itself.
    pub fn supabase(&self) -> Plain {
        Plain::new(&self.stack.supabase.url)
    }

    /// Another edge on the same host, with some variables changed; an empty value unsets one.
    pub fn edge_with(&self, overrides: &[(String, String)]) -> Edge {
        self.launcher.start(self.kind, 0, overrides).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Signs a new user up through the edge; returns the e-mail address and the session.
    pub fn new_user(&self) -> (String, Value) {
        let email = format!("{}@example.com", marker(self.host));
        let session = self.edge.post("/auth/signup", &json!({"email": email, "password": PASSWORD})).expect(200).json();
        (email, session)
    }

    /// A request for a chat completion that the simulator answers as `behaviour` says.
    pub fn chat(marker: &str, behaviour: &Value, stream: bool) -> Value {
        json!({
            "model": "default",
            "stream": stream,
            "messages": [{"role": "user", "content": "Say something about edges."}],
            "metadata": {"marker": marker, "sim": behaviour.to_string()},
        })
    }

    /// Streams a completion as the demo user.
    pub fn stream(&self, body: &Value) -> EventStream {
        EventStream::post(&self.edge.base, "/v1/chat/completions", &self.stack.demo.access_token, body)
    }

    /// What the simulator noted of the requests with `marker`.
    pub fn seen(&self, marker: &str) -> Value {
        self.simulator().get(&format!("/__sim/counters?marker={marker}"))
    }

    /// The usage rows of the requests whose `x-request-id` was `request_id`, read from the database's table as the
    /// service role.
    pub fn usage_rows(&self, request_id: &str) -> Vec<Value> {
        let path = format!("/rest/v1/llm_usage?request_id=eq.{request_id}&select=*");
        let rows = self
            .supabase()
            .get_with(&path, &[("apikey", &self.stack.supabase.secret_key), ("accept-profile", "public")]);
        rows.as_array().cloned().unwrap_or_else(|| panic!("no rows but {rows}"))
    }

    /// Waits for the one usage row of a request, which is written after the answer.
    pub fn usage_row(&self, request_id: &str) -> Value {
        wait_until("the usage row appears", || self.usage_rows(request_id).pop())
    }
}

/// The password of users that tests make.
pub const PASSWORD: &str = "correct horse battery staple";

/// A client of something that is not under test, without checks.
pub struct Plain {
    base: String,
    agent: ureq::Agent,
}

impl Plain {
    fn new(base: &str) -> Self {
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(30)));
        Self { base: base.to_owned(), agent: config.build().into() }
    }

    /// `GET path`, as JSON.
    pub fn get(&self, path: &str) -> Value {
        self.get_with(path, &[])
    }

    /// `GET path` with headers, as JSON.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Value {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.call().unwrap().body_mut().read_json().unwrap()
    }

    /// `POST path` with headers and JSON, as JSON.
    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Value {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send_json(body).unwrap().body_mut().read_json().unwrap()
    }

    /// `POST path` with JSON: the answer's text.
    pub fn post(&self, path: &str, body: &Value) -> String {
        self.agent.post(format!("{}{path}", self.base)).send_json(body).unwrap().body_mut().read_to_string().unwrap()
    }
}
