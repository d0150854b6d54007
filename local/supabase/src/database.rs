//! Connections: as whom, and how many.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

use crate::Error;

/// Few enough for a server with PostgreSQL's default of 100 connections and several programs on it.
const POOL_SIZE: usize = 16;
/// PostgREST's own limit for a free connection.
const WAIT_FOR_CONNECTION: Duration = Duration::from_secs(10);

/// A role that requests are served as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Takes on the caller's role for one transaction, as PostgREST does.
    Authenticator,
    /// Owns the tables of Supabase Auth.
    AuthAdmin,
}

impl Login {
    /// Every role with a login.
    pub(crate) const ALL: [Self; 2] = [Self::Authenticator, Self::AuthAdmin];

    /// The role's name.
    pub fn role(self) -> &'static str {
        match self {
            Self::Authenticator => "authenticator",
            Self::AuthAdmin => "supabase_auth_admin",
        }
    }

    /// Derived from the superuser's password, so that several programs on one cluster agree without sharing a file.
    pub(crate) fn password(self, superuser: &Config) -> String {
        let key = superuser.get_password().unwrap_or_default();
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
        mac.update(self.role().as_bytes());
        mac.finalize().into_bytes().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }
}

/// The URL by which `login` connects to the same database as the superuser of `database_url`.
pub fn login_url(database_url: &str, login: Login) -> Result<String, Error> {
    let config = parse(database_url)?;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        _ => "127.0.0.1".into(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().unwrap_or("postgres");
    Ok(format!("postgres://{}:{}@{host}:{port}/{database}", login.role(), login.password(&config)))
}

pub(crate) fn parse(database_url: &str) -> Result<Config, Error> {
    database_url.parse().map_err(Error::DatabaseUrl)
}

/// One connection, served until it is dropped.
pub(crate) async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Connections as `login`.
pub(crate) fn pool(superuser: &Config, login: Login) -> Result<Pool, Error> {
    let mut config = superuser.clone();
    config.user(login.role()).password(login.password(superuser)).application_name("local-supabase");
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let wait = Some(WAIT_FOR_CONNECTION);
    Pool::builder(manager)
        .max_size(POOL_SIZE)
        .timeouts(Timeouts { wait, create: wait, recycle: wait })
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| Error::Pool(error.to_string()))
}
