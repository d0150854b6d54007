//! The tools of a chat completion, and how the model may use them.

use problem::Problem;

use super::writer::{Writer, array};
use crate::providers::node::{Node, Object};

const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// Writes `tools` and `tool_choice`.
pub(super) fn write(request: &Object<'_>, body: &mut Writer) -> Result<(), Problem> {
    let tools = request.get("tools").map(|tools| tools.items()).transpose()?.unwrap_or_default();
    let tools = tools.iter().map(|node| tool(&node.object()?)).collect::<Result<Vec<_>, _>>()?;
    let wanted = request.get("tool_choice");
    let choice = wanted.as_ref().map(choice).transpose()?;
    if tools.is_empty() {
        return match (wanted, choice) {
            (Some(wanted), Some(Choice::Any | Choice::Tool(_))) => Err(wanted.problem("needs `tools`")),
            _ => Ok(()),
        };
    }
    body.member("tools", &array(&tools));
    let alone = request.get("parallel_tool_calls").is_some_and(|node| node.json() == "false");
    if alone || choice.is_some() {
        body.member("tool_choice", &choice.unwrap_or(Choice::Auto).to_json(alone));
    }
    Ok(())
}

enum Choice<'a> {
    Auto,
    None,
    Any,
    /// The tool of this name, as it is written.
    Tool(&'a str),
}

impl Choice<'_> {
    /// With `alone` at most one tool is called.
    fn to_json(&self, alone: bool) -> String {
        let mut choice = Writer::default();
        let kind = match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Any => "any",
            Self::Tool(_) => "tool",
        };
        choice.member("type", &format!("\"{kind}\""));
        if let Self::Tool(name) = self {
            choice.member("name", name);
        }
        if alone && !matches!(self, Self::None) {
            choice.member("disable_parallel_tool_use", "true");
        }
        choice.finish()
    }
}

fn choice<'a>(wanted: &Node<'a>) -> Result<Choice<'a>, Problem> {
    let wrong = || wanted.problem("must be `none`, `auto`, `required` or one function for this model");
    match wanted.json() {
        "\"auto\"" => Ok(Choice::Auto),
        "\"none\"" => Ok(Choice::None),
        "\"required\"" => Ok(Choice::Any),
        object if object.starts_with('{') => {
            let function = wanted.object()?.get("function").ok_or_else(wrong)?.object()?;
            Ok(Choice::Tool(function.require("name")?.string()?))
        }
        _ => Err(wrong()),
    }
}

fn tool(tool: &Object<'_>) -> Result<String, Problem> {
    let kind = tool.require("type")?;
    if kind.text()? != "function" {
        return Err(kind.problem("must be `function` for this model"));
    }
    let function = tool.require("function")?.object()?;
    let mut written = Writer::default();
    written.member("name", function.require("name")?.string()?);
    if let Some(description) = function.get("description") {
        written.member("description", description.string()?);
    }
    written.member("input_schema", function.get("parameters").map_or(NO_PARAMETERS, |parameters| parameters.json()));
    written.copy("strict", function.get("strict").as_ref());
    written.copy("cache_control", tool.get("cache_control").as_ref());
    Ok(written.finish())
}
