//! What a chat completion request asks for.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::ApiError;

/// The members of a chat completion request that the simulator honours; all others are accepted and ignored.
#[derive(Deserialize)]
pub struct ChatRequest<'a> {
    #[serde(borrow, default)]
    pub model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub messages: Option<Vec<Message<'a>>>,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
    #[serde(default)]
    pub max_tokens: Option<usize>,
    #[serde(default)]
    pub max_completion_tokens: Option<usize>,
    #[serde(default)]
    pub n: Option<u32>,
    #[serde(borrow, default)]
    pub tools: Option<Vec<Tool<'a>>>,
    #[serde(borrow, default)]
    pub tool_choice: Option<&'a RawValue>,
    #[serde(default)]
    pub parallel_tool_calls: Option<bool>,
    #[serde(borrow, default)]
    pub response_format: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub struct Message<'a> {
    #[serde(borrow)]
    pub role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub struct StreamOptions {
    #[serde(default)]
    pub include_usage: Option<bool>,
}

#[derive(Deserialize)]
pub struct Tool<'a> {
    #[serde(borrow)]
    pub function: Function<'a>,
}

#[derive(Deserialize)]
pub struct Function<'a> {
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub parameters: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

/// What a member of a multi-part message counts when it is not text.
const TOKENS_PER_IMAGE: usize = 85;
/// What OpenAI's chat format adds around each message, and once per prompt.
const TOKENS_PER_MESSAGE: usize = 3;

impl<'a> ChatRequest<'a> {
    /// Reads a request body, with OpenAI's answers to what is wrong with it.
    pub fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        let request: Self = serde_json::from_slice(body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => ApiError::invalid(&format!("Invalid request body: {error}."), None),
            _ => ApiError::invalid(&format!("We could not parse the JSON body of your request: {error}."), None),
        })?;
        if request.model.is_none() {
            return Err(ApiError::missing("model"));
        }
        if request.messages.as_ref().is_none_or(Vec::is_empty) {
            return Err(ApiError::missing("messages"));
        }
        if request.n.is_some_and(|n| n != 1) {
            return Err(ApiError::invalid("The simulator answers with one choice: 'n' must be 1.", Some("n")));
        }
        Ok(request)
    }

    /// The most tokens that the answer may have.
    pub fn limit(&self) -> usize {
        self.max_completion_tokens.or(self.max_tokens).unwrap_or(usize::MAX)
    }

    /// Whether a streamed answer is to end with the usage chunk.
    pub fn include_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
    }

    /// The text of the last message of the user.
    pub fn prompt(&self) -> String {
        let messages = self.messages.as_deref().unwrap_or_default();
        messages.iter().rev().find(|message| message.role == "user").map(Message::text).unwrap_or_default()
    }

    /// What the prompt counts: its words, and a constant for each message and each image.
    pub fn prompt_tokens(&self) -> usize {
        let messages = self.messages.as_deref().unwrap_or_default();
        messages.iter().map(|message| TOKENS_PER_MESSAGE + message.tokens()).sum::<usize>() + TOKENS_PER_MESSAGE
    }
}

impl<'a> Message<'a> {
    fn text(&self) -> String {
        match self.parts() {
            Parts::Text(text) => text.into_owned(),
            Parts::Many(parts) => parts.iter().filter_map(|part| part.text.as_deref()).collect::<Vec<_>>().join(" "),
        }
    }

    fn tokens(&self) -> usize {
        match self.parts() {
            Parts::Text(text) => words(&text),
            Parts::Many(parts) => parts.iter().map(|part| part.text.as_deref().map_or(TOKENS_PER_IMAGE, words)).sum(),
        }
    }

    fn parts(&self) -> Parts<'a> {
        let raw = self.content.map_or("\"\"", RawValue::get);
        if raw.starts_with('[') {
            return Parts::Many(serde_json::from_str(raw).unwrap_or_default());
        }
        // A string without escapes is its own text.
        match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(plain) if !plain.contains('\\') => Parts::Text(Cow::Borrowed(plain)),
            _ => Parts::Text(Cow::Owned(serde_json::from_str(raw).unwrap_or_default())),
        }
    }
}

enum Parts<'a> {
    Text(Cow<'a, str>),
    Many(Vec<Part<'a>>),
}

/// How many words a text has: the simulator's measure of tokens in a prompt.
pub fn words(text: &str) -> usize {
    text.split_ascii_whitespace().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<ChatRequest<'_>, ApiError> {
        ChatRequest::parse(body.as_bytes())
    }

    #[test]
    fn counts_words_messages_and_images() {
        let request = parse(
            r#"{"model":"m","messages":[{"role":"system","content":"Be brief."},
                {"role":"user","content":[{"type":"text","text":"What is\nthis?"},{"type":"image_url","image_url":{"url":"x"}}]}]}"#,
        );
        let request = request.ok().unwrap();
        assert_eq!(request.prompt_tokens(), 3 + (3 + 2) + (3 + 3 + 85));
        assert_eq!(request.prompt(), "What is\nthis?");
    }

    #[test]
    fn the_newer_name_of_the_token_limit_wins() {
        let body =
            r#"{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":9,"max_completion_tokens":4}"#;
        assert_eq!(parse(body).ok().unwrap().limit(), 4);
    }

    #[test]
    fn says_what_is_missing() {
        assert_eq!(parse(r#"{"messages":[]}"#).err().unwrap().param.as_deref(), Some("model"));
        assert_eq!(parse(r#"{"model":"m","messages":[]}"#).err().unwrap().param.as_deref(), Some("messages"));
        assert_eq!(parse("{").err().unwrap().status, 400);
    }
}
