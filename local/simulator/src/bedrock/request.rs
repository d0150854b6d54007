//! What a request of Converse asks for, as the chat completion that asks for the same.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::ApiError;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Converse {
    messages: Vec<Message>,
    #[serde(default)]
    system: Vec<Block>,
    #[serde(default)]
    inference_config: InferenceConfig,
    tool_config: Option<ToolConfig>,
    output_config: Option<Value>,
    #[serde(default)]
    request_metadata: Map<String, Value>,
    #[serde(default, rename = "additionalModelRequestFields")]
    _additional: Map<String, Value>,
}

#[derive(Deserialize)]
struct Message {
    role: Role,
    content: Vec<Block>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Block {
    Text(String),
    Image(Image),
    ToolUse(ToolUse),
    ToolResult(ToolResult),
}

#[derive(Deserialize)]
struct Image {
    format: String,
    source: Source,
}

#[derive(Deserialize)]
struct Source {
    bytes: String,
}

#[derive(Deserialize)]
struct ToolUse {
    #[serde(rename = "toolUseId")]
    id: String,
    name: String,
    #[serde(rename = "input")]
    _input: Value,
}

#[derive(Deserialize)]
struct ToolResult {
    #[serde(rename = "toolUseId")]
    id: String,
    content: Vec<Block>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InferenceConfig {
    max_tokens: Option<usize>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    #[serde(default, rename = "stopSequences")]
    _stop_sequences: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ToolConfig {
    tools: Vec<Tool>,
    #[serde(default)]
    tool_choice: Option<Choice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Tool {
    ToolSpec(Spec),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    name: String,
    input_schema: Schema,
}

#[derive(Deserialize)]
struct Schema {
    json: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Choice {
    Auto {},
    Any {},
    Tool { name: String },
}

const MOST_METADATA: usize = 16;
const LONGEST_METADATA: usize = 256;
const LONGEST_NAME: usize = 64;

/// The chat completion that asks for what `body` does. Its limits are those of Amazon's API reference.
pub fn completion(body: &[u8]) -> Result<Value, ApiError> {
    let converse: Converse = serde_json::from_slice(body).map_err(|error| invalid(&error.to_string()))?;
    converse.check()?;
    let mut messages: Vec<Value> =
        texts(&converse.system).map(|text| json!({"role": "system", "content": text})).collect();
    for message in &converse.messages {
        messages.extend(message.spoken());
    }
    let tools = converse.tool_config.as_ref();
    let functions: Option<Vec<_>> = tools.map(|config| config.tools.iter().map(Tool::function).collect());
    Ok(json!({
        "model": "m", // the path names it
        "messages": messages,
        "max_tokens": converse.inference_config.max_tokens,
        "tools": functions,
        "tool_choice": tools.and_then(|config| config.tool_choice.as_ref()).map(Choice::word),
        "response_format": converse.output_config.as_ref().map(response_format).transpose()?,
    }))
}

impl Converse {
    fn check(&self) -> Result<(), ApiError> {
        if self.messages.first().is_none_or(|message| message.role != Role::User) {
            return Err(invalid("A conversation must start with a user message."));
        }
        if self.messages.iter().zip(self.messages.iter().skip(1)).any(|(one, next)| one.role == next.role) {
            return Err(invalid("A conversation must alternate between user and assistant roles."));
        }
        let blocks = || self.messages.iter().flat_map(|message| &message.content);
        if self.messages.iter().any(|message| message.content.is_empty()) {
            return Err(invalid("The content field in a Message object is empty."));
        }
        if !blocks().all(Block::is_sound) {
            return Err(invalid("A ContentBlock object has a blank text, a bad name or an image that cannot be read."));
        }
        let of_tools = |block: &Block| matches!(block, Block::ToolUse(_) | Block::ToolResult(_));
        if self.tool_config.is_none() && blocks().any(of_tools) {
            return Err(invalid(
                "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
            ));
        }
        if self.tool_config.as_ref().is_some_and(|config| config.tools.is_empty()) {
            return Err(invalid("toolConfig.tools must have a tool."));
        }
        let InferenceConfig { temperature, top_p, .. } = self.inference_config;
        if [temperature, top_p].into_iter().flatten().any(|number| !(0.0..=1.0).contains(&number)) {
            return Err(invalid("temperature and topP must be from 0 to 1."));
        }
        let tag = |text: &str| text.len() <= LONGEST_METADATA && text.chars().all(is_tag);
        let tagged =
            |(name, value): (&String, &Value)| !name.is_empty() && tag(name) && value.as_str().is_some_and(tag);
        if self.request_metadata.len() > MOST_METADATA || !self.request_metadata.iter().all(tagged) {
            return Err(invalid(
                "requestMetadata has too many members, or one that is too long or has another character.",
            ));
        }
        Ok(())
    }
}

impl Message {
    /// The messages that say the same: results of tools have one each.
    fn spoken(&self) -> Vec<Value> {
        let role = if self.role == Role::User { "user" } else { "assistant" };
        let results = self.content.iter().filter_map(|block| match block {
            Block::ToolResult(result) => {
                Some(json!({"role": "tool", "content": texts(&result.content).collect::<Vec<_>>().join(" ")}))
            }
            _ => None,
        });
        let parts: Vec<_> = self.content.iter().filter_map(Block::part).collect();
        let said = (!parts.is_empty()).then(|| json!({"role": role, "content": parts}));
        results.chain(said).collect()
    }
}

impl Block {
    fn is_sound(&self) -> bool {
        match self {
            Self::Text(text) => !text.trim().is_empty(),
            Self::Image(Image { format, source }) => {
                let known = ["png", "jpeg", "gif", "webp"].contains(&format.as_str());
                known && STANDARD.decode(&source.bytes).is_ok_and(|bytes| !bytes.is_empty())
            }
            Self::ToolUse(ToolUse { id, name, .. }) => is_name(id) && is_name(name),
            Self::ToolResult(ToolResult { id, .. }) => is_name(id),
        }
    }

    fn part(&self) -> Option<Value> {
        match self {
            Self::Text(text) => Some(json!({"type": "text", "text": text})),
            Self::Image(_) => Some(json!({"type": "image_url"})),
            Self::ToolUse(_) | Self::ToolResult(_) => None,
        }
    }
}

impl Tool {
    fn function(&self) -> Value {
        let Self::ToolSpec(Spec { name, input_schema }) = self;
        json!({"type": "function", "function": {"name": name, "parameters": input_schema.json}})
    }
}

impl Choice {
    fn word(&self) -> Value {
        match self {
            Self::Auto {} => "auto".into(),
            Self::Any {} => "required".into(),
            Self::Tool { name } => json!({"type": "function", "function": {"name": name}}),
        }
    }
}

fn response_format(config: &Value) -> Result<Value, ApiError> {
    let schema = config.pointer("/textFormat/structure/jsonSchema/schema").and_then(Value::as_str);
    let schema: Option<Value> = schema.and_then(|schema| serde_json::from_str(schema).ok());
    let schema = schema.ok_or_else(|| invalid("outputConfig.textFormat has no JSON schema."))?;
    Ok(json!({"type": "json_schema", "json_schema": {"schema": schema}}))
}

fn texts(blocks: &[Block]) -> impl Iterator<Item = &str> {
    blocks.iter().filter_map(|block| match block {
        Block::Text(text) => Some(text.as_str()),
        _ => None,
    })
}

/// What tools and their calls are called.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(allowed)
}

/// What names and values of metadata are made of.
fn is_tag(character: char) -> bool {
    character.is_ascii_alphanumeric() || character.is_ascii_whitespace() || ":_@$#=/+,-.".contains(character)
}

fn invalid(message: &str) -> ApiError {
    ApiError::invalid(message, None)
}
