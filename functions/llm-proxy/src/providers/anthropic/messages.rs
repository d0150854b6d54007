//! The messages of a chat completion as turns.
//!
//! System messages stand before all turns. Messages of the same side in a row are one turn: the results of parallel tool
//! calls have to be. Empty texts are left out, because Anthropic takes none; `name` and earlier reasoning are lost.

use problem::Problem;

use super::quoted;
use super::writer::{Writer, array};
use crate::providers::node::{Node, Object};

/// A conversation in Anthropic's terms.
#[derive(Default)]
pub(super) struct Conversation {
    /// Text blocks, as JSON.
    pub(super) system: Vec<String>,
    turns: Vec<Turn>,
}

struct Turn {
    role: &'static str,
    /// Content blocks, as JSON.
    blocks: Vec<String>,
}

impl Conversation {
    /// Of the `messages` of a request.
    pub(super) fn of(messages: &Node<'_>) -> Result<Self, Problem> {
        let mut conversation = Self::default();
        for message in messages.items()? {
            conversation.add(&message.object()?)?;
        }
        if conversation.turns.is_empty() {
            return Err(messages.problem("must have a message of the user with something in it"));
        }
        Ok(conversation)
    }

    /// The turns, as JSON.
    pub(super) fn messages(&self) -> String {
        let turn = |turn: &Turn| format!(r#"{{"role":"{}","content":{}}}"#, turn.role, array(&turn.blocks));
        array(&self.turns.iter().map(turn).collect::<Vec<_>>())
    }

    fn add(&mut self, message: &Object<'_>) -> Result<(), Problem> {
        let role = message.require("role")?;
        match &*role.text()? {
            "system" | "developer" => self.system.extend(content(message)?),
            "user" => self.say("user", content(message)?),
            "tool" => self.say("user", vec![tool_result(message)?]),
            "assistant" => {
                let mut blocks = content(message)?;
                if let Some(refusal) = message.get("refusal") {
                    blocks.extend(text_block(&refusal, None)?);
                }
                if let Some(calls) = message.get("tool_calls") {
                    for call in calls.items()? {
                        blocks.push(tool_use(&call.object()?)?);
                    }
                }
                self.say("assistant", blocks);
            }
            _ => return Err(role.problem("must be `system`, `developer`, `user`, `assistant` or `tool`")),
        }
        Ok(())
    }

    fn say(&mut self, role: &'static str, blocks: Vec<String>) {
        match self.turns.last_mut().filter(|turn| turn.role == role) {
            Some(turn) => turn.blocks.extend(blocks),
            None if blocks.is_empty() => (),
            None => self.turns.push(Turn { role, blocks }),
        }
    }
}

/// The `content` of a message as blocks: a string, or parts.
fn content(message: &Object<'_>) -> Result<Vec<String>, Problem> {
    match message.get("content") {
        None => Ok(Vec::new()),
        Some(text) if text.is_text() => Ok(text_block(&text, None)?.into_iter().collect()),
        Some(parts) if parts.json().starts_with('[') => {
            let blocks: Result<Vec<_>, _> = parts.items()?.iter().map(|part| block(&part.object()?)).collect();
            Ok(blocks?.into_iter().flatten().collect())
        }
        Some(other) => Err(other.problem("must be a string or an array of parts")),
    }
}

/// One part of a content; nothing of an empty text.
fn block(part: &Object<'_>) -> Result<Option<String>, Problem> {
    let kind = part.require("type")?;
    let cache = part.get("cache_control");
    match &*kind.text()? {
        name @ ("text" | "refusal") => text_block(&part.require(name)?, cache.as_ref()),
        "image_url" => {
            let url = part.require("image_url")?.object()?.require("url")?;
            let source = image_source(&url.text()?).ok_or_else(|| url.problem(IMAGE_URL))?;
            let mut block = Writer::default();
            block.member("type", "\"image\"");
            block.member("source", &source);
            block.copy("cache_control", cache.as_ref());
            Ok(Some(block.finish()))
        }
        _ => Err(kind.problem("must be `text` or `image_url` for this model")),
    }
}

const IMAGE_URL: &str = "must be an http or https URL, or a data URL in base64 with its media type";

/// RFC 2397, or an address that the provider fetches.
fn image_source(url: &str) -> Option<String> {
    if url.starts_with("https://") || url.starts_with("http://") {
        return Some(format!(r#"{{"type":"url","url":{}}}"#, quoted(url)));
    }
    let (media_type, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    let base64 = || format!(r#"{{"type":"base64","media_type":{},"data":{}}}"#, quoted(media_type), quoted(data));
    (!media_type.is_empty()).then(base64)
}

/// Nothing of an empty text.
fn text_block(text: &Node<'_>, cache: Option<&Node<'_>>) -> Result<Option<String>, Problem> {
    let text = text.string()?;
    if text == r#""""# {
        return Ok(None);
    }
    let mut block = Writer::default();
    block.member("type", "\"text\"");
    block.member("text", text);
    block.copy("cache_control", cache);
    Ok(Some(block.finish()))
}

fn tool_result(message: &Object<'_>) -> Result<String, Problem> {
    let mut block = Writer::default();
    block.member("type", "\"tool_result\"");
    block.member("tool_use_id", message.require("tool_call_id")?.string()?);
    let content = content(message)?;
    if !content.is_empty() {
        block.member("content", &array(&content));
    }
    Ok(block.finish())
}

fn tool_use(call: &Object<'_>) -> Result<String, Problem> {
    let function = call.require("function")?.object()?;
    let mut block = Writer::default();
    block.member("type", "\"tool_use\"");
    block.member("id", call.require("id")?.string()?);
    block.member("name", function.require("name")?.string()?);
    block.member("input", &input(&function)?);
    Ok(block.finish())
}

/// The arguments, which are JSON in a string, as the object that they are.
fn input(function: &Object<'_>) -> Result<String, Problem> {
    let arguments = function.require("arguments")?;
    let text = arguments.text()?;
    if text.trim().is_empty() {
        return Ok("{}".to_owned());
    }
    Object::root(&text).map_err(|_| arguments.problem("must be a JSON object, written as a string"))?;
    Ok(text.into_owned())
}
