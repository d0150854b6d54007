//! The checks, by what they are about.

mod access;
mod audit;
mod auth;
mod bad_input;
mod bedrock;
mod cache;
mod chat;
mod clients;
mod credentials;
mod dependencies;
mod endpoints;
mod failover;
mod faults;
mod guard_rails;
mod health;
mod keys;
mod limit_settings;
mod limits;
pub mod logs;
mod orgs;
mod prompt_logs;
mod providers;
mod second_factor;
mod sessions;
mod stream;
mod token_exchange;
mod usage;

use conformance::Rig;

/// What the stack under test is told beyond its defaults: short deadlines towards the provider and a long one towards the
/// ledger (the machine is busy; what the short one does is checked on an edge of its own), limits that no other check
/// meets, no circuit breakers (checks of faults go on beside the others), an origin, a word that must never be logged.
pub const SETTINGS: [(&str, &str); 11] = [
    ("ALLOWED_ORIGINS", "https://app.example.com"),
    ("LLM_HEADERS_TIMEOUT_MS", "1500"),
    ("LLM_FIRST_TOKEN_TIMEOUT_MS", "1500"),
    ("LLM_IDLE_TIMEOUT_MS", "1500"),
    ("LLM_ANSWER_TIMEOUT_MS", "1500"),
    ("LLM_BREAKER_FAILURES", "0"),
    ("LLM_USER_REQUESTS_PER_HOUR", "1000000"),
    ("LLM_ORG_REQUESTS_PER_HOUR", "1000000"),
    ("LEDGER_DEADLINE_MS", "10000"),
    ("LLM_SIMULATOR_API_KEY", "sk-canary-provider-key"),
    ("LOG_LEVEL", "debug"),
];

/// One check.
pub type Check = fn(&Rig);

/// Every check, with its name.
pub fn checks() -> Vec<(String, Check)> {
    let modules = [
        ("access", access::CHECKS),
        ("audit", audit::CHECKS),
        ("auth", auth::CHECKS),
        ("bad_input", bad_input::CHECKS),
        ("bedrock", bedrock::CHECKS),
        ("cache", cache::CHECKS),
        ("chat", chat::CHECKS),
        ("clients", clients::CHECKS),
        ("credentials", credentials::CHECKS),
        ("dependencies", dependencies::CHECKS),
        ("endpoints", endpoints::CHECKS),
        ("failover", failover::CHECKS),
        ("faults", faults::CHECKS),
        ("guard_rails", guard_rails::CHECKS),
        ("health", health::CHECKS),
        ("keys", keys::CHECKS),
        ("limit_settings", limit_settings::CHECKS),
        ("limits", limits::CHECKS),
        ("orgs", orgs::CHECKS),
        ("prompt_logs", prompt_logs::CHECKS),
        ("providers", providers::CHECKS),
        ("second_factor", second_factor::CHECKS),
        ("sessions", sessions::CHECKS),
        ("stream", stream::CHECKS),
        ("token_exchange", token_exchange::CHECKS),
        ("usage", usage::CHECKS),
    ];
    let named = |(module, checks): (&str, &[(&str, Check)])| {
        checks.iter().map(|(name, check)| (format!("{module}::{name}"), *check)).collect::<Vec<_>>()
    };
    modules.into_iter().flat_map(named).collect()
}

/// Lists a module's checks under their own names.
macro_rules! list {
    ($($name:ident),* $(,)?) => {
        pub const CHECKS: &[(&str, crate::suite::Check)] = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use list;
