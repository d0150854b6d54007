use platform::Context;
use problem::Problem;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use supabase::{Error, Identity, LIST_LIMITS, SET_LIMITS, Supabase};
use uuid::Uuid;

use crate::limit::Limit;
use crate::subject::Subject;

/// What an organization has set for a subject; by default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stored {
    /// In place of the defaults.
    pub rules: Vec<Limit>,
    /// How often it was set since it was last at the defaults.
    pub version: Option<u64>,
    /// Who has set it last, if they are still there.
    pub updated_by: Option<Uuid>,
    /// When, in RFC 3339.
    pub updated_at: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    limits: Vec<Stored>,
}

/// What `org` has set, read and written as a user of it: the database decides who may.
#[derive(Clone)]
pub struct Store {
    pub supabase: Supabase,
    pub user_token: SecretString,
    pub org: Uuid,
    pub context: Context,
}

impl Store {
    /// What is set for `subject`.
    pub async fn find(&self, subject: Subject) -> Result<Stored, Problem> {
        let payload = json!({"org_id": self.org, "subject": subject.to_string()});
        let answer = self.supabase.rpc(&self.context, LIST_LIMITS, &payload, Identity::User(&self.user_token)).await;
        let Listed { limits } = answer.map_err(refused)?;
        Ok(limits.into_iter().next().unwrap_or_default())
    }

    /// Sets `limits` for `subject`, in place of all others; none go back to the defaults.
    pub async fn set(&self, subject: Subject, limits: &[Limit]) -> Result<Stored, Problem> {
        let payload: Value = json!({"org_id": self.org, "subject": subject.to_string(), "rules": limits});
        let answer = self.supabase.rpc(&self.context, SET_LIMITS, &payload, Identity::User(&self.user_token)).await;
        answer.map_err(refused)
    }
}

/// The arguments are no members of the request's body, so that no place in it is told.
fn refused(error: Error) -> Problem {
    error.without_place().into()
}
