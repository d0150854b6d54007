use problem::{ALL, Problem, kinds};
use serde_json::{Value, json};

/// What `/problems/<slug>`, the `type` of a problem document, says.
pub(crate) fn describe(slug: &str) -> Result<Value, Problem> {
    let kind = ALL.iter().find(|kind| kind.slug == slug).ok_or(kinds::NOT_FOUND)?;
    Ok(json!({"type": kind.type_uri(), "title": kind.title, "status": kind.status, "remedy": kind.remedy}))
}
