//! The list of genai-prices: providers with their models, prices in dollars per million tokens.

use std::collections::BTreeMap;

use serde_json::Value;

use super::source::Source;
use super::table::{ModelPrice, Rate, STANDARD, Table, UNIT, exact};

/// Their providers and ours.
const PROVIDERS: [(&str, &str); 5] = [
    ("anthropic", "anthropic"),
    ("aws", "bedrock"),
    ("azure", "azure"),
    ("openai", "openai"),
    ("together", "together"),
];

/// The models that `table` has too, by the very names that the list gives them; patterns are not followed.
pub fn table(source: &Source, table: &Table) -> Result<Table, String> {
    let list: Vec<Value> = serde_json::from_str(&source.json).map_err(|error| error.to_string())?;
    let mut entries = BTreeMap::new();
    for provider in &list {
        let Some((_, ours)) = PROVIDERS.iter().find(|(theirs, _)| provider["id"] == *theirs) else { continue };
        for entry in provider["models"].as_array().into_iter().flatten() {
            for name in names(entry) {
                entries.entry((*ours, name)).or_insert(entry);
            }
        }
    }
    let mut prices = Vec::new();
    for known in &table.prices {
        let Some(entry) = entries.get(&(known.provider.as_str(), known.model.as_str())) else { continue };
        let rates = rates(entry).map_err(|error| format!("{}: {error}", known.model))?;
        if !rates.is_empty() {
            prices.push(ModelPrice { rates, max_input_tokens: None, max_output_tokens: None, ..known.clone() });
        }
    }
    Ok(Table { version: source.version.clone(), unit: UNIT.to_owned(), notice: source.licence.clone(), prices })
}

fn names(entry: &Value) -> Vec<&str> {
    let clauses = entry["match"]["or"].as_array().into_iter().flatten().chain([&entry["match"]]);
    clauses.filter_map(|clause| clause["equals"].as_str()).chain(entry["id"].as_str()).collect()
}

/// The latest prices, in the standard tier.
fn rates(entry: &Value) -> Result<Vec<Rate>, String> {
    let prices = match &entry["prices"] {
        Value::Array(dated) => dated.last().map_or(&Value::Null, |last| &last["prices"]),
        prices => prices,
    };
    let mut contexts: Vec<u64> = vec![0];
    for price in prices.as_object().into_iter().flat_map(|prices| prices.values()) {
        let tiers = price["tiers"].as_array().into_iter().flatten();
        contexts.extend(tiers.filter_map(|tier| tier["start"].as_u64()));
    }
    contexts.sort_unstable();
    contexts.dedup();
    let mut rates = Vec::new();
    for above in contexts {
        let Some(input) = price(&prices["input_mtok"], above)? else { continue };
        rates.push(Rate {
            tier: STANDARD.to_owned(),
            above,
            input,
            output: price(&prices["output_mtok"], above)?.unwrap_or(0),
            cached_input: price(&prices["cache_read_mtok"], above)?,
            cache_write: price(&prices["cache_write_mtok"], above)?,
            cache_write_1h: None, // the list has none
        });
    }
    Ok(rates)
}

/// A price, or a base and what it becomes from some context on.
fn price(written: &Value, above: u64) -> Result<Option<u64>, String> {
    let mut tiers = written["tiers"].as_array().into_iter().flatten();
    let tier = tiers.rfind(|tier| tier["start"].as_u64().is_some_and(|start| start <= above));
    let dollars = tier.map_or_else(|| written.get("base").unwrap_or(written), |tier| &tier["price"]);
    dollars.as_f64().map(|dollars| exact(dollars, 1e6)).transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_latest_prices_hold_and_contexts_are_told_apart() {
        let entry = json!({"prices": [
            {"prices": {"input_mtok": 9}},
            {"prices": {"input_mtok": {"base": 0.1, "tiers": [{"start": 100_000, "price": 0.5}]}, "output_mtok": 2}},
        ]});
        let rates = rates(&entry).unwrap();
        let rows: Vec<_> = rates.iter().map(|rate| (rate.above, rate.input, rate.output)).collect();
        assert_eq!(rows, [(0, 100_000, 2_000_000), (100_000, 500_000, 2_000_000)]);
    }

    #[test]
    fn a_model_is_known_by_its_id_and_by_what_it_equals() {
        let entry = json!({"id": "a", "match": {"or": [{"equals": "b"}, {"starts_with": "c"}]}});
        assert_eq!(names(&entry), ["b", "a"]);
        assert_eq!(names(&json!({"id": "a", "match": {"equals": "d"}})), ["d", "a"]);
    }
}
