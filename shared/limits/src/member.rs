use quota::account::Subject;
use token::{Principal, Tier};
use uuid::Uuid;

use crate::Config;

/// Who is counted: a user, in an organization or alone, perhaps by an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The user.
    pub user: Uuid,
    /// The organization in which the user acts.
    pub org: Option<Uuid>,
    /// The API key, if one was used.
    pub key: Option<Uuid>,
    /// Decides the limits.
    pub tier: Tier,
}

impl From<&Principal> for Member {
    fn from(principal: &Principal) -> Self {
        Self { user: principal.user_id, org: principal.org_id, key: principal.key_id, tier: principal.tier }
    }
}

impl Member {
    /// The account in which all of them are counted.
    pub fn account(&self) -> String {
        self.org.map_or_else(|| format!("user:{}", self.user), |org| format!("org:{org}"))
    }

    /// The organization, or the user who acts in none: to whom what is kept belongs.
    pub fn tenant(&self) -> Uuid {
        self.org.unwrap_or(self.user)
    }

    /// Everybody who is counted for one of the member's requests, with the limits that hold unless the account keeps
    /// others: the most specific first.
    pub fn subjects(&self, config: &Config) -> Vec<Subject> {
        let mut subjects = Vec::with_capacity(3);
        if let Some(key) = self.key {
            subjects.push(Subject { name: format!("key:{key}").into(), rules: Vec::new() });
        }
        subjects.push(Subject { name: format!("user:{}", self.user).into(), rules: vec![config.user(self.tier)] });
        if let Some(org) = self.org {
            subjects.push(Subject { name: format!("org:{org}").into(), rules: vec![config.org(self.tier)] });
        }
        subjects
    }
}
