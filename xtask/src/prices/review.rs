//! What two price tables say differently, and whether somebody has looked at it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::table::{ModelPrice, Rate, STANDARD, Table};

/// Differences that the list of reviewed ones does not have, and lines of it that are none any more.
pub struct Review {
    pub new: BTreeSet<String>,
    pub gone: BTreeSet<String>,
}

impl Review {
    /// Compares what both tables know. A reviewed difference names both prices: when one of them changes it is new.
    pub fn of(table: &Table, second: &Table, reviewed: &str) -> Self {
        let differences = differences(table, second);
        let lines = reviewed.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let reviewed: BTreeSet<String> = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
        Self {
            new: differences.difference(&reviewed).cloned().collect(),
            gone: reviewed.difference(&differences).cloned().collect(),
        }
    }
}

impl fmt::Display for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "look at these differences, and add their lines to {}:", super::REVIEWED)?;
        self.new.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "these are none any more:")?;
        self.gone.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// One a line: provider, model, from how many tokens of input on, what, our price, theirs.
fn differences(table: &Table, second: &Table) -> BTreeSet<String> {
    let ours: BTreeMap<_, _> = table.prices.iter().map(|price| ((&price.provider, &price.model), price)).collect();
    let mut lines = BTreeSet::new();
    for theirs in &second.prices {
        let Some(ours) = ours.get(&(&theirs.provider, &theirs.model)) else { continue };
        let contexts = ours.rates.iter().chain(&theirs.rates).filter(|rate| rate.tier == STANDARD);
        for above in contexts.map(|rate| rate.above).collect::<BTreeSet<_>>() {
            for ((name, our), (_, their)) in prices(ours, above).into_iter().zip(prices(theirs, above)) {
                if our != their {
                    let (our, their) = (shown(our), shown(their));
                    lines.insert(format!("{} {} {above} {name} {our} {their}", theirs.provider, theirs.model));
                }
            }
        }
    }
    lines
}

/// What holds above so many tokens of input.
fn prices(model: &ModelPrice, above: u64) -> Vec<(&'static str, Option<u64>)> {
    let standard = model.rates.iter().filter(|rate| rate.tier == STANDARD && rate.above <= above);
    let rate: Option<&Rate> = standard.max_by_key(|rate| rate.above);
    vec![
        ("input", rate.map(|rate| rate.input)),
        ("output", rate.map(|rate| rate.output)),
        ("cached_input", rate.and_then(|rate| rate.cached_input)),
        ("cache_write", rate.and_then(|rate| rate.cache_write)),
    ]
}

fn shown(price: Option<u64>) -> String {
    price.map_or_else(|| "-".to_owned(), |price| price.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::{REVIEWED, SECOND, TABLE, read};
    use super::*;

    fn committed(path: &str) -> Table {
        serde_json::from_str(&read(path).unwrap()).unwrap()
    }

    #[test]
    fn whatever_the_second_list_says_differently_has_been_looked_at() {
        let review = Review::of(&committed(TABLE), &committed(SECOND), &read(REVIEWED).unwrap());
        assert!(review.new.is_empty() && review.gone.is_empty(), "{review}");
    }

    #[test]
    fn the_second_list_knows_enough_to_be_a_check() {
        let (table, second) = (committed(TABLE), committed(SECOND));
        for provider in ["anthropic", "azure", "bedrock", "openai", "together"] {
            assert!(table.prices.iter().any(|price| price.provider == provider), "{provider}");
            assert!(second.prices.iter().any(|price| price.provider == provider), "{provider}");
        }
    }

    #[test]
    fn a_difference_is_new_until_its_very_line_is_there() {
        let (table, mut second) = (committed(TABLE), committed(SECOND));
        let reviewed = read(REVIEWED).unwrap();
        let changed = &mut second.prices[0];
        changed.rates[0].output += 1;
        let line = format!("{} {} 0 output", changed.provider, changed.model);
        let review = Review::of(&table, &second, &reviewed);
        assert!(review.new.iter().any(|new| new.starts_with(&line)), "{review}");
        let added = review.new.iter().fold(reviewed, |lines, line| format!("{lines}{line} # why\n"));
        assert!(Review::of(&table, &second, &added).new.is_empty());
    }

    #[test]
    fn the_table_is_sorted_and_every_price_in_it_is_one() {
        let table = committed(TABLE);
        assert!(table.prices.is_sorted_by(|a, b| (&a.provider, &a.model) < (&b.provider, &b.model)));
        for price in &table.prices {
            assert!(price.rates.iter().all(|rate| rate.input > 0), "{price:?}");
            assert_eq!((price.rates[0].tier.as_str(), price.rates[0].above), (STANDARD, 0), "{price:?}");
        }
    }
}
