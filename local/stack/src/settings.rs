use std::collections::BTreeMap;

use crate::{Error, Supabase};

/// The variables by which a real LLM provider replaces the simulator.
const REAL_PROVIDERS: [&str; 3] = ["TOGETHER_API_KEY", "OPENAI_API_KEY", "OLLAMA_URL"];

/// Settings of the person who runs the stack: the process environment over the project's `.env`.
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Reads `.env` in `root`, if there is one, and the environment.
    pub fn read(root: &std::path::Path) -> Self {
        let file = dotenvy::from_path_iter(root.join(".env")).into_iter().flatten().flatten();
        Self(file.chain(std::env::vars()).filter(|(_, value)| !value.is_empty()).collect())
    }

    /// These and no others: what tests start from.
    pub fn from<const N: usize>(settings: [(&str, &str); N]) -> Self {
        Self(settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The variables of real LLM providers; empty means: use the simulator.
    pub fn providers(&self) -> Vec<(String, String)> {
        REAL_PROVIDERS.iter().filter_map(|name| Some(((*name).to_owned(), self.get(name)?.to_owned()))).collect()
    }

    /// The variables of the edge that a person may set: all of them but the places that the stack itself decides.
    pub fn overrides(&self) -> Vec<(String, String)> {
        let ours = |name: &str| {
            ["LLM_", "LEDGER_", "EDGE_", "SERVICE_"].iter().any(|prefix| name.starts_with(prefix))
                || ["ALLOWED_ORIGINS", "LOG_LEVEL", "REDIS_URL", "API_KEY_PEPPER", "SESSION_KEY"].contains(&name)
        };
        self.0.iter().filter(|(name, _)| ours(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// A hosted Supabase project, when `SUPABASE_URL` names one.
    pub fn hosted_supabase(&self) -> Result<Option<Supabase>, Error> {
        let Some(url) = self.get("SUPABASE_URL") else { return Ok(None) };
        let key = |name: &str| {
            let missing = || Error::step("use the Supabase project of SUPABASE_URL", format!("{name} is not set"));
            self.get(name).map(str::to_owned).ok_or_else(missing)
        };
        let (publishable_key, secret_key) = (key("SUPABASE_PUBLISHABLE_KEY")?, key("SUPABASE_SECRET_KEY")?);
        Ok(Some(Supabase { url: url.trim_end_matches('/').to_owned(), publishable_key, secret_key }))
    }
}
