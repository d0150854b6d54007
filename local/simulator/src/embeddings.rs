//! `POST /v1/embeddings`: unit vectors drawn by a hash of each input.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::answer::{hash, mix};
use crate::chat::words;
use crate::error::ApiError;

/// The members of an embeddings request that the simulator honours.
#[derive(Deserialize)]
struct EmbeddingsRequest<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(default)]
    input: Option<Input>,
    #[serde(default)]
    dimensions: Option<usize>,
    #[serde(borrow, default)]
    encoding_format: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the name is OpenAI's")]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

const DEFAULT_DIMENSIONS: usize = 16;
const MOST_DIMENSIONS: usize = 4096;

/// Answers a request body with `list` of `embedding` objects.
pub fn answer(body: &[u8]) -> Result<Bytes, ApiError> {
    let request: EmbeddingsRequest<'_> = serde_json::from_slice(body).map_err(|error| ApiError::unreadable(&error))?;
    let model = request.model.as_deref().ok_or_else(|| ApiError::missing("model"))?;
    let inputs = request.input.ok_or_else(|| ApiError::missing("input"))?.texts();
    let dimensions = request.dimensions.unwrap_or(DEFAULT_DIMENSIONS);
    if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
        let message = format!("'dimensions' must be between 1 and {MOST_DIMENSIONS}.");
        return Err(ApiError::invalid(&message, Some("dimensions")));
    }
    let base64 = request.encoding_format.as_deref() == Some("base64");
    let tokens = inputs.iter().map(|input| words(input).max(1)).sum();
    let data = inputs.iter().enumerate().map(|(index, input)| {
        let vector = unit_vector(hash(input), dimensions);
        let embedding = if base64 { Vector::Base64(encode(&vector)) } else { Vector::Floats(vector) };
        Embedding { object: "embedding", index, embedding }
    });
    let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
    let list = List { object: "list", data: data.collect(), model, usage };
    Ok(serde_json::to_vec(&list).unwrap_or_default().into())
}

impl Input {
    fn texts(self) -> Vec<String> {
        let joined = |tokens: Vec<u32>| tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        match self {
            Self::Text(text) => vec![text],
            Self::Texts(texts) => texts,
            Self::Tokens(tokens) => vec![joined(tokens)],
            Self::TokenLists(lists) => lists.into_iter().map(joined).collect(),
        }
    }
}

fn unit_vector(seed: u64, dimensions: usize) -> Vec<f32> {
    let draws = std::iter::successors(Some(mix(seed)), |state| Some(mix(*state)));
    let draws = draws.map(|state| f32::from(u16::try_from(state >> 48).unwrap_or(0)) / 32_768.0 - 1.0);
    let vector: Vec<f32> = draws.take(dimensions).collect();
    let length = vector.iter().map(|component| component * component).sum::<f32>().sqrt().max(f32::EPSILON);
    vector.into_iter().map(|component| component / length).collect()
}

fn encode(vector: &[f32]) -> String {
    STANDARD.encode(vector.iter().flat_map(|component| component.to_le_bytes()).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn embed(body: &str) -> Value {
        serde_json::from_slice(&answer(body.as_bytes()).ok().unwrap()).unwrap()
    }

    #[test]
    fn the_same_text_has_the_same_vector_of_length_one() {
        let list = embed(r#"{"model":"m","input":["a b","c","a b"],"dimensions":8}"#);
        let vectors: Vec<Vec<f64>> =
            (0..3).map(|index| serde_json::from_value(list["data"][index]["embedding"].clone()).unwrap()).collect();
        assert_eq!(vectors[0], vectors[2]);
        assert_ne!(vectors[0], vectors[1]);
        assert!((vectors[0].iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-3);
        assert_eq!(list["usage"]["prompt_tokens"], 5);
    }

    #[test]
    fn base64_holds_the_same_floats() {
        let floats = embed(r#"{"model":"m","input":"a"}"#)["data"][0]["embedding"].clone();
        let floats: Vec<f32> = serde_json::from_value(floats).unwrap();
        let coded = embed(r#"{"model":"m","input":"a","encoding_format":"base64"}"#)["data"][0]["embedding"].clone();
        assert_eq!(coded, Value::String(encode(&floats)));
    }
}
