use std::fmt;

use platform::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::LlmRules;

/// What a credential may be limited to. A signed-in user's own access token has all of them.
pub const SCOPES: &[&str] = &["llm", "capsules:read", "capsules:write", "executions", "usage:read", "webhooks"];

/// Who is calling, as the edge sees it.
#[derive(Clone, PartialEq, Serialize)]
pub struct Principal {
    /// The user, also behind an API key.
    pub user_id: Uuid,
    /// The organization in which the user acts.
    pub org_id: Option<Uuid>,
    /// What the user is in the organization.
    pub roles: Vec<Role>,
    /// Decides the limits.
    pub tier: Tier,
    /// Which of [`SCOPES`] the credential has.
    pub scopes: Vec<String>,
    /// What it may ask of a language model.
    #[serde(skip_serializing_if = "LlmRules::is_default")]
    pub llm: LlmRules,
    /// Whether the organization keeps what is asked of language models and what they answer.
    #[serde(skip_serializing_if = "is_false")]
    pub logs_prompts: bool,
    /// The session at Supabase Auth.
    pub session_id: Option<String>,
    /// The user's address, if known from the credential.
    pub email: Option<String>,
    /// A user without an identity of their own, who may lose the account by losing the device.
    pub is_anonymous: bool,
    /// The authenticator assurance level: `aal1`, or `aal2` after a second factor.
    pub aal: Option<String>,
    /// Whether the organization takes only users who signed in with a second factor.
    pub requires_aal2: bool,
    /// The kind of credential.
    pub method: Method,
    /// The API key's id, also behind a token that the key was exchanged for.
    pub key_id: Option<Uuid>,
    /// Who acts for the user (RFC 8693 section 4.1), the latest first: users' ids or services' names, at most two.
    pub actors: Vec<String>,
    /// When the credential ends; an API key may have no end.
    pub expires_at: Option<Timestamp>,
    /// How often the user's rights had changed when the credential was made.
    #[serde(skip)]
    pub authz_epoch: u64,
}

/// A member's role in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, the organization's deletion included.
    Owner,
    /// Members, keys and limits.
    Admin,
    /// Uses and changes what the organization builds.
    Developer,
    /// Reads.
    Viewer,
}

/// The limits that apply, from the lowest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tier {
    /// What everybody has.
    #[default]
    T1,
    /// More of everything.
    T2,
    /// Most.
    T3,
}

/// How the caller proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A Supabase access token.
    AccessToken,
    /// An API key of this edge.
    ApiKey,
    /// A browser's cookie.
    Session,
    /// A short-lived token that this edge gave in exchange for one of the others.
    ExchangedToken,
}

impl Role {
    /// The role named `name`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "owner" => Some(Self::Owner),
            "admin" => Some(Self::Admin),
            "developer" => Some(Self::Developer),
            "viewer" => Some(Self::Viewer),
            _ => None,
        }
    }
}

impl Tier {
    /// The tier named `name`; the lowest for any other word.
    pub fn named(name: &str) -> Self {
        match name {
            "T3" => Self::T3,
            "T2" => Self::T2,
            _ => Self::T1,
        }
    }
}

impl Principal {
    /// Whether the credential has `scope`.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| held == scope)
    }

    /// Whether the organization requires a second factor and the user signed in without one. An API key needs none: its
    /// user had to be allowed to make it.
    pub fn lacks_second_factor(&self) -> bool {
        self.requires_aal2 && self.key_id.is_none() && self.aal.as_deref() != Some("aal2")
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Without the address: principals end up in logs.
impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Principal");
        fields.field("user_id", &self.user_id).field("org_id", &self.org_id).field("roles", &self.roles);
        fields.field("tier", &self.tier).field("scopes", &self.scopes).field("method", &self.method);
        fields.field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
