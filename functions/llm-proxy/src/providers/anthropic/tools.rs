//! The tools of a chat completion, and how the model may use them.

use problem::Problem;
use serde_json::value::RawValue;

use super::object::{Object, Writer, array};

const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// Writes `tools` and `tool_choice`.
pub(super) fn write(request: &Object<'_>, body: &mut Writer) -> Result<(), Problem> {
    let tools: Result<Vec<_>, _> = request.objects("tools")?.iter().map(tool).collect();
    let (tools, choice) = (tools?, choice(request)?);
    if tools.is_empty() {
        return match choice {
            Some(Choice::Any | Choice::Tool(_)) => Err(request.wrong("tool_choice", "needs `tools`")),
            _ => Ok(()),
        };
    }
    body.member("tools", &array(&tools));
    let alone = request.get("parallel_tool_calls").is_some_and(|raw| raw.get() == "false");
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
    Tool(&'a RawValue),
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
            choice.member("name", name.get());
        }
        if alone && !matches!(self, Self::None) {
            choice.member("disable_parallel_tool_use", "true");
        }
        choice.finish()
    }
}

fn choice<'a>(request: &Object<'a>) -> Result<Option<Choice<'a>>, Problem> {
    let Some(raw) = request.get("tool_choice") else { return Ok(None) };
    let wrong = || request.wrong("tool_choice", "must be `none`, `auto`, `required` or one function for this model");
    Ok(Some(match raw.get() {
        "\"auto\"" => Choice::Auto,
        "\"none\"" => Choice::None,
        "\"required\"" => Choice::Any,
        object if object.starts_with('{') => {
            let choice = request.object("tool_choice")?.ok_or_else(wrong)?;
            let function = choice.object("function")?.ok_or_else(wrong)?;
            Choice::Tool(function.needed("name")?)
        }
        _ => return Err(wrong()),
    }))
}

fn tool(tool: &Object<'_>) -> Result<String, Problem> {
    if tool.text("type")? != "function" {
        return Err(tool.wrong("type", "must be `function` for this model"));
    }
    let function = tool.object("function")?.ok_or_else(|| tool.wrong("function", "is missing"))?;
    let mut written = Writer::default();
    written.member("name", function.needed("name")?.get());
    written.copy("description", function.string("description")?);
    written.member("input_schema", function.get("parameters").map_or(NO_PARAMETERS, RawValue::get));
    written.copy("strict", function.get("strict"));
    written.copy("cache_control", tool.get("cache_control"));
    Ok(written.finish())
}
