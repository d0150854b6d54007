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
    /// Administers the same organization.
    pub admin: Uuid,
    /// Develops in the same organization.
    pub developer: Uuid,
    /// Views the same organization.
    pub viewer: Uuid,
    /// Owns another one.
    pub stranger: Uuid,
    /// Has an account and no row in `users`.
    pub newcomer: Uuid,
    /// The organization of `owner`, `admin`, `developer` and `viewer`.
    pub org: Uuid,
    /// The organization of `stranger`.
    pub other_org: Uuid,
    /// Connections of the role that serves requests: making one takes longer than most tests.
    idle: Mutex<Vec<Client>>,
    // In the order in which they end.
    server: Server,
    _folder: TempDir,
}

/// A new organization with one member of each role, who belong to nothing else but their personal organizations.
pub struct Organization {
    pub id: Uuid,
    pub owner: Uuid,
    pub admin: Uuid,
    pub developer: Uuid,
    pub viewer: Uuid,
}

/// As whom a statement runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    User(Uuid),
    /// A user who signed in with a second factor.
    SecondFactor(Uuid),
    /// The API key of a user, which was exchanged for a token.
    Key(Uuid),
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
        let [owner, admin, developer, viewer, stranger, newcomer] =
            ["owner", "admin", "developer", "viewer", "stranger", "newcomer"].map(|name| sign_up(&mut auth, name));
        let mut superuser = connect(&server.url("postgres"));
        let mut org_of = |user: Uuid| -> Uuid {
            let find = "select org_id from public.organization_members where user_id = $1";
            superuser.query_one(find, &[&user]).unwrap().get(0)
        };
        let (org, other_org) = (org_of(owner), org_of(stranger));
        let cluster = Self {
            owner,
            admin,
            developer,
            viewer,
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

    /// One row of the owner's, or of the owner's organization, in every table.
    fn furnish(&self, superuser: &mut Client) {
        let people = [(self.admin, "admin"), (self.developer, "developer"), (self.viewer, "viewer")];
        for (user, role) in people {
            let join = "insert into public.organization_members (org_id, user_id, role) values ($1, $2, $3)";
            superuser.execute(join, &[&self.org, &user, &role]).unwrap();
        }
        let people = [(":owner", self.owner), (":developer", self.developer), (":viewer", self.viewer)];
        let mut rows = include_str!("furniture.sql").replace(":org", &self.org.to_string());
        for (name, id) in people.into_iter().chain([(":newcomer", self.newcomer)]) {
            rows = rows.replace(name, &id.to_string());
        }
        superuser.batch_execute(&rows).unwrap();
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

    /// A new organization; `name` must be no other test's.
    pub fn organization(&self, name: &str) -> Organization {
        let mut auth = self.login(Login::AuthAdmin);
        let [owner, admin, developer, viewer] = ["owner", "admin", "developer", "viewer"]
            .map(|role| sign_up_verified(&mut auth, &format!("{name}-{role}")));
        let made = self.call(As::User(owner), "create_organization", &json!({ "name": name })).unwrap();
        let id = made["id"].as_str().unwrap().parse().unwrap();
        let join = "insert into public.organization_members (org_id, user_id, role)
                    values ($1, $2, 'admin'), ($1, $3, 'developer'), ($1, $4, 'viewer')";
        self.superuser("postgres").execute(join, &[&id, &admin, &developer, &viewer]).unwrap();
        Organization { id, owner, admin, developer, viewer }
    }

    /// A new user with a verified address.
    pub fn user(&self, name: &str) -> Uuid {
        sign_up_verified(&mut self.login(Login::AuthAdmin), name)
    }

    /// Makes a user a member.
    pub fn join(&self, org: Uuid, user: Uuid, role: &str) {
        let join = "insert into public.organization_members (org_id, user_id, role) values ($1, $2, $3)";
        self.superuser("postgres").execute(join, &[&org, &user, &role]).unwrap();
    }

    /// The SQLSTATE and the detail with which a function of schema `api` refuses.
    pub fn refusal(&self, who: As, function: &str, payload: &Value) -> (String, String) {
        refusal(&self.call(who, function, payload).expect_err(function))
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
        As::User(id) => ("authenticated", json!({ "role": "authenticated", "sub": id, "aal": "aal1" })),
        As::SecondFactor(id) => ("authenticated", json!({ "role": "authenticated", "sub": id, "aal": "aal2" })),
        As::Key(id) => {
            let claims = json!({ "role": "authenticated", "sub": id, "aal": "aal1", "exchanged": true, "key_id": id });
            ("authenticated", claims)
        }
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

fn sign_up_verified(auth: &mut Client, name: &str) -> Uuid {
    let user = sign_up(auth, name);
    auth.execute("update auth.users set email_confirmed_at = now() where id = $1", &[&user]).unwrap();
    user
}

/// The SQLSTATE of an error.
pub fn code(error: &postgres::Error) -> &str {
    error.code().map_or("none", SqlState::code)
}

/// The SQLSTATE and the detail of an error.
pub fn refusal(error: &postgres::Error) -> (String, String) {
    let detail = error.as_db_error().and_then(|error| error.detail()).unwrap_or_default();
    (code(error).to_owned(), detail.to_owned())
}

/// Waits until the server process `pid` waits for a lock of somebody else's.
pub fn wait_until_blocked(observer: &mut Client, pid: i32) {
    let is_blocked = "select cardinality(pg_blocking_pids($1)) > 0";
    let waits = (0..100_000).any(|_| observer.query_one(is_blocked, &[&pid]).unwrap().get(0));
    assert!(waits, "process {pid} does not wait");
}

/// 32 random bytes in hexadecimal.
pub fn new_digest() -> String {
    let mut bytes = [0; 32];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut bytes).unwrap();
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// A random UUID.
pub fn new_id() -> Uuid {
    new_digest()[..32].parse().unwrap()
}

fn connect(url: &str) -> Client {
    Client::connect(url, NoTls).unwrap()
}
