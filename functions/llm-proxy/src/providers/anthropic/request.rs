//! A chat completion as a request for a message.
//!
//! Members that only advise, or that are for OpenAI's own accounts (`seed`, `store`, `service_tier`, `prompt_cache_key` …),
//! are left out, and so are those that nobody knows. What would change the answer and has no counterpart is refused.

use problem::Problem;

use super::messages::Conversation;
use super::writer::{Writer, array};
use super::{quoted, tools};
use crate::catalog::Route;
use crate::model_request::ModelRequest;
use crate::providers::node::Object;
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
    let request = Object::root(completion.json())?;
    refuse_the_inexpressible(&request)?;
    let conversation = Conversation::of(&request.require("messages")?)?;
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
        body.copy(name, request.get(name).as_ref());
    }
    if let Some(stop) = request.get("stop") {
        let json = stop.json();
        body.member("stop_sequences", &if stop.is_text() { format!("[{json}]") } else { json.to_owned() });
    }
    tools::write(&request, &mut body)?;
    output_config(&request, &mut body)?;
    metadata(&request, &mut body)?;
    Ok(body.finish())
}

fn refuse_the_inexpressible(request: &Object<'_>) -> Result<(), Problem> {
    for (name, neutral) in INEXPRESSIBLE {
        let Some(node) = request.get(name) else { continue };
        let value: String = node.json().split_ascii_whitespace().collect();
        if !neutral.contains(&value.as_str()) {
            return Err(node.problem("cannot be had of this model: leave it out or use another model"));
        }
    }
    match request.get("temperature") {
        Some(node) if serde_json::from_str::<f64>(node.json()).is_ok_and(|temperature| temperature > 1.0) => {
            Err(node.problem("must be from 0 to 1 for this model"))
        }
        _ => Ok(()),
    }
}

/// Anthropic wants to be told; what is reserved for the call is what is asked for.
fn max_tokens(request: &Object<'_>, completion: &ModelRequest, route: &Route) -> Result<String, Problem> {
    let given = ["max_completion_tokens", "max_tokens"].into_iter().find_map(|name| request.get(name));
    match given {
        Some(node) if completion.max_tokens.is_none() => Err(node.problem("must be a whole number of tokens")),
        _ => Ok(worst_case::longest_answer(completion, route).to_string()),
    }
}

/// `response_format` and `reasoning_effort`.
fn output_config(request: &Object<'_>, body: &mut Writer) -> Result<(), Problem> {
    let mut config = Writer::default();
    if let Some(format) = request.get("response_format") {
        let format = format.object()?;
        let kind = format.require("type")?;
        match &*kind.text()? {
            "text" => (),
            "json_schema" => {
                let named = format.require("json_schema")?;
                let schema = named.object()?.get("schema").ok_or_else(|| named.problem("must have a `schema`"))?;
                config.member("format", &format!(r#"{{"type":"json_schema","schema":{}}}"#, schema.json()));
            }
            _ => return Err(kind.problem("must be `text` or `json_schema` for this model")),
        }
    }
    if let Some(effort) = request.get("reasoning_effort") {
        match effort.string()? {
            "\"none\"" => (),
            "\"minimal\"" => config.member("effort", "\"low\""),
            effort => config.member("effort", effort),
        }
    }
    if !config.is_empty() {
        body.member("output_config", &config.finish());
    }
    Ok(())
}

/// Of whom the request is, in the caller's words.
fn metadata(request: &Object<'_>, body: &mut Writer) -> Result<(), Problem> {
    let user = match (string(request, "user")?, string(request, "safety_identifier")?) {
        (None, None) => match request.get("metadata") {
            Some(metadata) => string(&metadata.object()?, "user_id")?,
            None => None,
        },
        (user, identifier) => user.or(identifier),
    };
    if let Some(user) = user {
        body.member("metadata", &format!(r#"{{"user_id":{user}}}"#));
    }
    Ok(())
}

fn string<'a>(object: &Object<'a>, name: &str) -> Result<Option<&'a str>, Problem> {
    object.get(name).map(|node| node.string()).transpose()
}
