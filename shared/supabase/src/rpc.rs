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
/// The calls that the user may see, page by page.
pub const EXPORT_USAGE: Rpc = Rpc { name: "export_usage", role: DatabaseRole::Authenticated, idempotent: true };
/// Takes a new version of the price table. Operators call it, no function does.
pub const SET_MODEL_PRICES: Rpc = Rpc { name: "set_model_prices", role: DatabaseRole::ServiceRole, idempotent: true };
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
/// Applies operations to the account of one organization, for hosts without a ledger of their own. Each but a take is
/// idempotent by its id. As the edge: whoever is counted must not count.
pub const APPLY_TO_LEDGER: Rpc = Rpc { name: "apply_to_ledger", role: DatabaseRole::ServiceRole, idempotent: false };
/// Charges and records the calls of which nothing was heard until their time was over, in accounts that nobody touches.
/// As the edge: it is nobody's in particular.
pub const EXPIRE_LEDGER: Rpc = Rpc { name: "expire_ledger", role: DatabaseRole::ServiceRole, idempotent: true };
/// The organizations that the user belongs to.
pub const LIST_ORGANIZATIONS: Rpc =
    Rpc { name: "list_organizations", role: DatabaseRole::Authenticated, idempotent: true };
/// Makes an organization that the user owns.
pub const CREATE_ORGANIZATION: Rpc =
    Rpc { name: "create_organization", role: DatabaseRole::Authenticated, idempotent: false };
/// One organization that the user belongs to.
pub const GET_ORGANIZATION: Rpc = Rpc { name: "get_organization", role: DatabaseRole::Authenticated, idempotent: true };
/// Renames an organization.
pub const UPDATE_ORGANIZATION: Rpc =
    Rpc { name: "update_organization", role: DatabaseRole::Authenticated, idempotent: true };
/// Deletes an organization.
pub const DELETE_ORGANIZATION: Rpc =
    Rpc { name: "delete_organization", role: DatabaseRole::Authenticated, idempotent: false };
/// Chooses the organization of the user's next access tokens.
pub const SWITCH_ORGANIZATION: Rpc =
    Rpc { name: "switch_organization", role: DatabaseRole::Authenticated, idempotent: true };
/// The members of an organization.
pub const LIST_MEMBERS: Rpc = Rpc { name: "list_members", role: DatabaseRole::Authenticated, idempotent: true };
/// Gives a member another role.
pub const CHANGE_MEMBER_ROLE: Rpc =
    Rpc { name: "change_member_role", role: DatabaseRole::Authenticated, idempotent: true };
/// Removes a member.
pub const REMOVE_MEMBER: Rpc = Rpc { name: "remove_member", role: DatabaseRole::Authenticated, idempotent: false };
/// Ends the user's own membership.
pub const LEAVE_ORGANIZATION: Rpc =
    Rpc { name: "leave_organization", role: DatabaseRole::Authenticated, idempotent: false };
/// Makes another member the owner in the user's place.
pub const TRANSFER_OWNERSHIP: Rpc =
    Rpc { name: "transfer_ownership", role: DatabaseRole::Authenticated, idempotent: false };
/// Invites an address.
pub const INVITE_MEMBER: Rpc = Rpc { name: "invite_member", role: DatabaseRole::Authenticated, idempotent: false };
/// The invitations that can be accepted.
pub const LIST_INVITATIONS: Rpc = Rpc { name: "list_invitations", role: DatabaseRole::Authenticated, idempotent: true };
/// Revokes an invitation.
pub const REVOKE_INVITATION: Rpc =
    Rpc { name: "revoke_invitation", role: DatabaseRole::Authenticated, idempotent: true };
/// Makes the user a member, once.
pub const ACCEPT_INVITATION: Rpc =
    Rpc { name: "accept_invitation", role: DatabaseRole::Authenticated, idempotent: false };
/// Makes a team.
pub const CREATE_TEAM: Rpc = Rpc { name: "create_team", role: DatabaseRole::Authenticated, idempotent: false };
/// The teams of an organization.
pub const LIST_TEAMS: Rpc = Rpc { name: "list_teams", role: DatabaseRole::Authenticated, idempotent: true };
/// Renames a team.
pub const RENAME_TEAM: Rpc = Rpc { name: "rename_team", role: DatabaseRole::Authenticated, idempotent: true };
/// Deletes a team.
pub const DELETE_TEAM: Rpc = Rpc { name: "delete_team", role: DatabaseRole::Authenticated, idempotent: false };
/// Puts a member into a team.
pub const ADD_TEAM_MEMBER: Rpc = Rpc { name: "add_team_member", role: DatabaseRole::Authenticated, idempotent: true };
/// Takes a member out of a team.
pub const REMOVE_TEAM_MEMBER: Rpc =
    Rpc { name: "remove_team_member", role: DatabaseRole::Authenticated, idempotent: false };
/// The roles that members of an organization can have.
pub const LIST_ROLES: Rpc = Rpc { name: "list_roles", role: DatabaseRole::Authenticated, idempotent: true };
/// Makes a role within the user's own permissions.
pub const CREATE_ROLE: Rpc = Rpc { name: "create_role", role: DatabaseRole::Authenticated, idempotent: false };
/// Deletes a role of an organization.
pub const DELETE_ROLE: Rpc = Rpc { name: "delete_role", role: DatabaseRole::Authenticated, idempotent: false };
/// Gives a member one more role.
pub const ASSIGN_ROLE: Rpc = Rpc { name: "assign_role", role: DatabaseRole::Authenticated, idempotent: true };
/// Takes a further role from a member.
pub const UNASSIGN_ROLE: Rpc = Rpc { name: "unassign_role", role: DatabaseRole::Authenticated, idempotent: false };
/// Makes a successor of an API key of the user.
pub const ROTATE_KEY: Rpc = Rpc { name: "rotate_key", role: DatabaseRole::Authenticated, idempotent: false };
/// Changes what an API key may ask of a language model.
pub const UPDATE_KEY: Rpc = Rpc { name: "update_key", role: DatabaseRole::Authenticated, idempotent: true };
/// Notes when API keys were used. As the edge: off the request path.
pub const TOUCH_KEYS: Rpc = Rpc { name: "touch_keys", role: DatabaseRole::ServiceRole, idempotent: true };
/// Whose rights changed lately. As the edge: it asks for all callers at once.
pub const AUTHZ_CHANGES: Rpc = Rpc { name: "authz_changes", role: DatabaseRole::ServiceRole, idempotent: true };
/// Claims the right to get a session's next tokens, for one caller at a time. As the edge: the user has a cookie.
pub const CLAIM_SESSION_REFRESH: Rpc =
    Rpc { name: "claim_session_refresh", role: DatabaseRole::ServiceRole, idempotent: false };
/// Begins a cookie session. As the edge: the user has a cookie and no token.
pub const CREATE_SESSION: Rpc = Rpc { name: "create_session", role: DatabaseRole::ServiceRole, idempotent: false };
/// A cookie session by its digest. As the edge: nobody has proved who they are yet.
pub const FIND_SESSION: Rpc = Rpc { name: "find_session", role: DatabaseRole::ServiceRole, idempotent: true };
/// Puts new tokens into a cookie session, unless somebody else did. As the edge: it alone encrypts them.
pub const REPLACE_SESSION: Rpc = Rpc { name: "replace_session", role: DatabaseRole::ServiceRole, idempotent: false };
/// The user's own cookie sessions.
pub const LIST_SESSIONS: Rpc = Rpc { name: "list_sessions", role: DatabaseRole::Authenticated, idempotent: true };
/// Ends a cookie session. As the edge, at a sign-out; users may do it too, to their own.
pub const REVOKE_SESSION: Rpc = Rpc { name: "revoke_session", role: DatabaseRole::ServiceRole, idempotent: true };
/// Ends the cookie sessions of a user and makes the access tokens stale. As the edge: also when a token was reused.
pub const REVOKE_SESSIONS: Rpc = Rpc { name: "revoke_sessions", role: DatabaseRole::ServiceRole, idempotent: true };
/// Adds events to the audit log by their ids. As the edge: a user must not write the log.
pub const RECORD_AUDIT: Rpc = Rpc { name: "record_audit", role: DatabaseRole::ServiceRole, idempotent: true };
/// A page of an organization's audit log.
pub const LIST_AUDIT: Rpc = Rpc { name: "list_audit", role: DatabaseRole::Authenticated, idempotent: true };
/// A page of an organization's audit log with the texts that are hashed.
pub const EXPORT_AUDIT: Rpc = Rpc { name: "export_audit", role: DatabaseRole::Authenticated, idempotent: true };
/// Whether a chain of the audit log is whole. As the edge: it is nobody's in particular.
pub const VERIFY_AUDIT: Rpc = Rpc { name: "verify_audit", role: DatabaseRole::ServiceRole, idempotent: true };
/// Sets limits of an organization, a member or a key, in place of all that were set for it.
pub const SET_LIMITS: Rpc = Rpc { name: "set_limits", role: DatabaseRole::Authenticated, idempotent: true };
/// The limits that an organization has set.
pub const LIST_LIMITS: Rpc = Rpc { name: "list_limits", role: DatabaseRole::Authenticated, idempotent: true };
/// How often a tenant's cached answers have been purged. As the edge: it is asked about whoever calls.
pub const LLM_CACHE_GENERATION: Rpc =
    Rpc { name: "llm_cache_generation", role: DatabaseRole::ServiceRole, idempotent: true };
/// Makes the cached answers of the user's organization worthless.
pub const PURGE_LLM_CACHE: Rpc = Rpc { name: "purge_llm_cache", role: DatabaseRole::Authenticated, idempotent: true };
/// Keeps a redacted prompt and its answer. As the edge: nobody writes what others have said.
pub const RECORD_PROMPT_LOG: Rpc = Rpc { name: "record_prompt_log", role: DatabaseRole::ServiceRole, idempotent: true };
/// Ends the logs of prompts that have been kept for long enough. For a schedule.
pub const EXPIRE_PROMPT_LOGS: Rpc =
    Rpc { name: "expire_prompt_logs", role: DatabaseRole::ServiceRole, idempotent: true };

/// All of them.
pub const RPCS: &[Rpc] = &[
    LIST_MODELS,
    RECORD_LLM_USAGE,
    USAGE_SUMMARY,
    EXPORT_USAGE,
    SET_MODEL_PRICES,
    READY,
    AUTHENTICATE_KEY,
    CREATE_KEY,
    LIST_KEYS,
    REVOKE_KEY,
    TAKE_FROM_LIMITS,
    APPLY_TO_LEDGER,
    EXPIRE_LEDGER,
    LIST_ORGANIZATIONS,
    CREATE_ORGANIZATION,
    GET_ORGANIZATION,
    UPDATE_ORGANIZATION,
    DELETE_ORGANIZATION,
    SWITCH_ORGANIZATION,
    LIST_MEMBERS,
    CHANGE_MEMBER_ROLE,
    REMOVE_MEMBER,
    LEAVE_ORGANIZATION,
    TRANSFER_OWNERSHIP,
    INVITE_MEMBER,
    LIST_INVITATIONS,
    REVOKE_INVITATION,
    ACCEPT_INVITATION,
    CREATE_TEAM,
    LIST_TEAMS,
    RENAME_TEAM,
    DELETE_TEAM,
    ADD_TEAM_MEMBER,
    REMOVE_TEAM_MEMBER,
    LIST_ROLES,
    CREATE_ROLE,
    DELETE_ROLE,
    ASSIGN_ROLE,
    UNASSIGN_ROLE,
    ROTATE_KEY,
    UPDATE_KEY,
    TOUCH_KEYS,
    AUTHZ_CHANGES,
    CLAIM_SESSION_REFRESH,
    CREATE_SESSION,
    FIND_SESSION,
    REPLACE_SESSION,
    LIST_SESSIONS,
    REVOKE_SESSION,
    REVOKE_SESSIONS,
    RECORD_AUDIT,
    LIST_AUDIT,
    EXPORT_AUDIT,
    VERIFY_AUDIT,
    SET_LIMITS,
    LIST_LIMITS,
    LLM_CACHE_GENERATION,
    PURGE_LLM_CACHE,
    RECORD_PROMPT_LOG,
    EXPIRE_PROMPT_LOGS,
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
