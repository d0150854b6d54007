//! Prices by provider and model, in whole numbers.

use serde::{Deserialize, Serialize};

/// What is written into a file, and what `api.set_model_prices` takes: members that it does not know are for readers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Table {
    /// Stamped on each row, and by it on each call.
    pub version: String,
    pub unit: String,
    /// The licence under which the prices may be passed on.
    pub notice: String,
    /// By provider and model.
    pub prices: Vec<ModelPrice>,
}

/// What a model costs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelPrice {
    /// As routes name it.
    pub provider: String,
    /// The provider's own name of it.
    pub model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    pub rates: Vec<Rate>,
}

/// Prices in one service tier, of calls with more than `above` tokens of input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    pub tier: String,
    pub above: u64,
    pub input: u64,
    pub output: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<u64>,
    /// What is kept for an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<u64>,
}

/// The finest that any list has: a thousandth of a billionth of a dollar per token.
pub const UNIT: &str = "billionths of a US dollar per 1,000 tokens";
pub const STANDARD: &str = "standard";

impl Table {
    /// One model a line, so that an update can be read as a difference.
    pub fn to_json(&self) -> String {
        let head = [("version", &self.version), ("unit", &self.unit), ("notice", &self.notice)];
        let head: String = head.map(|(name, value)| format!("\"{name}\": {},\n", text(value))).concat();
        let lines: Vec<String> = self.prices.iter().map(text).collect();
        format!("{{\n{head}\"prices\": [\n{}\n]\n}}\n", lines.join(",\n"))
    }
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// `dollars` per `tokens` in the table's unit. An error if that is no whole number: nothing is rounded.
pub fn exact(dollars: f64, tokens: f64) -> Result<u64, String> {
    let scaled = dollars / tokens * 1e12;
    // What a decimal loses in binary is far below a thousandth.
    if (scaled - scaled.round()).abs() > 1e-3 {
        return Err(format!("{dollars} dollars per {tokens} tokens are no whole number of {UNIT}"));
    }
    format!("{scaled:.0}").parse().map_err(|_| format!("{dollars} is no price"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact_or_refused() {
        assert_eq!(exact(1.443_75e-7, 1.0), Ok(144_375));
        assert_eq!(exact(0.000_15, 1.0), Ok(150_000_000));
        assert_eq!(exact(0.15, 1e6), Ok(150_000));
        assert!(exact(1.443_755e-7, 1.0).is_err_and(|error| error.contains("no whole number")));
        assert!(exact(-1.0, 1.0).is_err());
    }
}
