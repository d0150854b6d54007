//! Every database function that the edge calls, named once. A test compares the list with the migrations.

/// A function in schema `api`: one jsonb in, one jsonb out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rpc {
    /// The function's name.
    pub name: &'static str,
    /// As whom the edge calls it.
    pub role: DatabaseRole,
    /// Whether calling it twice does what calling it once does, so that it may be retried.
    pub idempotent: bool,
}

/// The database role that a call runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseRole {
    /// The user whose access token is sent: row level security applies.
    Authenticated,
    /// The edge itself: row level security does not apply.
    ServiceRole,
    /// Nobody in particular.
    Anon,
}

/// Every alias with its routes and prices. As the edge: prices are no user's business.
pub const LIST_MODELS: Rpc = Rpc { name: "list_models", role: DatabaseRole::ServiceRole, idempotent: true };
/// Stores usage events by their ids. As the edge: a user must not write their own bill.
pub const RECORD_LLM_USAGE: Rpc = Rpc { name: "record_llm_usage", role: DatabaseRole::ServiceRole, idempotent: true };
/// Totals of the calls that the user may see.
pub const USAGE_SUMMARY: Rpc = Rpc { name: "usage_summary", role: DatabaseRole::Authenticated, idempotent: true };
/// Whether the database answers.
pub const READY: Rpc = Rpc { name: "ready", role: DatabaseRole::Anon, idempotent: true };
/// For whom an API key acts. As the edge: nobody has proved who they are yet.
pub const AUTHENTICATE_KEY: Rpc = Rpc { name: "authenticate_key", role: DatabaseRole::ServiceRole, idempotent: true };
/// Makes an API key of the user.
pub const CREATE_KEY: Rpc = Rpc { name: "create_key", role: DatabaseRole::Authenticated, idempotent: false };
/// The API keys that the user may see.
pub const LIST_KEYS: Rpc = Rpc { name: "list_keys", role: DatabaseRole::Authenticated, idempotent: true };
/// Revokes an API key.
pub const REVOKE_KEY: Rpc = Rpc { name: "revoke_key", role: DatabaseRole::Authenticated, idempotent: true };
/// Takes from rate limits, for hosts without a ledger of their own. As the edge: whoever is counted must not count.
pub const TAKE_FROM_LIMITS: Rpc = Rpc { name: "take_from_limits", role: DatabaseRole::ServiceRole, idempotent: false };

/// All of them.
pub const RPCS: &[Rpc] = &[
    LIST_MODELS,
    RECORD_LLM_USAGE,
    USAGE_SUMMARY,
    READY,
    AUTHENTICATE_KEY,
    CREATE_KEY,
    LIST_KEYS,
    REVOKE_KEY,
    TAKE_FROM_LIMITS,
];

impl DatabaseRole {
    /// The role's name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::ServiceRole => "service_role",
            Self::Anon => "anon",
        }
    }
}
