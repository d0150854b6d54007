//! LiteLLM's `model_prices_and_context_window_backup.json`: an object of models, prices in dollars per token.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::source::Source;
use super::table::{ModelPrice, Rate, STANDARD, Table, UNIT, exact};

/// Their providers, ours, and what they put before some names.
const PROVIDERS: [(&str, &str, &str); 6] = [
    ("anthropic", "anthropic", ""),
    ("azure", "azure", "azure/"),
    ("bedrock", "bedrock", "bedrock/"),
    ("bedrock_converse", "bedrock", "bedrock/"),
    ("openai", "openai", "openai/"),
    ("together_ai", "together", "together_ai/"),
];
/// Those that answer in text, and embeddings.
const MODES: [&str; 4] = ["chat", "completion", "responses", "embedding"];
/// Our name of a service tier, and how their members of it end.
const TIERS: [(&str, &str); 4] =
    [("batch", "_batches"), ("flex", "_flex"), ("priority", "_priority"), ("ultrafast", "_ultrafast")];
/// Sound and pictures at a price of their own. Such a model has no price here: that of text would be too little.
const OTHER_INPUT: [&str; 6] = [
    "input_cost_per_audio_token",
    "output_cost_per_audio_token",
    "input_cost_per_image_token",
    "input_cost_per_image",
    "input_cost_per_audio_per_second",
    "input_cost_per_video_per_second",
];

/// What is written of one tier and context; anything may be missing.
struct Written {
    input: Option<u64>,
    output: Option<u64>,
    cached_input: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
}

/// Their list as far as it concerns our providers. A model without a price of input and output is left out.
pub fn table(source: &Source) -> Result<Table, String> {
    let list: Map<String, Value> = serde_json::from_str(&source.json).map_err(|error| error.to_string())?;
    let mut prices = BTreeMap::new();
    for (name, entry) in &list {
        let known = PROVIDERS.iter().find(|(theirs, ..)| entry["litellm_provider"] == *theirs);
        let Some((_, provider, prefix)) = known else { continue };
        if !MODES.iter().any(|mode| entry["mode"] == *mode) || (*provider == "together" && !name.starts_with(prefix)) {
            continue;
        }
        let rates = rates(entry).map_err(|error| format!("{name}: {error}"))?;
        if rates.is_empty() {
            continue;
        }
        let model = name.strip_prefix(prefix).unwrap_or(name);
        let price = ModelPrice {
            provider: (*provider).to_owned(),
            model: model.to_owned(),
            max_input_tokens: entry["max_input_tokens"].as_u64().filter(|most| *most > 0),
            max_output_tokens: entry["max_output_tokens"].as_u64().filter(|most| *most > 0),
            rates,
        };
        // The name without a prefix is the one that a provider is told.
        if model == name || !prices.contains_key(&(*provider, model)) {
            prices.insert((*provider, model), price);
        }
    }
    Ok(Table {
        version: source.version.clone(),
        unit: UNIT.to_owned(),
        notice: source.licence.clone(),
        prices: prices.into_values().collect(),
    })
}

/// Where something is missing of a tier or a context it is taken from another one, in doubt the dearer.
fn rates(entry: &Value) -> Result<Vec<Rate>, String> {
    let text_only = OTHER_INPUT.iter().all(|name| {
        let plain = if name.starts_with("output") { "output_cost_per_token" } else { "input_cost_per_token" };
        entry[name].is_null() || entry[name] == entry[plain]
    });
    let standard = written(entry, "", "")?;
    let output = if entry["mode"] == "embedding" { Some(standard.output.unwrap_or(0)) } else { standard.output };
    let (Some(input @ 1..), Some(output)) = (standard.input, output) else { return Ok(Vec::new()) };
    if !text_only || (output == 0 && entry["mode"] != "embedding") {
        return Ok(Vec::new());
    }
    let Written { cached_input, cache_write, cache_write_1h, .. } = standard;
    let base = Rate { tier: STANDARD.to_owned(), above: 0, input, output, cached_input, cache_write, cache_write_1h };
    let context = context(entry)?;
    let long = match &context {
        None => None,
        Some((name, above)) => Some(longer(&base, *above, &written(entry, name, "")?)),
    };
    let mut rates = vec![base.clone()];
    rates.extend(long.clone());
    for (tier, suffix) in TIERS {
        let written_tier = written(entry, "", suffix)?;
        let (Some(input @ 1..), Some(output)) = (written_tier.input, written_tier.output) else { continue };
        let missing_write = |base: Option<u64>| base.map(|price| price.max(input));
        let short = Rate {
            tier: tier.to_owned(),
            above: 0,
            input,
            output,
            cached_input: written_tier.cached_input.or(base.cached_input.map(|_| input)),
            cache_write: written_tier.cache_write.or(missing_write(base.cache_write)),
            cache_write_1h: written_tier.cache_write_1h.or(missing_write(base.cache_write_1h)),
        };
        rates.push(short.clone());
        if let (Some(long), Some((name, above))) = (&long, &context) {
            rates.push(longer(&dearer(&short, long), *above, &written(entry, name, suffix)?));
        }
    }
    Ok(rates)
}

/// What a rate becomes above a context.
fn longer(short: &Rate, above: u64, written: &Written) -> Rate {
    Rate {
        tier: short.tier.clone(),
        above,
        input: written.input.unwrap_or(short.input),
        output: written.output.unwrap_or(short.output),
        cached_input: written.cached_input.or(short.cached_input),
        cache_write: written.cache_write.or(short.cache_write),
        cache_write_1h: written.cache_write_1h.or(short.cache_write_1h),
    }
}

fn dearer(one: &Rate, other: &Rate) -> Rate {
    Rate {
        tier: one.tier.clone(),
        above: other.above,
        input: one.input.max(other.input),
        output: one.output.max(other.output),
        cached_input: one.cached_input.max(other.cached_input),
        cache_write: one.cache_write.max(other.cache_write),
        cache_write_1h: one.cache_write_1h.max(other.cache_write_1h),
    }
}

/// The context above which other prices hold, as it is written and in tokens. No model has two.
fn context(entry: &Value) -> Result<Option<(String, u64)>, String> {
    let mut found = BTreeMap::new();
    for name in entry.as_object().into_iter().flat_map(Map::keys) {
        let Some(rest) = name.strip_prefix("input_cost_per_token_above_") else { continue };
        let Some((thousands, _)) = rest.split_once("k_tokens") else { continue };
        let tokens: u64 = thousands.parse().map_err(|_| format!("{name} names no context"))?;
        found.insert(tokens * 1_000, format!("_above_{thousands}k_tokens"));
    }
    let last = found.pop_last();
    if found.is_empty() { Ok(last.map(|(above, name)| (name, above))) } else { Err("two contexts".to_owned()) }
}

fn written(entry: &Value, context: &str, tier: &str) -> Result<Written, String> {
    let price = |name: &str| match &entry[format!("{name}{context}{tier}")] {
        Value::Null => Ok(None),
        Value::Number(dollars) => exact(dollars.as_f64().unwrap_or(-1.0), 1.0).map(Some),
        other => Err(format!("{other} is no price")),
    };
    Ok(Written {
        input: price("input_cost_per_token")?,
        output: price("output_cost_per_token")?,
        cached_input: price("cache_read_input_token_cost")?,
        cache_write: price("cache_creation_input_token_cost")?,
        cache_write_1h: price("cache_creation_input_token_cost_above_1hr")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Tier, above, input, output, cached input, cache write.
    type Row = (String, u64, u64, u64, Option<u64>, Option<u64>);

    fn rows(entry: &Value) -> Vec<Row> {
        let rates = rates(entry).unwrap().into_iter();
        rates
            .map(|rate| (rate.tier, rate.above, rate.input, rate.output, rate.cached_input, rate.cache_write))
            .collect()
    }

    #[test]
    fn what_a_tier_or_a_context_lacks_is_in_doubt_the_dearer() {
        let entry = json!({
            "mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 4e-6,
            "cache_read_input_token_cost": 1e-7, "cache_creation_input_token_cost": 1.25e-6,
            "input_cost_per_token_above_272k_tokens": 2e-6, "output_cost_per_token_above_272k_tokens": 6e-6,
            "input_cost_per_token_flex": 5e-7, "output_cost_per_token_flex": 2e-6,
            "input_cost_per_token_priority": 2e-6, "output_cost_per_token_priority": 8e-6,
            "cache_read_input_token_cost_priority": 2e-7, "input_cost_per_token_batches": 5e-7,
        });
        let (million, thousand) = (1_000_000, 1_000);
        assert_eq!(
            rows(&entry),
            [
                ("standard".into(), 0, million, 4 * million, Some(100 * thousand), Some(1_250 * thousand)),
                ("standard".into(), 272_000, 2 * million, 6 * million, Some(100 * thousand), Some(1_250 * thousand)),
                ("flex".into(), 0, 500 * thousand, 2 * million, Some(500 * thousand), Some(1_250 * thousand)),
                ("flex".into(), 272_000, 2 * million, 6 * million, Some(500 * thousand), Some(1_250 * thousand)),
                ("priority".into(), 0, 2 * million, 8 * million, Some(200 * thousand), Some(2 * million)),
                ("priority".into(), 272_000, 2 * million, 8 * million, Some(200 * thousand), Some(2 * million)),
            ]
        );
    }

    #[test]
    fn what_is_kept_for_an_hour_has_its_price_in_each_context_and_in_doubt_that_of_the_dearer_tier() {
        let entry = json!({
            "mode": "chat", "input_cost_per_token": 1e-7, "output_cost_per_token": 5e-7,
            "cache_creation_input_token_cost": 1.25e-7, "cache_creation_input_token_cost_above_1hr": 2e-7,
            "input_cost_per_token_above_100k_tokens": 5e-7,
            "cache_creation_input_token_cost_above_1hr_above_100k_tokens": 1e-6,
            "input_cost_per_token_batches": 5e-8, "output_cost_per_token_batches": 2.5e-7,
            "input_cost_per_token_priority": 3e-7, "output_cost_per_token_priority": 1e-6,
        });
        let prices = rates(&entry).unwrap().into_iter().map(|rate| (rate.tier, rate.above, rate.cache_write_1h));
        let expected = [
            ("standard", 0, 200_000),
            ("standard", 100_000, 1_000_000),
            ("batch", 0, 200_000),
            ("batch", 100_000, 1_000_000),
            ("priority", 0, 300_000),
            ("priority", 100_000, 1_000_000),
        ];
        assert!(prices.eq(expected.map(|(tier, above, price)| (tier.to_owned(), above, Some(price)))));
    }

    #[test]
    fn a_price_that_is_not_known_is_none() {
        for entry in [
            json!({"mode": "chat", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0}),
            json!({"mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 0.0}),
            json!({"mode": "chat", "input_cost_per_token": 1e-6}),
            json!({"mode": "chat", "input_cost_per_second": 1e-3}),
            json!({"mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "input_cost_per_audio_token": 9e-6}),
        ] {
            assert!(rows(&entry).is_empty(), "{entry}");
        }
        let embedding = json!({"mode": "embedding", "input_cost_per_token": 2e-8});
        assert_eq!(rows(&embedding), [("standard".into(), 0, 20_000, 0, None, None)]);
    }
}
