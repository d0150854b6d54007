use platform::Timestamp;

use crate::Refusal;

/// A service of the platform, as its token says. It is nobody's user: routes for users refuse it.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Who vouches for it: the issuer of the key that has signed.
    pub issuer: String,
    /// Its name, the token's `sub`.
    pub name: String,
    /// What it may do; words of the services' own, not those of users.
    pub scopes: Vec<String>,
    /// When its token ends.
    pub expires_at: Timestamp,
}

impl Service {
    /// Refuses a service without `scope`.
    pub fn require_scope(&self, scope: &'static str) -> Result<(), Refusal> {
        if self.scopes.iter().any(|held| held == scope) { Ok(()) } else { Err(Refusal::InsufficientScope(scope)) }
    }
}
