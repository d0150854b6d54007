//! The body of a request to a model: what the proxy needs from it, and the same bytes again for the provider.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use problem::{Problem, kinds};

use crate::catalog::Route;
use crate::endpoint::Endpoint;
use crate::measure::Measure;
use crate::members::{Members, count, flag, invalid, span};
use crate::observation::name;
use crate::output_limit::OutputLimit;
use crate::tokens::Tokens;

const MAX_DEPTH: usize = 100;
const ASK_FOR_USAGE: &str = r#"{"include_usage":true}"#;

/// A checked request. Members that the proxy does not know are never read: the provider gets their very bytes.
#[derive(Debug, Clone)]
pub(crate) struct ModelRequest {
    pub(crate) endpoint: Endpoint,
    /// The alias that the caller wants.
    pub(crate) model: String,
    /// Whether the answer is to be a stream of events.
    pub(crate) stream: bool,
    /// Whether the caller is to see a stream's usage: it asked for it itself, or the endpoint always tells it.
    pub(crate) wants_usage: bool,
    pub(crate) prompt: Prompt,
    /// How long each answer may become in tokens, if the caller says so or is held to something.
    pub(crate) max_tokens: Option<u64>,
    /// In which of the provider's service tiers, if the caller says so.
    pub(crate) service_tier: Option<String>,
    /// How many answers are wanted.
    pub(crate) choices: u64,
    body: Bytes,
    model_at: Range<usize>,
    usage_edit: Option<Edit>,
    output_limit: OutputLimit,
}

/// How much the model reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// No tokenizer makes more tokens of a text than it has bytes.
    text_bytes: u64,
    /// What is there in tokens already, as embeddings may be asked for.
    tokens: u64,
}

/// A text that takes the place of a part of the body.
#[derive(Debug, Clone)]
struct Edit {
    at: Range<usize>,
    text: Cow<'static, str>,
}

impl ModelRequest {
    /// Checks `body`, which is UTF-8: 400 with the place of the first fault.
    pub(crate) fn parse(endpoint: Endpoint, body: Bytes) -> Result<Self, Problem> {
        let text = std::str::from_utf8(&body).map_err(|_| kinds::MALFORMED_BODY)?;
        if Measure::of(&body).depth > MAX_DEPTH {
            let detail = format!("The JSON document may be nested at most {MAX_DEPTH} levels deep.");
            return Err(Problem::new(kinds::MALFORMED_BODY).detail(detail));
        }
        let members = Members::parse(text, "")?;
        let (model_at, model) = model(text, &members)?;
        check(endpoint, &members)?;
        let stream = endpoint != Endpoint::Embeddings && flag(members.get("stream"), "/stream")?;
        let is_chat = endpoint == Endpoint::ChatCompletions;
        let (wants_usage, usage_edit) = if is_chat { usage_edit(text, &members, stream)? } else { (true, None) };
        let choices = members.get("n").filter(|_| is_chat);
        let output_limit = OutputLimit::of(endpoint, text, &members);
        Ok(Self {
            endpoint,
            model,
            stream,
            wants_usage,
            prompt: Prompt::of(endpoint, &members),
            max_tokens: if endpoint == Endpoint::Embeddings { Some(0) } else { output_limit.tokens() },
            service_tier: members.get("service_tier").and_then(name),
            choices: count(choices).unwrap_or(1).max(1),
            body,
            model_at,
            usage_edit,
            output_limit,
        })
    }

    /// The body as the caller wrote it, for a protocol that translates it.
    pub(crate) fn json(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// The body as the caller sent it.
    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }

    /// To how many tokens each answer is held that the caller has not limited itself.
    pub(crate) fn held_to(&self) -> Option<u64> {
        self.output_limit.most
    }

    /// Holds each answer to `most` tokens: 400 if the caller wants a longer one.
    pub(crate) fn limit_output(&mut self, most: u64) -> Result<(), Problem> {
        self.output_limit.hold_to(most)?;
        self.max_tokens = self.max_tokens.or(Some(most));
        Ok(())
    }

    /// The same for the model of `route`, from a provider that calls the limit of a chat completion `member`. What a
    /// model cannot exceed need not be said, and a provider would refuse it.
    pub(crate) fn for_route(&self, route: &Route, member: &'static str) -> Cow<'_, Self> {
        let Some(most) = self.output_limit.most else { return Cow::Borrowed(self) };
        let mut request = self.clone();
        request.output_limit.most = Some(most).filter(|most| route.max_output_tokens.is_none_or(|own| own > *most));
        if self.endpoint == Endpoint::ChatCompletions {
            request.output_limit.member = member;
        }
        Cow::Owned(request)
    }

    /// The body for a provider that knows the model as `model`. In a stream it is asked for usage, and an answer that is
    /// held to a length to keep to it; otherwise every byte but those of the model's name is the caller's.
    pub(crate) fn body_for(&self, model: &str) -> Bytes {
        let model = serde_json::Value::from(model).to_string();
        let limit = self.output_limit.edit();
        let mut edits = vec![(self.model_at.clone(), model.as_str())];
        edits.extend(self.usage_edit.as_ref().map(|edit| (edit.at.clone(), &*edit.text)));
        edits.extend(limit.as_ref().map(|edit| (edit.0.clone(), edit.1.as_str())));
        edits.sort_by_key(|(at, _)| at.start);
        let mut edited = Vec::with_capacity(self.body.len() + model.len() + 64);
        let mut from = 0;
        for (at, text) in edits {
            edited.extend_from_slice(self.body.get(from..at.start).unwrap_or_default());
            edited.extend_from_slice(text.as_bytes());
            from = at.end;
        }
        edited.extend_from_slice(self.body.get(from..).unwrap_or_default());
        edited.into()
    }
}

fn model(text: &str, members: &Members) -> Result<(Range<usize>, String), Problem> {
    let raw = members.get("model").ok_or_else(|| invalid("/model", "is missing: name a model"))?;
    match serde_json::from_str::<String>(raw.get()) {
        Ok(model) if !model.is_empty() => Ok((span(text, raw), model)),
        _ => Err(invalid("/model", "must be a string that is not empty")),
    }
}

/// What is judged here and not by the provider: that there is anything to answer, and that it is all there.
fn check(endpoint: Endpoint, members: &Members) -> Result<(), Problem> {
    match endpoint {
        Endpoint::ChatCompletions | Endpoint::Messages => require_messages(members),
        Endpoint::Embeddings => require_input(members),
        Endpoint::Responses => refuse_state(members),
    }
}

fn require_messages(members: &Members) -> Result<(), Problem> {
    let raw = members.get("messages").ok_or_else(|| invalid("/messages", "is missing: send an array of messages"))?;
    let inside = raw.get().strip_prefix('[').map(str::trim_start);
    if inside.is_none_or(|inside| inside.starts_with(']')) {
        return Err(invalid("/messages", "must be an array that is not empty"));
    }
    Ok(())
}

fn require_input(members: &Members) -> Result<(), Problem> {
    match members.get("input") {
        Some(raw) if raw.get().starts_with(['"', '[']) => Ok(()),
        Some(_) => Err(invalid("/input", "must be a text or an array")),
        None => Err(invalid("/input", "is missing: send what is to be embedded")),
    }
}

/// What a provider keeps for us it keeps for all callers alike, and nobody could say beforehand what it costs to read it.
fn refuse_state(members: &Members) -> Result<(), Problem> {
    for name in ["previous_response_id", "conversation"] {
        if members.get(name).is_some_and(|raw| raw.get() != "null") {
            return Err(invalid(&format!("/{name}"), "is not supported: send the earlier items in `input`"));
        }
    }
    if flag(members.get("background"), "/background")? {
        return Err(invalid("/background", "is not supported: wait for the answer, or stream it"));
    }
    Ok(())
}

impl Prompt {
    fn of(endpoint: Endpoint, members: &Members) -> Self {
        let names: &[&str] = match endpoint {
            Endpoint::ChatCompletions => &["messages", "tools", "functions", "response_format"],
            Endpoint::Embeddings => &["input"],
            Endpoint::Responses => &["input", "instructions", "tools", "text", "prompt"],
            Endpoint::Messages => &["messages", "system", "tools", "output_config", "output_format"],
        };
        let parts = names.iter().filter_map(|name| members.get(name));
        parts.map(|raw| Measure::of(raw.get().as_bytes())).fold(Self::default(), |sum, part| Self {
            text_bytes: sum.text_bytes.saturating_add(part.text_bytes),
            tokens: if endpoint == Endpoint::Embeddings { part.numbers } else { 0 },
        })
    }

    /// No model reads more.
    pub(crate) fn most_tokens(self) -> u64 {
        self.text_bytes.saturating_add(self.tokens)
    }

    /// What a model probably reads.
    pub(crate) fn estimated_tokens(self) -> u64 {
        Tokens::estimated(self.text_bytes).saturating_add(self.tokens)
    }
}

/// Whether the caller asked for usage, and what to change so that the provider is asked in any case.
fn usage_edit(text: &str, members: &Members, stream: bool) -> Result<(bool, Option<Edit>), Problem> {
    let options = members.get("stream_options").filter(|raw| raw.get() != "null");
    if let Some(raw) = options {
        let inner = Members::parse(raw.get(), "/stream_options")?;
        let asked = inner.get("include_usage");
        if flag(asked, "/stream_options/include_usage")? {
            return Ok((true, None));
        }
        let edit = if let Some(asked) = asked {
            Edit { at: span(text, asked), text: "true".into() }
        } else {
            let after_brace = span(text, raw).start + 1;
            let comma = if inner.is_empty() { "" } else { "," };
            Edit { at: after_brace..after_brace, text: format!(r#""include_usage":true{comma}"#).into() }
        };
        return Ok((false, stream.then_some(edit)));
    }
    let edit = match (members.get("stream_options"), members.get("stream")) {
        (Some(null), _) => Some(Edit { at: span(text, null), text: ASK_FOR_USAGE.into() }),
        (None, Some(flag)) => {
            let end = span(text, flag).end;
            Some(Edit { at: end..end, text: format!(r#","stream_options":{ASK_FOR_USAGE}"#).into() })
        }
        (None, None) => None,
    };
    Ok((false, edit.filter(|_| stream)))
}
