//! The messages of a chat completion as turns.
//!
//! System messages stand before all turns. Messages of the same side in a row are one turn: the results of parallel tool
//! calls have to be. Empty texts are left out, because Anthropic takes none; `name` and earlier reasoning are lost.

use problem::Problem;
use serde_json::value::RawValue;

use super::object::{Object, Writer, array};
use super::{is_text, quoted};

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
    /// Of the `messages` of `request`.
    pub(super) fn of(request: &Object<'_>) -> Result<Self, Problem> {
        let mut conversation = Self::default();
        for message in request.objects("messages")? {
            conversation.add(&message)?;
        }
        if conversation.turns.is_empty() {
            return Err(request.wrong("messages", "must have a message of the user with something in it"));
        }
        Ok(conversation)
    }

    /// The turns, as JSON.
    pub(super) fn messages(&self) -> String {
        let turn = |turn: &Turn| format!(r#"{{"role":"{}","content":{}}}"#, turn.role, array(&turn.blocks));
        array(&self.turns.iter().map(turn).collect::<Vec<_>>())
    }

    fn add(&mut self, message: &Object<'_>) -> Result<(), Problem> {
        match message.text("role")?.as_str() {
            "system" | "developer" => self.system.extend(content(message)?),
            "user" => self.say("user", content(message)?),
            "tool" => self.say("user", vec![tool_result(message)?]),
            "assistant" => {
                let mut blocks = content(message)?;
                blocks.extend(message.string("refusal")?.and_then(|text| text_block(text, None)));
                for call in message.objects("tool_calls")? {
                    blocks.push(tool_use(&call)?);
                }
                self.say("assistant", blocks);
            }
            _ => return Err(message.wrong("role", "must be `system`, `developer`, `user`, `assistant` or `tool`")),
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
        Some(raw) if raw.get().starts_with('[') => {
            let parts = message.objects("content")?;
            let blocks: Result<Vec<_>, _> = parts.iter().map(block).collect();
            Ok(blocks?.into_iter().flatten().collect())
        }
        Some(raw) if raw.get().starts_with('"') => Ok(text_block(raw, None).into_iter().collect()),
        Some(_) => Err(message.wrong("content", "must be a string or an array of parts")),
    }
}

/// One part of a content; nothing of an empty text.
fn block(part: &Object<'_>) -> Result<Option<String>, Problem> {
    let kind = part.text("type")?;
    let cache = part.get("cache_control");
    match kind.as_str() {
        "text" | "refusal" => Ok(text_block(part.needed(&kind)?, cache)),
        "image_url" => {
            let image = part.object("image_url")?.ok_or_else(|| part.wrong("image_url", "is missing"))?;
            let source = image_source(&image.text("url")?).ok_or_else(|| image.wrong("url", IMAGE_URL))?;
            let mut block = Writer::default();
            block.member("type", "\"image\"");
            block.member("source", &source);
            block.copy("cache_control", cache);
            Ok(Some(block.finish()))
        }
        _ => Err(part.wrong("type", "must be `text` or `image_url` for this model")),
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
fn text_block(text: &RawValue, cache: Option<&RawValue>) -> Option<String> {
    if !is_text(text) {
        return None;
    }
    let mut block = Writer::default();
    block.member("type", "\"text\"");
    block.member("text", text.get());
    block.copy("cache_control", cache);
    Some(block.finish())
}

fn tool_result(message: &Object<'_>) -> Result<String, Problem> {
    let mut block = Writer::default();
    block.member("type", "\"tool_result\"");
    block.member("tool_use_id", message.needed("tool_call_id")?.get());
    let content = content(message)?;
    if !content.is_empty() {
        block.member("content", &array(&content));
    }
    Ok(block.finish())
}

fn tool_use(call: &Object<'_>) -> Result<String, Problem> {
    let function = call.object("function")?.ok_or_else(|| call.wrong("function", "is missing"))?;
    let mut block = Writer::default();
    block.member("type", "\"tool_use\"");
    block.member("id", call.needed("id")?.get());
    block.member("name", function.needed("name")?.get());
    block.member("input", &input(&function)?);
    Ok(block.finish())
}

/// The arguments, which are JSON in a string, as the object that they are.
fn input(function: &Object<'_>) -> Result<String, Problem> {
    let arguments = function.text("arguments")?;
    if arguments.trim().is_empty() {
        return Ok("{}".to_owned());
    }
    let wrong = |_| function.wrong("arguments", "must be a JSON object, written as a string");
    Object::parse(&arguments, String::new()).map_err(wrong)?;
    Ok(arguments)
}
