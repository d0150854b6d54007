use std::collections::BTreeMap;

use crate::{Error, Supabase};

/// The variables by which a real LLM provider replaces the simulator.
const REAL_PROVIDERS: [&str; 8] = [
    "TOGETHER_API_KEY",
    "OPENAI_API_KEY",
    "AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_API_KEY",
    "AZURE_OPENAI_AD_TOKEN",
    "AZURE_OPENAI_API_VERSION",
    "ANTHROPIC_API_KEY",
    "OLLAMA_URL",
];
/// The variables of Bedrock. A person may have set most of them for other work, so one of the first two must be there.
const BEDROCK: [&str; 7] = [
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_BEDROCK_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "BEDROCK_BASE_URL",
];

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
        let bedrock = BEDROCK.iter().take(2).any(|name| self.get(name).is_some());
        let names = REAL_PROVIDERS.iter().chain(BEDROCK.iter().filter(|_| bedrock));
        names.filter_map(|name| Some(((*name).to_owned(), self.get(name)?.to_owned()))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bedrock_is_used_only_by_who_asks_for_it() {
        let key = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_REGION", "eu-west-1")];
        assert!(Settings::from(key).providers().is_empty());
        let [id, secret, region] = key;
        assert_eq!(Settings::from([id, secret, region, ("AWS_BEDROCK_REGION", "us-east-1")]).providers().len(), 4);
        assert_eq!(Settings::from([region, ("AWS_BEARER_TOKEN_BEDROCK", "key")]).providers().len(), 2);
    }
}
