use platform::{Context, Request, Response};
use serde_json::Value;

use crate::json;

/// Judges the posted items one after the other, with the host's own check of signatures.
pub(crate) async fn verdicts(request: Request, context: &Context) -> Result<Response, String> {
    let items = json(request.into_body()).await?;
    let mut verdicts = Vec::new();
    for item in items.as_array().ok_or("the body is a list")? {
        let (keys, jws) =
            item.get("keys").zip(item.get("jws").and_then(Value::as_str)).ok_or("keys and jws, a text")?;
        verdicts.push(match token::judge(jws, keys, context).await {
            Ok(()) => "accepted".to_owned(),
            Err(refusal) => refusal.to_string(),
        });
    }
    Ok(Response::new(Value::from(verdicts).to_string().into()))
}
