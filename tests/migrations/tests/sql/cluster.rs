//! A cluster with the migrations applied and a few people in it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use local_postgres::{Options, Server};
use local_supabase::{Login, login_url};
use postgres::error::SqlState;
use postgres::{Client, NoTls, Transaction};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// People of two organizations that have nothing to do with each other.
pub struct Cluster {
    /// Owns the organization.
    pub owner: Uuid,
    /// Views the same organization.
    pub viewer: Uuid,
    /// Develops in the same organization.
    pub developer: Uuid,
    /// Owns another one.
    pub stranger: Uuid,
    /// Has an account and no profile.
    pub newcomer: Uuid,
    /// The organization of `owner`, `viewer` and `developer`.
    pub org: Uuid,
    /// The organization of `stranger`.
    pub other_org: Uuid,
    /// Connections of the role that serves requests: making one takes longer than most tests.
    idle: Mutex<Vec<Client>>,
    // In the order in which they end.
    server: Server,
    _folder: TempDir,
}

/// As whom a statement runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    User(Uuid),
    Anonymous,
    Service,
}

impl Cluster {
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir().unwrap();
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let server =
            Server::start(&Options { directory: folder.path().join("postgres"), project, durable: false }).unwrap();
        prepare(&server.url("postgres"), &migrations()).unwrap();

        let mut auth = connect(&login_url(&server.url("postgres"), Login::AuthAdmin).unwrap());
        let [owner, viewer, developer, stranger, newcomer] =
            ["owner", "viewer", "developer", "stranger", "newcomer"].map(|name| sign_up(&mut auth, name));
        let mut superuser = connect(&server.url("postgres"));
        let mut org_of = |user: Uuid| -> Uuid {
            let find = "select org_id from public.organization_members where user_id = $1";
            superuser.query_one(find, &[&user]).unwrap().get(0)
        };
        let (org, other_org) = (org_of(owner), org_of(stranger));
        let mut cluster = Self {
            owner,
            viewer,
            developer,
            stranger,
            newcomer,
            org,
            other_org,
            idle: Mutex::default(),
            server,
            _folder: folder,
        };
        cluster.furnish(&mut superuser);
        cluster
    }

    /// One row of the owner's in every table.
    fn furnish(&mut self, superuser: &mut Client) {
        for (user, role) in [(self.viewer, "viewer"), (self.developer, "developer")] {
            let join = "insert into public.organization_members (org_id, user_id, role) values ($1, $2, $3)";
            superuser.execute(join, &[&self.org, &user, &role]).unwrap();
        }
        superuser.execute("delete from public.profiles where id = $1", &[&self.newcomer]).unwrap();
        let key = "insert into public.api_keys (org_id, user_id, name, digest, pepper_version, prefix, scopes)
                   values ($1, $2, 'laptop', sha256('laptop'), 1, 'qlp_test_ab', '{llm}')";
        superuser.execute(key, &[&self.org, &self.owner]).unwrap();
        let usage = "insert into public.llm_usage (id, request_id, user_id, org_id, alias, stream, status, input_tokens,
                       output_tokens, cached_input_tokens, usage_source, latency_ms, attempts, started_at)
                     values (gen_random_uuid(), 'r', $1, $2, 'default', false, 'success', 1, 1, 0, 'none', 1, 1, '2020-01-01')";
        superuser.execute(usage, &[&self.owner, &self.org]).unwrap();
    }

    /// A connection of the superuser to a database of this cluster.
    pub fn superuser(&self, database: &str) -> Client {
        connect(&self.server.url(database))
    }

    /// The superuser's URL of a database.
    pub fn url(&self, database: &str) -> String {
        self.server.url(database)
    }

    /// A connection by which requests are served.
    pub fn login(&self, login: Login) -> Client {
        connect(&login_url(&self.server.url("postgres"), login).unwrap())
    }

    /// Runs `test` in a transaction of the role that serves requests, which is rolled back.
    pub fn transaction<T>(&self, test: impl FnOnce(&mut Transaction<'_>) -> T) -> T {
        self.with_client(|client| test(&mut client.transaction().unwrap()))
    }

    /// Calls a function of schema `api` in a transaction of its own, which is committed.
    pub fn call(&self, who: As, function: &str, payload: &Value) -> Result<Value, postgres::Error> {
        self.with_client(|client| {
            let mut transaction = client.transaction()?;
            let answer = call(&mut transaction, who, function, payload)?;
            transaction.commit()?;
            Ok(answer)
        })
    }

    fn with_client<T>(&self, act: impl FnOnce(&mut Client) -> T) -> T {
        let idle = self.idle.lock().unwrap().pop();
        let mut client = idle.unwrap_or_else(|| self.login(Login::Authenticator));
        let result = act(&mut client);
        self.idle.lock().unwrap().push(client);
        result
    }
}

/// Makes the rest of the transaction run as somebody, with the claims that the access token hook would give them.
pub fn become_(transaction: &mut Transaction<'_>, who: As) {
    let (role, claims) = match who {
        As::Anonymous => ("anon", json!({ "role": "anon" })),
        As::Service => ("service_role", json!({ "role": "service_role" })),
        As::User(id) => ("authenticated", json!({ "role": "authenticated", "sub": id })),
    };
    let set = "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)";
    transaction.execute(set, &[&role, &claims.to_string()]).unwrap();
}

/// Calls a function of schema `api` as somebody.
pub fn call(
    transaction: &mut Transaction<'_>,
    who: As,
    function: &str,
    payload: &Value,
) -> Result<Value, postgres::Error> {
    become_(transaction, who);
    let row = transaction.query_one(&format!("select api.{function}(payload := $1)"), &[payload])?;
    Ok(row.get(0))
}

/// Prepares a database as the local stack does.
pub fn prepare(url: &str, migrations: &Path) -> Result<Vec<String>, local_supabase::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(local_supabase::prepare(url, migrations))
}

/// The project's migrations.
pub fn migrations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../supabase/migrations")
}

/// A new account, made as Supabase Auth makes it.
pub fn sign_up(auth: &mut Client, name: &str) -> Uuid {
    let insert = "insert into auth.users (email, raw_user_meta_data) values ($1, jsonb_build_object('name', $2::text))
                  returning id";
    auth.query_one(insert, &[&format!("{name}@example.com"), &name]).unwrap().get(0)
}

/// The SQLSTATE of an error.
pub fn code(error: &postgres::Error) -> &str {
    error.code().map_or("none", SqlState::code)
}

fn connect(url: &str) -> Client {
    Client::connect(url, NoTls).unwrap()
}
