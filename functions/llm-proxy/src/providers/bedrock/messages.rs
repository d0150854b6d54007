//! OpenAI's messages as Converse has them: instructions apart, then user and assistant by turns.

use std::borrow::Cow;

use problem::Problem;
use serde::Serialize;
use serde_json::value::RawValue;

use super::content::{Block, blocks, texts};
use crate::providers::node::{Node, Object};

/// All that has been said.
#[derive(Default)]
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Block<'a>>,
    pub(super) messages: Vec<Message<'a>>,
    /// Whether tools have been called in it.
    pub(super) has_tools: bool,
}

#[derive(Serialize)]
pub(super) struct Message<'a> {
    role: Role,
    content: Vec<Block<'a>>,
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
}

/// A call of a tool that the model has made.
#[derive(Serialize)]
pub(super) struct ToolUse<'a> {
    #[serde(rename = "toolUseId")]
    id: Cow<'a, str>,
    name: Cow<'a, str>,
    input: Cow<'a, RawValue>,
}

/// What has come of it.
#[derive(Serialize)]
pub(super) struct ToolResult<'a> {
    #[serde(rename = "toolUseId")]
    call: Cow<'a, str>,
    content: Vec<Block<'a>>,
}

const NO_INPUT: &str = "{}";

impl<'a> Conversation<'a> {
    pub(super) fn read(messages: &Node<'a>) -> Result<Self, Problem> {
        let mut conversation = Self::default();
        for message in messages.items()? {
            conversation.add(&message.object()?)?;
        }
        if conversation.messages.is_empty() {
            return Err(messages.problem("must have a message beside the instructions"));
        }
        Ok(conversation)
    }

    fn add(&mut self, message: &Object<'a>) -> Result<(), Problem> {
        let role = message.require("role")?;
        match &*role.text()? {
            "system" | "developer" if self.messages.is_empty() => {
                self.system.extend(texts(&message.require("content")?)?);
            }
            "system" | "developer" => {
                let detail =
                    "cannot give instructions in the middle: for this model they stand before all other messages";
                return Err(role.problem(detail));
            }
            "user" => {
                let content = message.require("content")?;
                let blocks = blocks(&content)?;
                self.say(Role::User, blocks, &content)?;
            }
            "assistant" => self.assistant(message, &role)?,
            "tool" => {
                let call = message.require("tool_call_id")?.text()?;
                let content = message.require("content")?;
                let result = Block::ToolResult(ToolResult { call, content: texts(&content)? });
                self.has_tools = true;
                self.say(Role::User, vec![result], &content)?;
            }
            _ => return Err(role.problem("must be system, developer, user, assistant or tool")),
        }
        Ok(())
    }

    /// What the model has thought is left out: without its signature it cannot be sent back.
    fn assistant(&mut self, message: &Object<'a>, role: &Node<'a>) -> Result<(), Problem> {
        if let Some(call) = message.get("function_call") {
            return Err(call.problem("is not known to this model: send `tool_calls`"));
        }
        let content = message.get("content");
        let mut blocks = content.as_ref().map(texts).transpose()?.unwrap_or_default();
        if let Some(calls) = message.get("tool_calls") {
            for call in calls.items()? {
                blocks.push(Block::ToolUse(tool_use(&call.object()?)?));
                self.has_tools = true;
            }
        }
        self.say(Role::Assistant, blocks, content.as_ref().unwrap_or(role))
    }

    /// Who has just spoken goes on in the same message: Converse wants the roles by turns.
    fn say(&mut self, role: Role, blocks: Vec<Block<'a>>, source: &Node<'a>) -> Result<(), Problem> {
        if blocks.is_empty() {
            return Err(source.problem("says nothing: this model takes no empty message"));
        }
        match self.messages.last_mut() {
            Some(last) if last.role == role => last.content.extend(blocks),
            _ => self.messages.push(Message { role, content: blocks }),
        }
        Ok(())
    }
}

fn tool_use<'a>(call: &Object<'a>) -> Result<ToolUse<'a>, Problem> {
    let function = call.require("function")?.object()?;
    let arguments = function.require("arguments")?;
    let text = arguments.text()?;
    let input = match &*text {
        "" => serde_json::from_str(NO_INPUT),
        text => serde_json::from_str(text),
    };
    let input: Box<RawValue> = input.map_err(|_| arguments.problem("must be JSON in a string"))?;
    Ok(ToolUse { id: call.require("id")?.text()?, name: function.require("name")?.text()?, input: Cow::Owned(input) })
}
