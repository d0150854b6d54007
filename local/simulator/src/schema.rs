//! An example value for a JSON schema: what structured output and tool arguments are filled with.

use serde_json::{Map, Value, json};

/// How deep references and nested objects are followed.
const DEPTH: usize = 16;

/// A value that `schema` accepts, for the keywords that structured output allows.
pub fn example(schema: &Value) -> Value {
    value(schema, schema, DEPTH)
}

fn value(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
        return value(target, root, depth - 1);
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(first) = first_of(schema, &["enum"]) {
        return first.clone();
    }
    if let Some(choice) = first_of(schema, &["anyOf", "oneOf", "allOf"]) {
        return value(choice, root, depth - 1);
    }
    match kind(schema) {
        "object" => object(schema, root, depth),
        "array" => array(schema, root, depth),
        "integer" => json!(integer(schema)),
        "number" => json!(number(schema)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!(text(schema)),
    }
}

fn first_of<'a>(schema: &'a Value, keywords: &[&str]) -> Option<&'a Value> {
    keywords.iter().find_map(|keyword| schema.get(keyword)?.as_array()?.first())
}

fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or("string"),
        _ if schema.get("properties").is_some() => "object",
        _ => "string",
    }
}

fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let members = schema.get("properties").and_then(Value::as_object);
    let filled = members.into_iter().flatten().map(|(name, member)| (name.clone(), value(member, root, depth - 1)));
    Value::Object(filled.collect::<Map<_, _>>())
}

fn array(schema: &Value, root: &Value, depth: usize) -> Value {
    let count = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).clamp(1, 100);
    let item = schema.get("items").map_or(Value::Null, |items| value(items, root, depth - 1));
    Value::Array((0..count).map(|_| item.clone()).collect())
}

fn integer(schema: &Value) -> i64 {
    let bound = |name| schema.get(name).and_then(Value::as_i64);
    let above = bound("exclusiveMinimum").map(|minimum| minimum.saturating_add(1));
    bound("minimum").or(above).or_else(|| bound("maximum")).unwrap_or(42)
}

fn number(schema: &Value) -> f64 {
    let bound = |name| schema.get(name).and_then(Value::as_f64);
    bound("minimum").or_else(|| Some(bound("exclusiveMinimum")? + 1.0)).or_else(|| bound("maximum")).unwrap_or(42.0)
}

fn text(schema: &Value) -> &'static str {
    match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => "2026-01-02T03:04:05Z",
        Some("date") => "2026-01-02",
        Some("time") => "03:04:05Z",
        Some("email") => "someone@example.com",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        _ => "example",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_every_property_of_an_object_and_follows_references() {
        let schema = json!({
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"enum": ["celsius", "kelvin"]},
                "days": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/day"}},
                "note": {"type": ["string", "null"]}
            },
            "$defs": {"day": {"type": "object", "properties": {"number": {"type": "integer", "minimum": 1}}}}
        });
        let day = json!({"number": 1});
        assert_eq!(
            example(&schema),
            json!({"city": "example", "unit": "celsius", "days": [day, day], "note": "example"})
        );
    }

    #[test]
    fn ends_at_a_schema_that_contains_itself() {
        let schema = json!({"type": "object", "properties": {"child": {"$ref": "#"}}});
        assert!(example(&schema).to_string().contains("null"));
    }
}
