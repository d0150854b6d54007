use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;

use crate::rig::Connection;

/// What stands for Postgres: it takes rows for the accounts, each once by its id.
pub struct Database {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    away: bool,
    refusals: usize,
    rows: BTreeMap<String, Value>,
    largest: usize,
}

impl Database {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::<Mutex<State>>::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream, &state));
            }
        });
        Self { address, state }
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

    /// From now on it does not do its work, or does.
    pub fn away(&self, away: bool) {
        self.state().away = away;
    }

    /// How often it was called while it was away.
    pub fn refusals(&self) -> usize {
        self.state().refusals
    }

    /// Of which calls there is a row.
    pub fn ids(&self) -> Vec<String> {
        self.state().rows.keys().cloned().collect()
    }

    /// What the row of this call says.
    pub fn status(&self, id: &str) -> Option<String> {
        Some(self.state().rows.get(id)?["status"].as_str()?.to_owned())
    }

    /// The most rows that came at once.
    pub fn largest(&self) -> usize {
        self.state().largest
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) {
    let mut connection = Connection::over(stream);
    let head = connection.read_head();
    let Ok(body) = serde_json::from_slice::<Value>(&connection.read_body(&head)) else { return };
    assert!(head.line.starts_with("POST /rest/v1/rpc/record_llm_usage "), "{head:?}");
    let mut state = state.lock().unwrap();
    let (status, answer) = if state.away {
        state.refusals += 1;
        ("503 Service Unavailable", "{}")
    } else {
        let events = body["payload"]["events"].as_array().unwrap();
        state.largest = state.largest.max(events.len());
        for event in events {
            state.rows.entry(event["id"].as_str().unwrap().to_owned()).or_insert_with(|| event.clone());
        }
        ("200 OK", r#"{"refused":[]}"#)
    };
    drop(state);
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
    let _ = connection.try_write(&format!("{head}content-length: {}\r\n\r\n{answer}", answer.len()));
}
