//! Typed clients for a Supabase project: RPC over PostgREST, Auth, and Storage.
//!
//! Every call has one deadline for everything (a download: for its head), a bound on what is read of the answer, and
//! errors that carry none of the upstream's text.
//! Keys and tokens never appear in `Debug` output.

mod auth;
mod auth_error;
mod client;
mod config;
mod error;
mod rpc;
mod session;
mod storage;
mod storage_error;
mod usage;

pub use auth::{Auth, LogoutScope};
pub use auth_error::AuthError;
pub use client::{Identity, Supabase};
pub use config::Config;
pub use error::Error;
pub use rpc::{
    ACCEPT_INVITATION, ADD_TEAM_MEMBER, APPLY_TO_LEDGER, ASSIGN_ROLE, AUTHENTICATE_KEY, AUTHZ_CHANGES,
    CHANGE_MEMBER_ROLE, CLAIM_SESSION_REFRESH, CREATE_KEY, CREATE_ORGANIZATION, CREATE_ROLE, CREATE_SESSION,
    CREATE_TEAM, DELETE_ORGANIZATION, DELETE_ROLE, DELETE_TEAM, DatabaseRole, EXPIRE_LEDGER, EXPIRE_PROMPT_LOGS,
    EXPORT_AUDIT, EXPORT_USAGE, FIND_SESSION, GET_ORGANIZATION, INVITE_MEMBER, LEAVE_ORGANIZATION, LIST_AUDIT,
    LIST_INVITATIONS, LIST_KEYS, LIST_LIMITS, LIST_MEMBERS, LIST_MODELS, LIST_ORGANIZATIONS, LIST_ROLES, LIST_SESSIONS,
    LIST_TEAMS, LLM_CACHE_GENERATION, PURGE_LLM_CACHE, READY, RECORD_AUDIT, RECORD_LLM_USAGE, RECORD_PROMPT_LOG,
    REMOVE_MEMBER, REMOVE_TEAM_MEMBER, RENAME_TEAM, REPLACE_SESSION, REVOKE_INVITATION, REVOKE_KEY, REVOKE_SESSION,
    REVOKE_SESSIONS, ROTATE_KEY, RPCS, Rpc, SET_LIMITS, SWITCH_ORGANIZATION, TAKE_FROM_LIMITS, TOUCH_KEYS,
    TRANSFER_OWNERSHIP, UNASSIGN_ROLE, UPDATE_KEY, UPDATE_ORGANIZATION, USAGE_SUMMARY, VERIFY_AUDIT,
};
pub use session::{Session, SignUp};
pub use storage::{Storage, Upload};
pub use storage_error::StorageError;
