//! The proxy from the outside, on a host that does only what a test wrote down.

mod accounts;
mod anthropic;
mod azure;
mod bedrock;
mod budgets;
mod cache;
mod callers;
mod catalog;
mod embeddings;
mod failover;
mod guard_rails;
mod json_answers;
mod messages;
mod prices;
mod prompt_log;
mod requests;
mod resources;
mod responses;
mod streams;
mod usage;

use std::future::Future;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::StreamExt;
use http::header::CONTENT_TYPE;
use platform::fakes::{Host, Recorded, StreamHandle, streamed_body};
use platform::{Body, Request, Response, SendError};
use problem::{Dialect, Problem};
use serde_json::{Value, json};
use telemetry::RequestId;
use uuid::Uuid;

use super::*;

const USER: Uuid = Uuid::from_u128(7);
const KEY: &str = "sk-simulator-key";
const SUPABASE: &str = "https://project.test";

/// A proxy on a scripted host: Supabase answers by itself, the provider as the test says.
struct Scene {
    host: Host,
    proxy: LlmProxy,
    /// How Supabase answers each function.
    database: Arc<Mutex<Database>>,
}

struct Database {
    models: Value,
    /// What fails instead of answering, first come first served.
    failures: Vec<u16>,
    unreachable: bool,
    /// Rows that were written without the ledger.
    recorded: Vec<Value>,
    /// Of everybody's cached answers.
    generation: u64,
    /// Prompts that were logged.
    logged: Vec<Value>,
    /// What an export has, two rows a page.
    exported: Vec<Value>,
}

impl Scene {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(variables: &[(&str, &str)]) -> Self {
        let host = Host::new()
            .variable("LLM_SIMULATOR_URL", "http://simulator.test")
            .variable("LLM_SIMULATOR_API_KEY", KEY)
            .variable("SUPABASE_URL", SUPABASE)
            .variable("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_x")
            .variable("SUPABASE_SECRET_KEY", "sb_secret_x");
        for (name, value) in variables {
            host.variables.set(name, value);
        }
        let supabase = Supabase::new(host.block_on(supabase::Config::load(&host.variables)).unwrap());
        let config = host.block_on(Config::read(&mut platform::Configuration::of(&host.variables))).unwrap();
        let token = host.block_on(token::Config::load(&host.variables)).unwrap();
        let limits = host.block_on(limits::Config::read(&mut platform::Configuration::of(&host.variables))).unwrap();
        let proxy = LlmProxy::new(config, limits, supabase, Arc::new(Authenticator::new(token)));
        let database = Arc::new(Mutex::new(Database {
            models: models(),
            failures: Vec::new(),
            unreachable: false,
            recorded: Vec::new(),
            generation: 0,
            logged: Vec::new(),
            exported: Vec::new(),
        }));
        Self { host, proxy, database }
    }

    /// Lets the provider answer every call by `provider`.
    fn provider(&self, provider: impl Fn() -> Result<Response, SendError> + Send + Sync + 'static) {
        let database = Arc::clone(&self.database);
        self.host.http.handle(move |request| {
            let answer = if request.uri().host() == Some("project.test") {
                database.lock().unwrap().answer(request)
            } else {
                provider()
            };
            async move { answer }
        });
    }

    /// The provider answers 200 with a JSON body.
    fn provider_json(&self, json: &'static str) {
        self.provider(move || Ok(response(200, "application/json", json)));
    }

    /// The provider streams what the test writes into the handle. For one call; then it fails.
    fn provider_stream(&self) -> StreamHandle {
        let (handle, body) = streamed_body();
        let body = Mutex::new(Some(body));
        self.provider(move || {
            let Some(body) = body.lock().unwrap().take() else { return Ok(response(500, "application/json", "{}")) };
            Ok(http::Response::builder().header(CONTENT_TYPE, "text/event-stream; charset=utf-8").body(body).unwrap())
        });
        handle
    }

    fn run<F: Future>(&self, future: F) -> F::Output {
        self.host.block_on(future)
    }

    fn call(&self, request: Request) -> Result<Response, Problem> {
        self.run(self.proxy.route(request, caller(), &self.host.context()))
    }

    fn complete(&self, body: &str) -> Result<Response, Problem> {
        self.call(post(body.to_owned()))
    }

    /// Asks at another endpoint.
    fn ask(&self, path: &str, body: &str) -> Result<Response, Problem> {
        self.call(post_to(path, body.to_owned()))
    }

    /// What comes of a stream that the provider sends in these parts and then ends, and the usage event.
    fn relay(&self, path: &str, request: &str, parts: &[&[u8]]) -> (String, Value) {
        let provider = self.provider_stream();
        for part in parts {
            provider.send(part.to_vec());
        }
        provider.finish();
        let answer = self.ask(path, request).unwrap();
        (text(self, answer), self.event())
    }

    /// Lets the ledger answer calls that wait for it.
    fn admit(&self) {
        self.host.background.poll(std::task::Waker::noop());
    }

    /// Runs what was to be done after the answers, and returns every usage event that the ledger has.
    fn events(&self) -> Vec<Value> {
        self.run(self.host.background.run_all());
        self.host.ledger.ended().iter().map(|event| as_stored(event)).collect()
    }

    /// The only usage event.
    fn event(&self) -> Value {
        let events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        events.into_iter().next().unwrap()
    }

    fn calls_to(&self, function: &str) -> usize {
        self.host.http.requests().iter().filter(|request| request.uri.path().ends_with(function)).count()
    }

    fn sent_count(&self) -> usize {
        self.host.http.requests().iter().filter(|request| request.uri.host() == Some("simulator.test")).count()
    }

    /// What was sent to the provider.
    fn sent(&self) -> Recorded {
        let mut requests = self.host.http.requests();
        requests.retain(|request| request.uri.host() == Some("simulator.test"));
        assert_eq!(requests.len(), 1);
        requests.remove(0)
    }
}

impl Database {
    fn answer(&mut self, request: Request) -> Result<Response, SendError> {
        if self.unreachable {
            return Err(SendError::Unreachable("the database is away".into()));
        }
        if !self.failures.is_empty() {
            return Ok(response(self.failures.remove(0), "application/json", "{}"));
        }
        let function = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let platform::Content::Bytes(body) = request.into_body().into_content() else { panic!("a stream") };
        let arguments: Value = serde_json::from_slice(&body).unwrap();
        let answer = match function.as_str() {
            "list_models" => self.models.clone(),
            "record_llm_usage" => {
                self.recorded.extend(arguments["payload"]["events"].as_array().unwrap().clone());
                json!({"recorded": 1})
            }
            "usage_summary" => json!({"data": [], "echo": arguments["payload"]}),
            "llm_cache_generation" => json!({"generation": self.generation}),
            "purge_llm_cache" => {
                self.generation += 1;
                json!({"generation": self.generation})
            }
            "record_prompt_log" => {
                self.logged.push(arguments["payload"].clone());
                json!({"recorded": 1})
            }
            "expire_prompt_logs" => json!({"deleted": 0, "more": false}),
            "export_usage" => self.export(&arguments["payload"]),
            "touch_keys" => json!({"touched": 1}),
            "authz_changes" => json!({"as_of": "2026-01-01T00:00:00Z", "changes": {}}),
            other => panic!("nobody calls {other}"),
        };
        Ok(response(200, "application/json", answer.to_string()))
    }
}

impl Database {
    fn export(&self, payload: &Value) -> Value {
        let after = self.exported.iter().position(|row| row[0] == payload["after"]).map_or(0, |at| at + 1);
        let page: Vec<_> = self.exported.iter().skip(after).take(2).cloned().collect();
        let last = page.last().filter(|_| after + 2 < self.exported.len());
        json!({"columns": ["id", "alias"], "rows": page, "next_after": last.map(|row| &row[0])})
    }
}

fn models() -> Value {
    let route = |provider: &str, model: &str| json!({"provider": provider, "model": model, "input_nano_usd": 150, "output_nano_usd": 600, "cached_input_nano_usd": 75});
    let mut unpriced = route("simulator", "sim/free");
    unpriced["input_nano_usd"] = Value::Null;
    json!({"models": [
        {"alias": "default", "created": 1_700_000_000, "owned_by": "qlp", "routes": [route("together", "meta/llama"), route("simulator", "sim/large")]},
        {"alias": "elsewhere", "created": 1_700_000_001, "owned_by": "qlp", "routes": [route("together", "meta/llama")]},
        {"alias": "claude", "created": 1_700_000_003, "owned_by": "qlp", "routes": [route("anthropic", "claude-x")]},
        {"alias": "unpriced", "created": 1_700_000_002, "owned_by": "qlp", "routes": [unpriced]},
    ]})
}

fn caller() -> Caller {
    let headers = http::HeaderMap::from_iter([(telemetry::X_REQUEST_ID, "request-1".parse().unwrap())]);
    let request = RequestId::accept(&headers, &Host::new().context());
    let payer = Payer {
        member: Member { user: USER, org: None, key: None, tier: token::Tier::T1 },
        request,
        logs_prompts: false,
    };
    Caller { payer, rules: LlmRules::default(), user_token: Some(SecretString::from("user.access.token")) }
}

fn post(body: impl Into<Body>) -> Request {
    post_to("/v1/chat/completions", body)
}

fn post_to(path: &str, body: impl Into<Body>) -> Request {
    let request = http::Request::post(format!("https://edge.test{path}")).header(CONTENT_TYPE, "application/json");
    request.body(body.into()).unwrap()
}

fn get(uri: &str) -> Request {
    http::Request::get(uri).body(Body::empty()).unwrap()
}

fn response(status: u16, media_type: &str, body: impl Into<Bytes>) -> Response {
    http::Response::builder().status(status).header(CONTENT_TYPE, media_type).body(Body::from(body.into())).unwrap()
}

fn text(scene: &Scene, response: Response) -> String {
    let bytes = scene.run(response.into_body().read(64 << 20)).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The pieces in which a body comes, each as text.
fn pieces(scene: &Scene, response: Response) -> Vec<String> {
    let mut stream = response.into_body().into_stream();
    let mut pieces = Vec::new();
    while let Some(piece) = scene.run(stream.next()) {
        pieces.push(String::from_utf8(piece.unwrap().to_vec()).unwrap());
    }
    pieces
}

/// A problem as the caller sees it: status, headers, `error` member.
fn refused(problem: Problem) -> (u16, http::HeaderMap, Value) {
    let response = problem.into_response(Dialect::OpenAi, "request-1");
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    (response.status().as_u16(), response.headers().clone(), body["error"].clone())
}

#[test]
fn a_call_can_move_between_threads() {
    fn assert_send<T: Send>(_: &T) {}
    fn check(proxy: &LlmProxy, request: Request, context: &Context) {
        assert_send(&proxy.answer(request, context));
        assert_send(&proxy.flush(context));
    }
    let _ = check;
}

/// A row of the accounts as the database reads it: what is not there is nothing.
fn as_stored(event: &str) -> Value {
    let mut stored = json!({
        "org_id": null, "api_key_id": null, "service_tier": null, "stream": false, "http_status": null,
        "finish_reason": null, "cached_input_tokens": 0, "cache_write_tokens": 0,
        "cache_write_1h_tokens": 0, "cost_nano_usd": null,
        "price_version": null, "cache_hit": false, "latency_ms": 0, "time_to_first_token_ms": null, "attempts": 0,
    });
    let event: serde_json::Map<String, Value> = serde_json::from_str(event).unwrap();
    stored.as_object_mut().unwrap().extend(event);
    stored
}
