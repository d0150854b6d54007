//! A cluster, the program on it, and a caller.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use local_postgres::{Options, Server};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The program over a cluster of its own, shared by the tests that leave no traces.
pub struct Rig {
    pub surface: Surface,
    // In the order in which they end.
    server: Server,
    folder: TempDir,
}

/// A running program.
pub struct Surface {
    pub url: String,
    pub publishable_key: String,
    pub secret_key: String,
    child: Child,
}

/// As whom a request is made.
#[derive(Clone, Copy)]
pub enum As<'a> {
    Nobody,
    Anonymous,
    Service,
    User(&'a str),
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

/// A signed-in user.
pub struct User {
    pub id: String,
    pub email: String,
    pub session: Value,
}

pub const PASSWORD: &str = "correct horse battery";
static USERS: AtomicU32 = AtomicU32::new(0);

impl Rig {
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir().unwrap();
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        copy_migrations(&project.join("supabase"), folder.path());
        let server =
            Server::start(&Options { directory: folder.path().join("postgres"), project, durable: false }).unwrap();
        let surface = Surface::start(&server.url("postgres"), folder.path(), "state");
        Self { surface, server, folder }
    }

    /// Another program on the same database, for tests that break or count something.
    pub fn another(&self, state: &str) -> Surface {
        Surface::start(&self.server.url("postgres"), self.folder.path(), state)
    }

    /// Ends the database, and what runs on it.
    pub fn stop_database(self) -> Surface {
        self.server.stop();
        self.surface
    }

    pub fn state(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs SQL that no caller could.
    pub fn sql(&self, sql: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&self.server.url("postgres"), tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute(sql).await.unwrap();
        });
    }
}

/// The project's migrations and seed, and the tests' own functions after them.
fn copy_migrations(from: &Path, to: &Path) {
    fs::create_dir(to.join("migrations")).unwrap();
    for file in fs::read_dir(from.join("migrations")).unwrap().flatten() {
        fs::copy(file.path(), to.join("migrations").join(file.file_name())).unwrap();
    }
    fs::copy(from.join("seed.sql"), to.join("seed.sql")).unwrap();
    fs::write(to.join("migrations/20990101000000_test_functions.sql"), include_str!("functions.sql")).unwrap();
}

impl Surface {
    pub fn start(database_url: &str, folder: &Path, state: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_local-supabase"))
            .args(["--listen", "127.0.0.1:0", "--database-url", database_url])
            .arg("--state")
            .arg(folder.join(state))
            .arg("--migrations")
            .arg(folder.join("migrations"))
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.join(format!("{state}.log"))).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            panic!("it does not start: {}", fs::read_to_string(folder.join(format!("{state}.log"))).unwrap())
        });
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        assert_eq!(text("issuer"), format!("{}/auth/v1", text("url")));
        assert_eq!(text("jwks_url"), format!("{}/auth/v1/.well-known/jwks.json", text("url")));
        Self { url: text("url"), publishable_key: text("publishable_key"), secret_key: text("secret_key"), child }
    }

    /// Asks it to stop and returns its exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.terminate();
        self.child.wait().unwrap().code()
    }

    fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        let _ = kill_process(pid, Signal::TERM);
    }

    pub fn get(&self, who: As<'_>, path: &str) -> Answer {
        self.send("GET", who, path, &[], "").unwrap()
    }

    pub fn post(&self, who: As<'_>, path: &str, body: &Value) -> Answer {
        self.send("POST", who, path, &[("content-type", "application/json")], body.to_string()).unwrap()
    }

    /// Calls a function in schema `api`.
    pub fn rpc(&self, who: As<'_>, function: &str, arguments: &Value) -> Answer {
        let headers = [("content-type", "application/json"), ("content-profile", "api")];
        self.send("POST", who, &format!("/rest/v1/rpc/{function}"), &headers, arguments.to_string()).unwrap()
    }

    /// Any request; `None` if there is no answer.
    pub fn send(
        &self,
        method: &str,
        who: As<'_>,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Option<Answer> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request = match who {
            As::Nobody => request,
            As::Anonymous => request.header("apikey", &self.publishable_key),
            As::Service => request.header("apikey", &self.secret_key),
            As::User(token) => {
                request.header("apikey", &self.publishable_key).header("authorization", format!("Bearer {token}"))
            }
        };
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(20)))
            .allow_non_standard_methods(true)
            .build()
            .into();
        let mut response = agent.run(request.body(body.as_ref().to_vec()).unwrap()).ok()?;
        let text = response.body_mut().read_to_string().unwrap();
        Some(Answer { status: response.status().as_u16(), headers: response.headers().clone(), text })
    }

    pub fn sign_up(&self) -> User {
        let email = format!("user-{}@example.com", USERS.fetch_add(1, Ordering::Relaxed));
        let answer = self.post(As::Anonymous, "/auth/v1/signup", &json!({ "email": email, "password": PASSWORD }));
        assert_eq!(answer.status, 200, "{answer:?}");
        let session = answer.json();
        User { id: session["user"]["id"].as_str().unwrap().into(), email, session }
    }

    pub fn control(&self, what: &str, arguments: &Value) {
        let answer = self.post(As::Nobody, &format!("/__local/{what}"), arguments);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

impl Drop for Surface {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.terminate();
            let _ = self.child.wait();
        }
    }
}

impl User {
    pub fn token(&self) -> &str {
        self.session["access_token"].as_str().unwrap()
    }

    pub fn refresh_token(&self) -> &str {
        self.session["refresh_token"].as_str().unwrap()
    }
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Status and code of an error of PostgREST or Supabase Auth, whose body has exactly the fields it should have.
    #[track_caller]
    pub fn error(&self) -> (u16, String) {
        let body = self.json();
        let mut fields: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        let code = match *fields {
            ["code", "details", "hint", "message"] => &body["code"],
            ["code", "error_code", "msg"] | ["code", "error_code", "msg", "weak_password"] => &body["error_code"],
            _ => panic!("no error: {self:?}"),
        };
        (self.status, code.as_str().unwrap().to_owned())
    }
}

/// Polls until `done`.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what} does not happen");
        std::thread::yield_now();
    }
}
