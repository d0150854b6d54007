//! What a caller may ask for: by its API key, and by its tier.

use problem::{Problem, kinds};
use token::LlmRules;

use crate::model_request::ModelRequest;

/// The rules that hold for one caller. A request keeps to all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GuardRails<'a> {
    /// Of the API key; the default for any other credential.
    pub(crate) key: &'a LlmRules,
    /// Of the tier, if it has any.
    pub(crate) tier: Option<&'a LlmRules>,
}

impl GuardRails<'_> {
    /// Whether the model alias may be used.
    pub(crate) fn allows_model(&self, alias: &str) -> bool {
        self.key.allows_model(alias) && self.tier.is_none_or(|tier| tier.allows_model(alias))
    }

    /// How long an answer may become at most, in tokens.
    pub(crate) fn max_output_tokens(&self) -> Option<u64> {
        [self.key.max_output_tokens, self.tier.and_then(|tier| tier.max_output_tokens)].into_iter().flatten().min()
    }

    /// 403 for a model that may not be used, 400 for an answer that may not become as long. A request that says nothing
    /// of its length is limited to what is allowed.
    pub(crate) fn admit(&self, request: &mut ModelRequest) -> Result<(), Problem> {
        if !self.key.allows_model(&request.model) {
            return Err(not_allowed(&request.model, "This API key"));
        }
        if !self.allows_model(&request.model) {
            return Err(not_allowed(&request.model, "The organization's tier"));
        }
        self.max_output_tokens().map_or(Ok(()), |most| request.limit_output(most))
    }
}

/// 403 for an endpoint that the API key may not use.
pub(crate) fn check_endpoint(key: &LlmRules, path: &str) -> Result<(), Problem> {
    if key.allows_endpoint(path) {
        return Ok(());
    }
    let allowed = key.allowed_endpoints.join(", ");
    Err(Problem::new(kinds::ENDPOINT_NOT_ALLOWED).detail(format!("This API key may use {allowed}, not {path}.")))
}

fn not_allowed(model: &str, whose: &str) -> Problem {
    let shown: String = model.chars().take(100).collect();
    let detail = format!("{whose} does not allow the model `{shown}`; `GET /v1/models` lists those that it does.");
    Problem::new(kinds::MODEL_NOT_ALLOWED).at("/model", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn most(key: Option<u64>, tier: Option<&LlmRules>) -> Option<u64> {
        GuardRails { key: &rules(key), tier }.max_output_tokens()
    }

    fn rules(max_output_tokens: Option<u64>) -> LlmRules {
        LlmRules { max_output_tokens, ..LlmRules::default() }
    }

    #[test]
    fn the_shorter_of_two_answers_counts() {
        assert_eq!(most(None, None), None);
        assert_eq!(most(Some(5), None), Some(5));
        assert_eq!(most(None, Some(&rules(Some(7)))), Some(7));
        assert_eq!(most(Some(5), Some(&rules(Some(7)))), Some(5));
        assert_eq!(most(Some(9), Some(&rules(Some(7)))), Some(7));
        assert_eq!(most(Some(9), Some(&rules(None))), Some(9));
    }
}
