use serde_json::{Map, Value};
use thiserror::Error;

use crate::strict_json;

/// Why a variable holds no usable set of keys. It names places and rules, never values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ConfiguredKeysError {
    /// Not `{"keys": […]}` or `[…]` in JSON without repeated members.
    #[error("is not a JSON Web Key Set")]
    Malformed,
    /// None, or too many.
    #[error("must have 1 to {most} keys")]
    Count {
        /// The most keys that are accepted.
        most: usize,
    },
    /// One key is not right.
    #[error("has a fault in key {place}: {rule}")]
    Key {
        /// Counted from 1.
        place: usize,
        /// What a key must be.
        rule: &'static str,
    },
}

/// Reads each key of `{"keys": […]}` or `[…]`, given those before it. Every one must be right: a key that is left out by
/// mistake is missed only when tokens come.
pub(crate) fn read<K>(
    document: &[u8],
    most: usize,
    read: impl Fn(&Map<String, Value>, &[K]) -> Result<K, &'static str>,
) -> Result<Vec<K>, ConfiguredKeysError> {
    let document = strict_json::value(document).map_err(|_| ConfiguredKeysError::Malformed)?;
    let listed = document.get("keys").unwrap_or(&document).as_array().ok_or(ConfiguredKeysError::Malformed)?;
    if listed.is_empty() || listed.len() > most {
        return Err(ConfiguredKeysError::Count { most });
    }
    let mut keys = Vec::with_capacity(listed.len());
    for (place, jwk) in (1..).zip(listed) {
        let key = jwk.as_object().ok_or("must be an object").and_then(|jwk| read(jwk, &keys));
        keys.push(key.map_err(|rule| ConfiguredKeysError::Key { place, rule })?);
    }
    Ok(keys)
}
