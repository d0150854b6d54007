//! The endpoints at which models are asked.

use problem::Dialect;

/// One of them. Providers have the same ones below their base URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// OpenAI's chat completions.
    ChatCompletions,
    /// OpenAI's embeddings.
    Embeddings,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
}

impl Endpoint {
    pub(crate) const ALL: [Self; 4] = [Self::ChatCompletions, Self::Embeddings, Self::Responses, Self::Messages];

    /// The endpoint at `path`.
    pub(crate) fn at(path: &str) -> Option<Self> {
        let below = path.strip_prefix("/v1")?;
        Self::ALL.into_iter().find(|endpoint| endpoint.below_base() == below)
    }

    /// Where it is below a base URL; the edge's own is `/v1`.
    pub(crate) fn below_base(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
            Self::Embeddings => "/embeddings",
            Self::Responses => "/responses",
            Self::Messages => "/messages",
        }
    }

    /// The members of a request that say how long an answer may become, in tokens; the first that is there counts.
    pub(crate) fn limit_members(self) -> &'static [&'static str] {
        match self {
            // OpenAI has replaced the second by the first, which most others do not know.
            Self::ChatCompletions => &["max_completion_tokens", "max_tokens"],
            Self::Embeddings => &[],
            Self::Responses => &["max_output_tokens"],
            Self::Messages => &["max_tokens"],
        }
    }

    /// OpenTelemetry's `gen_ai.operation.name`.
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::ChatCompletions | Self::Responses | Self::Messages => "chat",
            Self::Embeddings => "embeddings",
        }
    }

    /// The shape of errors.
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::ChatCompletions | Self::Embeddings | Self::Responses => Dialect::OpenAi,
            Self::Messages => Dialect::Anthropic,
        }
    }
}
