//! A chat completion as a request for a message.
//!
//! Members that only advise, or that are for OpenAI's own accounts (`seed`, `store`, `service_tier`, `prompt_cache_key` …),
//! are left out, and so are those that nobody knows. What would change the answer and has no counterpart is refused.

use problem::Problem;
use serde_json::Value;

use super::messages::Conversation;
use super::object::{Object, Writer, array};
use super::{quoted, tools};
use crate::catalog::Route;
use crate::model_request::ModelRequest;
use crate::worst_case;

/// What has no counterpart, and the values with which it asks for nothing.
const INEXPRESSIBLE: [(&str, &[&str]); 11] = [
    ("n", &["1"]),
    ("logprobs", &["false"]),
    ("top_logprobs", &["0"]),
    ("logit_bias", &["{}"]),
    ("frequency_penalty", &["0", "0.0"]),
    ("presence_penalty", &["0", "0.0"]),
    ("audio", &[]),
    ("modalities", &[r#"["text"]"#]),
    ("web_search_options", &[]),
    ("functions", &["[]"]),
    ("function_call", &[]),
];
/// These have Anthropic's meaning, under the same name.
const COPIED: [&str; 4] = ["temperature", "top_p", "top_k", "thinking"];

/// The body for the model of `route`.
pub(super) fn body(completion: &ModelRequest, route: &Route) -> Result<String, Problem> {
    let request = Object::parse(completion.json(), String::new())?;
    refuse_the_inexpressible(&request)?;
    let conversation = Conversation::of(&request)?;
    let mut body = Writer::default();
    body.member("model", &quoted(&route.model));
    body.member("max_tokens", &max_tokens(&request, completion, route)?);
    if !conversation.system.is_empty() {
        body.member("system", &array(&conversation.system));
    }
    body.member("messages", &conversation.messages());
    if completion.stream {
        body.member("stream", "true");
    }
    for name in COPIED {
        body.copy(name, request.get(name));
    }
    if let Some(stop) = request.get("stop") {
        let one = stop.get().starts_with('"');
        body.member("stop_sequences", &if one { format!("[{}]", stop.get()) } else { stop.get().to_owned() });
    }
    tools::write(&request, &mut body)?;
    output_config(&request, &mut body)?;
    metadata(&request, &mut body)?;
    Ok(body.finish())
}

fn refuse_the_inexpressible(request: &Object<'_>) -> Result<(), Problem> {
    for (name, neutral) in INEXPRESSIBLE {
        let Some(raw) = request.get(name) else { continue };
        let value: String = raw.get().split_ascii_whitespace().collect();
        if !neutral.contains(&value.as_str()) {
            return Err(request.wrong(name, "cannot be had of this model: leave it out or use another model"));
        }
    }
    let temperature =
        request.get("temperature").and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok()?.as_f64());
    if temperature.is_some_and(|temperature| temperature > 1.0) {
        return Err(request.wrong("temperature", "must be from 0 to 1 for this model"));
    }
    Ok(())
}

/// Anthropic wants to be told; what is reserved for the call is what is asked for.
fn max_tokens(request: &Object<'_>, completion: &ModelRequest, route: &Route) -> Result<String, Problem> {
    let given = ["max_completion_tokens", "max_tokens"].into_iter().find(|name| request.get(name).is_some());
    match given {
        Some(name) if completion.max_tokens.is_none() => Err(request.wrong(name, "must be a whole number of tokens")),
        _ => Ok(worst_case::longest_answer(completion, route).to_string()),
    }
}

/// `response_format` and `reasoning_effort`.
fn output_config(request: &Object<'_>, body: &mut Writer) -> Result<(), Problem> {
    let mut config = Writer::default();
    if let Some(format) = request.object("response_format")? {
        match format.text("type")?.as_str() {
            "text" => (),
            "json_schema" => {
                let schema = format.object("json_schema")?;
                let schema = schema.as_ref().and_then(|schema| schema.get("schema"));
                let schema = schema.ok_or_else(|| format.wrong("json_schema", "must have a `schema`"))?;
                config.member("format", &format!(r#"{{"type":"json_schema","schema":{}}}"#, schema.get()));
            }
            _ => return Err(format.wrong("type", "must be `text` or `json_schema` for this model")),
        }
    }
    if let Some(effort) = request.string("reasoning_effort")? {
        match effort.get() {
            "\"none\"" => (),
            "\"minimal\"" => config.member("effort", "\"low\""),
            _ => config.member("effort", effort.get()),
        }
    }
    if !config.is_empty() {
        body.member("output_config", &config.finish());
    }
    Ok(())
}

/// Of whom the request is, in the caller's words.
fn metadata(request: &Object<'_>, body: &mut Writer) -> Result<(), Problem> {
    let user = match (request.string("user")?, request.string("safety_identifier")?) {
        (None, None) => request.object("metadata")?.map(|metadata| metadata.string("user_id")).transpose()?.flatten(),
        (user, identifier) => user.or(identifier),
    };
    if let Some(user) = user {
        body.member("metadata", &format!(r#"{{"user_id":{}}}"#, user.get()));
    }
    Ok(())
}
