use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use serde_json::Value;

use crate::rig::Connection;

/// What stands for Postgres: it takes rows for the accounts, each once by its id.
pub struct Database {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    mood: Mood,
    refusals: usize,
    waiting: usize,
    /// What came of each call, without repetitions.
    rows: BTreeMap<String, Vec<Value>>,
    largest: usize,
}

/// How the database behaves.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Works,
    /// It refuses at once.
    Away,
    /// It keeps its callers waiting.
    Hangs,
}

impl Database {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&all);
                std::thread::spawn(move || answer(stream, &shared));
            }
        });
        Self { address, shared }
    }

    /// What a Worker must know of it.
    pub fn variables(&self) -> Vec<(&'static str, &'static str)> {
        let url: &'static str = format!("http://{}", self.address).leak();
        vec![
            ("SUPABASE_URL", url),
            ("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_test"),
            ("SUPABASE_SECRET_KEY", "sb_secret_test"),
        ]
    }

    /// From now on it behaves like this.
    pub fn set(&self, mood: Mood) {
        self.state().mood = mood;
        self.shared.changed.notify_all();
    }

    /// How often it was called while it was away.
    pub fn refusals(&self) -> usize {
        self.state().refusals
    }

    /// How many callers it keeps waiting.
    pub fn waiting(&self) -> usize {
        self.state().waiting
    }

    /// Of which calls there are rows.
    pub fn ids(&self) -> Vec<String> {
        self.state().rows.keys().cloned().collect()
    }

    /// What the rows of this call say, in the order in which they came.
    pub fn statuses(&self, id: &str) -> Vec<String> {
        let state = self.state();
        let rows = state.rows.get(id).map_or(&[][..], Vec::as_slice);
        rows.iter().map(|row| row["status"].as_str().unwrap().to_owned()).collect()
    }

    /// The most rows that came at once.
    pub fn largest(&self) -> usize {
        self.state().largest
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

fn answer(stream: TcpStream, shared: &Shared) {
    let mut connection = Connection::over(stream);
    let head = connection.read_head();
    let Ok(body) = serde_json::from_slice::<Value>(&connection.read_body(&head)) else { return };
    assert!(head.line.starts_with("POST /rest/v1/rpc/record_llm_usage "), "{head:?}");
    let mut state = shared.state.lock().unwrap();
    state.waiting += 1;
    let mut state = shared.changed.wait_while(state, |state| state.mood == Mood::Hangs).unwrap();
    state.waiting -= 1;
    let (status, answer) = if state.mood == Mood::Away {
        state.refusals += 1;
        ("503 Service Unavailable", "{}")
    } else {
        let events = body["payload"]["events"].as_array().unwrap();
        state.largest = state.largest.max(events.len());
        for event in events {
            let rows = state.rows.entry(event["id"].as_str().unwrap().to_owned()).or_default();
            if !rows.contains(event) {
                rows.push(event.clone());
            }
        }
        ("200 OK", r#"{"refused":[]}"#)
    };
    drop(state);
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
    let _ = connection.try_write(&format!("{head}content-length: {}\r\n\r\n{answer}", answer.len()));
}
