//! The models that `GET /v1/models` lists. A completion accepts every name.

use bytes::Bytes;
use serde::Serialize;

use crate::error::ApiError;

/// What every answer names as the configuration that it was made with.
pub const SYSTEM_FINGERPRINT: &str = "fp_simulator1";

const MODELS: [&str; 2] = ["sim-1", "sim-embedding"];
const CREATED: u64 = 1_767_225_600;

#[derive(Serialize)]
struct List {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Serialize)]
struct Model {
    id: &'static str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

/// The list of all models.
pub fn list() -> Bytes {
    let list = List { object: "list", data: MODELS.map(model).into() };
    serde_json::to_vec(&list).unwrap_or_default().into()
}

/// One model.
pub fn find(id: &str) -> Result<Bytes, ApiError> {
    let found = MODELS.into_iter().find(|model| *model == id);
    let id = found.ok_or_else(|| ApiError::usual(404, None))?;
    Ok(serde_json::to_vec(&model(id)).unwrap_or_default().into())
}

fn model(id: &'static str) -> Model {
    Model { id, object: "model", created: CREATED, owned_by: "simulator" }
}
