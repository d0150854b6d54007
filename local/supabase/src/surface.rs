use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{PoisonError, RwLock};

use deadpool_postgres::Pool;
use jiff::Timestamp;
use serde::Serialize;

use crate::Error;
use crate::access_token::Verifier;
use crate::auth::has_token_hook;
use crate::control::Control;
use crate::database::{self, Login};
use crate::gateway::ApiKeys;
use crate::rest::SchemaCache;
use crate::signing::{ImportedKey, KeyRing};
use crate::state::State;

/// What to serve, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address to listen at; port 0 means any free one.
    pub listen: SocketAddr,
    /// The database, as a superuser.
    pub database_url: String,
    /// Holds the keys; created, and private.
    pub state: PathBuf,
    /// The folder with the migrations, in `supabase/`.
    pub migrations: PathBuf,
    /// Further keys whose tokens are valid, as a JSON Web Key Set on P-256; of private ones only the public half is used.
    pub imported_keys: Option<String>,
}

/// How to reach a running surface.
#[derive(Debug, Clone, Serialize)]
pub struct Description {
    /// Base URL, without a slash at the end.
    pub url: String,
    /// The key that browsers may hold.
    pub publishable_key: String,
    /// The key that acts as `service_role`.
    pub secret_key: String,
    /// The published signing keys.
    pub jwks_url: String,
    /// `iss` of the access tokens.
    pub issuer: String,
}

/// Everything that requests share.
pub(crate) struct Surface {
    pub(crate) description: Description,
    pub(crate) api_keys: ApiKeys,
    pub(crate) signing_keys: RwLock<KeyRing>,
    pub(crate) access_tokens: Verifier,
    pub(crate) rest: Pool,
    pub(crate) auth: Pool,
    pub(crate) schema: SchemaCache,
    pub(crate) control: Control,
    /// Whether a function of the project changes access tokens.
    pub(crate) has_token_hook: bool,
    state: PathBuf,
    clock_offset: AtomicI64,
}

impl Surface {
    /// A surface that is about to answer at `address`.
    pub(crate) async fn new(options: &Options, address: SocketAddr) -> Result<Self, Error> {
        let superuser = database::parse(&options.database_url)?;
        let state = State::open(&options.state)?;
        let imported = options.imported_keys.as_deref().map_or_else(|| Some(Vec::new()), ImportedKey::read_all);
        let imported = imported.ok_or(Error::ImportedKeys)?;
        let url = format!("http://{address}");
        let rest = database::pool(&superuser, Login::Authenticator)?;
        let schema = SchemaCache::default();
        schema.load(&rest).await?;
        let has_token_hook = has_token_hook(&database::connect(&superuser).await?).await?;
        Ok(Self {
            api_keys: ApiKeys::new(&state),
            description: Description {
                publishable_key: state.publishable_key,
                secret_key: state.secret_key,
                jwks_url: format!("{url}/auth/v1/.well-known/jwks.json"),
                issuer: format!("{url}/auth/v1"),
                url,
            },
            signing_keys: RwLock::new(state.signing_keys.with_imported(imported)),
            access_tokens: Verifier::default(),
            rest,
            auth: database::pool(&superuser, Login::AuthAdmin)?,
            schema,
            control: Control::default(),
            has_token_hook,
            state: options.state.clone(),
            clock_offset: AtomicI64::new(0),
        })
    }

    /// Seconds since 1970, by the clock that tests may move.
    pub(crate) fn now(&self) -> i64 {
        Timestamp::now().as_second() + self.clock_offset.load(Ordering::Relaxed)
    }

    /// Moves the clock; 0 is the right time.
    pub(crate) fn set_clock_offset(&self, seconds: i64) {
        self.clock_offset.store(seconds, Ordering::Relaxed);
    }

    /// Changes the signing keys, for this run and the next.
    pub(crate) fn change_signing_keys(&self, change: impl FnOnce(&mut KeyRing)) -> Result<(), Error> {
        let mut state = State::open(&self.state)?;
        change(&mut state.signing_keys);
        state.save()?;
        let mut keys = self.signing_keys.write().unwrap_or_else(PoisonError::into_inner);
        let imported = keys.imported().to_vec();
        *keys = state.signing_keys.with_imported(imported);
        drop(keys);
        self.access_tokens.forget();
        Ok(())
    }
}
