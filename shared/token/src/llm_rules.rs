use serde::{Deserialize, Serialize};

/// The endpoints of language models to which an API key may be limited, by their paths.
pub const LLM_ENDPOINTS: &[&str] = &["/v1/chat/completions", "/v1/embeddings", "/v1/messages", "/v1/responses"];

/// What a credential may ask of a language model. By default all that there is, without the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LlmRules {
    /// The model aliases that may be used; all if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_models: Vec<String>,
    /// Which of [`LLM_ENDPOINTS`] may be used; all if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_endpoints: Vec<String>,
    /// How long an answer may become at most, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// Whether the cache of answers is used where a call does not say it.
    #[serde(skip_serializing_if = "CacheMode::is_off")]
    pub cache: CacheMode,
}

/// How a call uses the cache of answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheMode {
    /// Not at all.
    #[default]
    Off,
    /// It is answered from the cache, and adds nothing to it.
    Read,
    /// It is answered from the cache, or its answer is kept there.
    ReadWrite,
}

impl LlmRules {
    /// Whether nothing is different from the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the model alias may be used.
    pub fn allows_model(&self, alias: &str) -> bool {
        self.allowed_models.is_empty() || self.allowed_models.iter().any(|allowed| allowed == alias)
    }

    /// Whether the endpoint at `path` may be used; paths that are not in [`LLM_ENDPOINTS`] are free.
    pub fn allows_endpoint(&self, path: &str) -> bool {
        let is_free = self.allowed_endpoints.is_empty() || !LLM_ENDPOINTS.contains(&path);
        is_free || self.allowed_endpoints.iter().any(|allowed| allowed == path)
    }
}

impl CacheMode {
    /// The mode named `name`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "off" => Some(Self::Off),
            "read" => Some(Self::Read),
            "read-write" => Some(Self::ReadWrite),
            _ => None,
        }
    }

    /// Whether the cache is not used at all.
    pub fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_list_allows_all_and_any_other_what_it_names() {
        let free = LlmRules::default();
        assert!(free.is_default() && free.allows_model("m") && free.allows_endpoint("/v1/chat/completions"));
        let rules: LlmRules =
            serde_json::from_value(json!({"allowed_models": ["m"], "allowed_endpoints": ["/v1/embeddings"]})).unwrap();
        assert_eq!([rules.allows_model("m"), rules.allows_model("M"), rules.allows_model("")], [true, false, false]);
        let paths = ["/v1/embeddings", "/v1/chat/completions", "/v1/models"];
        assert_eq!(paths.map(|path| rules.allows_endpoint(path)), [true, false, true]);
    }

    #[test]
    fn rules_are_read_as_they_are_written_and_defaults_are_left_out() {
        let rules = json!({"allowed_models": ["m"], "max_output_tokens": 5, "cache": "read-write"});
        let read: LlmRules = serde_json::from_value(rules.clone()).unwrap();
        assert_eq!((read.max_output_tokens, read.cache), (Some(5), CacheMode::ReadWrite));
        assert_eq!(serde_json::to_value(&read).unwrap(), rules);
        let null = json!({"allowed_models": [], "allowed_endpoints": [], "max_output_tokens": null, "cache": "off"});
        assert!(serde_json::from_value::<LlmRules>(null).unwrap().is_default());
        for mode in ["off", "read", "read-write"] {
            assert_eq!(serde_json::to_value(CacheMode::named(mode).unwrap()).unwrap(), mode);
        }
    }
}
