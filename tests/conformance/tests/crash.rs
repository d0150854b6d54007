//! What is left of the accounts when the edge, PostgreSQL or both are killed under load: nothing lost, nothing doubled.
//!
//! `CRASH_ROUNDS` says how often (6 unless it is set), `CRASH_SEED` when.

#![allow(clippy::disallowed_methods)] // a test binary: it has a process environment and waits for what runs beside it
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a failed expectation ends its test

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use local_stack::{Edge, Host, Options, Settings, Stack};
use serde_json::{Value, json};
use ureq::Agent;

/// Short deadlines, so that the calls of a killed edge expire within the test.
const SETTINGS: [(&str, &str); 8] = [
    ("LLM_HEADERS_TIMEOUT_MS", "1000"),
    ("LLM_FIRST_TOKEN_TIMEOUT_MS", "1000"),
    ("LLM_IDLE_TIMEOUT_MS", "1000"),
    ("LLM_STREAM_TIMEOUT_MS", "1000"),
    ("LLM_ANSWER_TIMEOUT_MS", "1000"),
    ("LLM_USER_REQUESTS_PER_HOUR", "1000000"),
    ("LLM_ORG_REQUESTS_PER_HOUR", "1000000"),
    ("LEDGER_DEADLINE_MS", "10000"),
];
const CALLERS: usize = 8;
const BUDGET: u64 = 900_000_000_000_000;
const PASSWORD: &str = "correct horse battery staple";
/// What the simulator is told to report of every call, and what that costs on `sim-1`.
const REPORTED: (u64, u64) = (11, 7);
const COST: u64 = 11 * 100 + 7 * 400;

/// What is reserved for one: a token for each of its 29 bytes of text, and 20 tokens of answer.
const RESERVED: u64 = 29 * 100 + 20 * 400;

/// What a caller knows of its calls: whether each was answered as a whole.
type Calls = BTreeMap<String, bool>;

struct Scene {
    stack: Stack,
    host: Host,
    edge: Option<Edge>,
    agent: Agent,
    token: String,
    random: u64,
}

#[test]
fn workerd_killed_under_load_loses_and_doubles_nothing() {
    Scene::start(Host::Workerd).crash_and_count();
}

#[test]
fn the_native_server_killed_under_load_loses_and_doubles_nothing() {
    Scene::start(Host::Native).crash_and_count();
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

impl Scene {
    fn start(host: Host) -> Self {
        let state = tempfile::Builder::new().prefix("qlp-crash").tempdir().unwrap().keep();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let mut stack = Stack::start(&Options {
            root: &root,
            state: &state,
            hosts: &[host],
            port: 0,
            durable: true,
            release: false,
            settings: &Settings::from(SETTINGS),
            progress: &|step| eprintln!("  {step}"),
        })
        .unwrap_or_else(|error| panic!("{error}"));
        let edge = stack.take_edge(host);
        let agent = Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(20)));
        let mut scene = Self {
            stack,
            host,
            edge,
            agent: agent.build().into(),
            token: String::new(),
            random: number("CRASH_SEED", 7),
        };
        scene.sign_up();
        scene
    }

    fn url(&self) -> String {
        self.edge.as_ref().unwrap().url.clone()
    }

    fn sign_up(&mut self) {
        let account = json!({"email": "crash@example.com", "password": PASSWORD});
        let session = self
            .agent
            .post(format!("{}/auth/signup", self.url()))
            .header("content-type", "application/json")
            .send(account.to_string());
        let session: Value = serde_json::from_str(&session.unwrap().body_mut().read_to_string().unwrap()).unwrap();
        session["access_token"].as_str().unwrap().clone_into(&mut self.token);
        let budget = json!({"limits": [{"unit": "nano_usd", "window": "month", "limit": BUDGET}]});
        let set = self.agent.put(format!("{}/v1/limits/org", self.url()));
        let set = set.header("authorization", format!("Bearer {}", self.token));
        let set = set.header("content-type", "application/json").send(budget.to_string()).unwrap();
        assert_eq!(set.status(), 200);
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn crash_and_count(mut self) {
        let (rounds, mut calls) = (number("CRASH_ROUNDS", 6), Calls::new());
        for round in 0..rounds {
            calls.extend(self.crash_once(round));
        }
        let answered = calls.values().filter(|whole| **whole).count();
        eprintln!("  {rounds} rounds on {}: {} calls, {answered} answered as a whole", self.host.name(), calls.len());
        assert!(answered > 0 && answered < calls.len(), "the load was none: {answered} of {}", calls.len());
        self.count(&calls);
    }

    /// Load until something is killed; then all of it runs again.
    fn crash_once(&mut self, round: u64) -> Calls {
        let (url, over, made) = (self.url(), AtomicBool::new(false), AtomicU64::new(0));
        let after = Duration::from_millis(50 + self.below(400));
        let calls = thread::scope(|scope| {
            let (scene, over, made) = (&*self, &over, &made);
            let callers: Vec<_> = (0..CALLERS)
                .map(|caller| {
                    let url = &url;
                    scope.spawn(move || {
                        let mut calls = Calls::new();
                        while !over.load(Ordering::Relaxed) {
                            let number = made.fetch_add(1, Ordering::Relaxed);
                            let id = format!("crash-{round}-{number}");
                            calls.insert(id.clone(), scene.call(url, &id, caller % 2 == 0));
                        }
                        calls
                    })
                })
                .collect();
            thread::sleep(after);
            over.store(true, Ordering::Relaxed);
            if kills_the_edge(round) {
                kill(scene.edge.as_ref().unwrap().pid());
            }
            if round % 3 == 1 {
                kill(scene.stack.description.pids["postgres"]);
            }
            callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
        });
        if !round.is_multiple_of(3) {
            self.stack.crash_postgres().unwrap();
        }
        if kills_the_edge(round) {
            self.edge = None;
            let edge = self.stack.launcher.start(self.host, 0, &[]);
            self.edge = Some(edge.unwrap_or_else(|error| panic!("{error}")));
        }
        calls
    }

    /// One call; whether its answer came as a whole.
    fn call(&self, url: &str, id: &str, stream: bool) -> bool {
        let (input, output) = REPORTED;
        let usage = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
        let behaviour = json!({"usage": usage, "tokens": 4, "interval_ms": 5});
        let body = json!({
            "model": "sim-1", "stream": stream, "max_tokens": 20,
            "messages": [{"role": "user", "content": "Say something."}],
            "metadata": {"marker": id, "sim": behaviour.to_string()},
        });
        let request = self.agent.post(format!("{url}/v1/chat/completions"));
        let request = request.header("authorization", format!("Bearer {}", self.token)).header("x-request-id", id);
        let answer = request.header("content-type", "application/json").send(body.to_string());
        let Ok(mut answer) = answer else { return false };
        let Ok(text) = answer.body_mut().read_to_string() else { return false };
        answer.status() == 200 && (!stream || text.contains("[DONE]"))
    }

    /// Every call that reached the provider has one row; what the ledger has spent is their sum.
    fn count(&self, calls: &Calls) {
        let deadline = Instant::now() + Duration::from_mins(3);
        loop {
            let finding = self.find_fault(calls);
            match finding {
                None => return,
                Some(fault) if Instant::now() > deadline => panic!("{fault}"),
                Some(_) => thread::sleep(Duration::from_millis(500)),
            }
        }
    }

    fn find_fault(&self, calls: &Calls) -> Option<String> {
        let mut database =
            postgres::Client::connect(self.stack.description.database_url.as_ref().unwrap(), postgres::NoTls).unwrap();
        let rows = database.query("select request_id, status, cost_nano_usd from public.llm_usage", &[]).unwrap();
        let mut found: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
        let mut sum = 0;
        for row in rows {
            let cost = row.get::<_, Option<i64>>(2).unwrap_or(0);
            sum += cost.unsigned_abs();
            found.entry(row.get(0)).or_default().push((row.get(1), cost));
        }
        for (id, whole) in calls {
            let rows = found.get(id).map_or(&[][..], Vec::as_slice);
            let is_right = match rows {
                [(status, cost)] if *whole && status == "success" => cost.unsigned_abs() == COST,
                // The edge was killed before it could tell how the call had ended.
                [(status, cost)] if *whole && status == "abandoned" => {
                    kills_the_edge(round_of(id)) && cost.unsigned_abs() == RESERVED
                }
                [] => !*whole && self.served(id) == 0,
                [_] => !*whole,
                _ => false,
            };
            if !is_right {
                return Some(format!(
                    "{id} (answered as a whole: {whole}) has the rows {rows:?}, served {}",
                    self.served(id)
                ));
            }
        }
        let left = self.left();
        (left != BUDGET - sum)
            .then(|| format!("the ledger has {} spent and held, the rows come to {sum}", BUDGET - left))
    }

    /// How often the provider was asked for this call.
    fn served(&self, id: &str) -> u64 {
        let counters = format!("{}?marker={id}", self.stack.description.simulator.as_ref().unwrap().counters);
        let counters = self.agent.get(counters).call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str::<Value>(&counters).unwrap()["requests"]["chat"].as_u64().unwrap_or(0)
    }

    /// What the ledger says is left of the budget.
    fn left(&self) -> u64 {
        let limits = self.agent.get(format!("{}/v1/limits", self.url()));
        let limits = limits.header("authorization", format!("Bearer {}", self.token)).call();
        let Ok(mut limits) = limits else { return 0 };
        let limits: Value = serde_json::from_str(&limits.body_mut().read_to_string().unwrap()).unwrap();
        let all = limits["data"].as_array().cloned().unwrap_or_default();
        all.iter().find(|limit| limit["unit"] == "nano_usd").map_or(0, |limit| limit["remaining"].as_u64().unwrap())
    }
}

/// The edge, PostgreSQL, both, and so on.
fn kills_the_edge(round: u64) -> bool {
    round % 3 != 1
}

fn round_of(id: &str) -> u64 {
    id.split('-').nth(1).unwrap().parse().unwrap()
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
