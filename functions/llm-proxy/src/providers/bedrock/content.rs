//! What messages are made of.

use std::borrow::Cow;

use problem::Problem;
use serde::Serialize;

use super::messages::{ToolResult, ToolUse};
use crate::providers::node::Node;

/// A piece of a message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Block<'a> {
    Text(Cow<'a, str>),
    Image(Image<'a>),
    ToolUse(ToolUse<'a>),
    ToolResult(ToolResult<'a>),
}

#[derive(Serialize)]
pub(super) struct Image<'a> {
    format: &'static str,
    source: Source<'a>,
}

#[derive(Serialize)]
struct Source<'a> {
    /// In base64.
    bytes: Cow<'a, str>,
}

/// Text and images. Texts of white space are left out: Converse refuses them.
pub(super) fn blocks<'a>(content: &Node<'a>) -> Result<Vec<Block<'a>>, Problem> {
    if content.is_text() {
        return Ok(text(content.text()?).into_iter().collect());
    }
    let mut blocks = Vec::new();
    for part in content.items()? {
        let part = part.object()?;
        let kind = part.require("type")?;
        match &*kind.text()? {
            "text" => blocks.extend(text(part.require("text")?.text()?)),
            "image_url" => {
                let url = part.require("image_url")?.object()?.require("url")?;
                blocks.push(Block::Image(image(&url)?));
            }
            _ => return Err(kind.problem("must be text or image_url for this model")),
        }
    }
    Ok(blocks)
}

/// Text alone, a refusal among it.
pub(super) fn texts<'a>(content: &Node<'a>) -> Result<Vec<Block<'a>>, Problem> {
    if content.is_text() {
        return Ok(text(content.text()?).into_iter().collect());
    }
    let mut blocks = Vec::new();
    for part in content.items()? {
        let part = part.object()?;
        let kind = part.require("type")?;
        let name = match &*kind.text()? {
            "text" => "text",
            "refusal" => "refusal",
            _ => return Err(kind.problem("must be text in this message")),
        };
        blocks.extend(text(part.require(name)?.text()?));
    }
    Ok(blocks)
}

fn text(text: Cow<'_, str>) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then_some(Block::Text(text))
}

/// Only what is in the URL itself: Converse fetches nothing, and neither do we.
fn image<'a>(url: &Node<'a>) -> Result<Image<'a>, Problem> {
    let text = url.text()?;
    let Some((media_type, data)) = text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) else {
        return Err(url.problem("must be a data: URL in base64 for this model, which fetches no images"));
    };
    let format = match media_type {
        "image/png" => "png",
        "image/jpeg" | "image/jpg" => "jpeg",
        "image/gif" => "gif",
        "image/webp" => "webp",
        _ => return Err(url.problem("must be a PNG, JPEG, GIF or WebP image for this model")),
    };
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if data.is_empty() || !data.bytes().all(is_base64) {
        return Err(url.problem("is not in base64"));
    }
    let start = text.len() - data.len();
    let bytes = match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(start..).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(start..).unwrap_or_default().to_owned()),
    };
    Ok(Image { format, source: Source { bytes } })
}
