//! A chat completion as a request of Converse or ConverseStream.
//!
//! What Converse can say is translated. What it cannot say and the answer depends on is refused, with the place in the
//! caller's request. What has no effect on the answer is left out: see [`WITHOUT_EFFECT`]. Everything else is none of
//! OpenAI's members and goes into `additionalModelRequestFields` as it is, where the model's own parameters belong.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>

use std::borrow::Cow;

use problem::{Problem, kinds};
use serde::Serialize;
use serde_json::value::RawValue;

use super::content::Block;
use super::messages::{Conversation, Message};
use super::tools::{self, ToolConfig};
use crate::members::Members;
use crate::providers::node::{Node, Object};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Converse<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Message<'a>>,
    inference_config: InferenceConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Members::is_empty")]
    request_metadata: Members<'a>,
    #[serde(skip_serializing_if = "Members::is_empty")]
    additional_model_request_fields: Members<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputConfig<'a> {
    text_format: TextFormat<'a>,
}

#[derive(Serialize)]
struct TextFormat<'a> {
    r#type: &'static str,
    structure: Structure<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Structure<'a> {
    JsonSchema(JsonSchema<'a>),
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    /// As text.
    schema: &'a str,
}

const TRANSLATED: [&str; 10] = [
    "messages",
    "tools",
    "tool_choice",
    "response_format",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "stop",
    "metadata",
];
/// They are for OpenAI's accounts, caches and dashboards, or said by the address.
const WITHOUT_EFFECT: [&str; 10] = [
    "model",
    "stream",
    "stream_options",
    "user",
    "store",
    "service_tier",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
];
/// What Converse cannot say, each with the values that ask for nothing.
const REFUSED: [(&str, &[&str]); 14] = [
    ("n", &["1"]),
    ("logprobs", &["false"]),
    ("top_logprobs", &["0"]),
    ("logit_bias", &["{}"]),
    ("presence_penalty", &["0", "0.0"]),
    ("frequency_penalty", &["0", "0.0"]),
    ("parallel_tool_calls", &["true"]),
    ("verbosity", &["\"medium\""]),
    ("modalities", &["[\"text\"]"]),
    ("seed", &[]),
    ("audio", &[]),
    ("functions", &[]),
    ("function_call", &[]),
    ("web_search_options", &[]),
];
/// Of `requestMetadata`.
const MOST_METADATA: usize = 16;
const LONGEST_METADATA: usize = 256;

/// The body for `completion`, the body of a chat completion whose answer is held to so many tokens, if it does not say it.
pub(super) fn body(completion: &[u8], held_to: Option<u64>) -> Result<Vec<u8>, Problem> {
    let text = std::str::from_utf8(completion).map_err(|_| kinds::MALFORMED_BODY)?;
    let request = Object::root(text)?;
    let conversation = Conversation::read(&request.require("messages")?)?;
    let converse = Converse {
        inference_config: inference_config(&request, held_to)?,
        tool_config: tools::read(&request, conversation.has_tools)?,
        output_config: request.get("response_format").map(|format| output_config(&format)).transpose()?.flatten(),
        request_metadata: request.get("metadata").map(|metadata| tags(&metadata)).transpose()?.unwrap_or_default(),
        system: conversation.system,
        messages: conversation.messages,
        additional_model_request_fields: additional(request)?,
    };
    serde_json::to_vec(&converse).map_err(|_| kinds::INTERNAL.into())
}

fn inference_config<'a>(request: &Object<'a>, held_to: Option<u64>) -> Result<InferenceConfig<'a>, Problem> {
    let max_tokens = request.get("max_completion_tokens").or_else(|| request.get("max_tokens"));
    let stop = request.get("stop");
    let stop_sequences = match &stop {
        Some(stop) if stop.is_text() => vec![stop.text()?],
        Some(stop) => stop.items()?.iter().map(Node::text).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    Ok(InferenceConfig {
        max_tokens: max_tokens.map(|count| whole_number(&count)).transpose()?.or(held_to),
        temperature: request.get("temperature").map(|number| up_to_one(&number)).transpose()?,
        top_p: request.get("top_p").map(|number| up_to_one(&number)).transpose()?,
        stop_sequences,
    })
}

fn whole_number(node: &Node<'_>) -> Result<u64, Problem> {
    let count = node.raw.get().parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| node.problem("must be a whole number above 0"))
}

/// OpenAI lets temperatures rise to 2.
fn up_to_one<'a>(node: &Node<'a>) -> Result<&'a RawValue, Problem> {
    // By the reader of JSON: the standard library's brings 10 kB of tables.
    match serde_json::from_str::<f64>(node.raw.get()) {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(node.raw),
        _ => Err(node.problem("must be a number from 0 to 1 for this model")),
    }
}

fn output_config<'a>(format: &Node<'a>) -> Result<Option<OutputConfig<'a>>, Problem> {
    let format = format.object()?;
    let kind = format.require("type")?;
    match &*kind.text()? {
        "text" => Ok(None),
        "json_schema" => {
            let wanted = format.require("json_schema")?.object()?;
            let schema = JsonSchema {
                name: wanted.require("name")?.text()?,
                description: wanted.get("description").map(|text| text.text()).transpose()?,
                schema: wanted.require("schema")?.raw.get(),
            };
            let structure = Structure::JsonSchema(schema);
            Ok(Some(OutputConfig { text_format: TextFormat { r#type: "json_schema", structure } }))
        }
        _ => Err(kind.problem("must be text or json_schema for this model, which knows JSON only by its schema")),
    }
}

/// The caller's metadata, as far as Converse takes it: it is written to AWS's logs and changes no answer.
fn tags<'a>(metadata: &Node<'a>) -> Result<Members<'a>, Problem> {
    let members = metadata.object()?.into_members();
    let tags = members
        .filter(|(name, value)| !name.is_empty() && is_tag(name) && value.text().is_ok_and(|value| is_tag(&value)));
    Ok(Members(tags.take(MOST_METADATA).map(|(name, value)| (name, value.raw)).collect()))
}

/// What both the calls and the filters of the logs allow.
fn is_tag(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b" ._:/=+$@-".contains(&byte);
    text.len() <= LONGEST_METADATA && text.bytes().all(allowed)
}

fn additional(request: Object<'_>) -> Result<Members<'_>, Problem> {
    let mut fields = Members::default();
    for (name, node) in request.into_members() {
        if TRANSLATED.contains(&&*name) || WITHOUT_EFFECT.contains(&&*name) {
            continue;
        }
        match REFUSED.iter().find(|(refused, _)| *refused == name) {
            Some((_, harmless)) if harmless.contains(&node.raw.get()) => (),
            Some(_) => return Err(node.problem("cannot be had of this model's provider: leave it out")),
            None => fields.0.push((name, node.raw)),
        }
    }
    Ok(fields)
}
