//! The tools of a request, and whether they are to be used.

use std::borrow::Cow;

use problem::Problem;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::providers::node::{Node, Object};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Tool<'a> {
    ToolSpec(Spec<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    input_schema: Schema<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

#[derive(Serialize)]
struct Schema<'a> {
    json: Cow<'a, RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Choice<'a> {
    Auto {},
    Any {},
    Tool { name: Cow<'a, str> },
}

/// A function without parameters.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// `tools` and `tool_choice`. Converse wants to know the tools of a conversation in which some were called, so there they
/// cannot be forbidden.
pub(super) fn read<'a>(request: &Object<'a>, were_called: bool) -> Result<Option<ToolConfig<'a>>, Problem> {
    let tools = request.get("tools").map(|tools| tools.items()).transpose()?.unwrap_or_default();
    let tools = tools.iter().map(tool).collect::<Result<Vec<_>, _>>()?;
    let Some(wanted) = request.get("tool_choice") else {
        return Ok((!tools.is_empty()).then_some(ToolConfig { tools, tool_choice: None }));
    };
    if wanted.is_text() && wanted.text()? == "none" {
        return if were_called && !tools.is_empty() {
            Err(wanted.problem("cannot be \"none\" for this model once tools have been called"))
        } else {
            Ok(None)
        };
    }
    let tool_choice = choice(&wanted)?;
    match tool_choice {
        Choice::Auto {} if tools.is_empty() => Ok(None),
        _ if tools.is_empty() => Err(wanted.problem("needs `tools`")),
        tool_choice => Ok(Some(ToolConfig { tools, tool_choice: Some(tool_choice) })),
    }
}

fn tool<'a>(tool: &Node<'a>) -> Result<Tool<'a>, Problem> {
    let tool = tool.object()?;
    let kind = tool.require("type")?;
    if kind.text()? != "function" {
        return Err(kind.problem("must be function for this model"));
    }
    let function = tool.require("function")?.object()?;
    let json = match function.get("parameters") {
        Some(parameters) => Cow::Borrowed(parameters.raw),
        None => Cow::Owned(serde_json::from_str(NO_PARAMETERS).map_err(|_| problem::kinds::INTERNAL)?),
    };
    Ok(Tool::ToolSpec(Spec {
        name: function.require("name")?.text()?,
        description: function.get("description").map(|text| text.text()).transpose()?,
        input_schema: Schema { json },
        strict: function.get("strict").is_some_and(|strict| strict.raw.get() == "true"),
    }))
}

fn choice<'a>(wanted: &Node<'a>) -> Result<Choice<'a>, Problem> {
    if wanted.is_text() {
        return match &*wanted.text()? {
            "auto" => Ok(Choice::Auto {}),
            "required" => Ok(Choice::Any {}),
            _ => Err(wanted.problem("must be auto, none, required or a function")),
        };
    }
    let wanted = wanted.object()?;
    let kind = wanted.require("type")?;
    if kind.text()? != "function" {
        return Err(kind.problem("must be function for this model"));
    }
    Ok(Choice::Tool { name: wanted.require("function")?.object()?.require("name")?.text()? })
}
