//! What a call costs: exact, in whole numbers, and in doubt the dearer.

use serde::Deserialize;

use crate::tokens::Tokens;

/// The prices of one route: of its model in each service tier, some of them only of long prompts. At least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Price {
    version: String,
    rates: Vec<Rate>,
}

/// Prices in one service tier, of calls with more than `above` tokens of input, in billionths of a dollar per thousand
/// tokens: providers ask for less than a billionth per token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Rate {
    tier: String,
    above: u64,
    input: u64,
    output: u64,
    /// Read from the provider's cache; as the rest of the input if there is no price for it.
    cached_input: Option<u64>,
    /// Written into it; the same holds.
    cache_write: Option<u64>,
    /// Written into it for an hour; as all that is written if there is no price for it.
    cache_write_1h: Option<u64>,
}

/// The version of a price that a route has of its own.
const OF_ROUTE: &str = "route";
const STANDARD: &str = "standard";
/// The tier that a caller leaves to the provider.
pub(crate) const AUTO: &str = "auto";
/// Providers that publish one rule for all of their models: what is written for an hour costs twice the input.
const DOUBLE_FOR_AN_HOUR: [&str; 2] = ["anthropic", "bedrock"];
/// The unit of the rates.
const PER: u128 = 1_000;

impl Price {
    /// Of the price table, for a model of `provider`. `None` without any rate.
    pub(crate) fn listed(provider: &str, version: String, mut rates: Vec<Rate>) -> Option<Self> {
        if DOUBLE_FOR_AN_HOUR.contains(&provider) {
            rates.iter_mut().for_each(Rate::double_for_an_hour);
        }
        (!rates.is_empty()).then_some(Self { version, rates })
    }

    /// A route's own, in billionths of a dollar per token: the same in every tier.
    pub(crate) fn of_route(input: u64, output: u64, cached_input: Option<u64>) -> Self {
        let rate = Rate {
            tier: STANDARD.into(),
            above: 0,
            input: input.saturating_mul(1_000),
            output: output.saturating_mul(1_000),
            cached_input: cached_input.map(|price| price.saturating_mul(1_000)),
            cache_write: None,
            cache_write_1h: None,
        };
        Self { version: OF_ROUTE.into(), rates: vec![rate] }
    }

    /// Where it comes from, for the accounts.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// What `tokens` cost in the tier that the provider names, in billionths of a dollar, rounded up. Where it names a tier
    /// without a price they cost what they would in the dearest.
    pub(crate) fn cost(&self, tokens: Tokens, tier: Option<&str>) -> i64 {
        let reached = || self.rates.iter().filter(|rate| rate.holds_from(tokens.input));
        let named = tier.map_or(STANDARD, standard_name);
        let rate = reached().filter(|rate| rate.tier == named).max_by_key(|rate| rate.above);
        let parts = match rate {
            Some(rate) => rate.cost(tokens),
            None => reached().map(|rate| rate.cost(tokens)).max().unwrap_or(u128::MAX),
        };
        whole(parts)
    }

    /// The most that up to `tokens` can cost, whatever of the input is read from a cache or written into one. A caller that
    /// wants a tier is answered in that or in the standard one; with no word of it, in any.
    pub(crate) fn most(&self, tokens: Tokens, wanted: Option<&str>) -> i64 {
        let wanted = wanted.filter(|tier| *tier != AUTO).map(standard_name);
        let known = wanted.filter(|wanted| self.rates.iter().any(|rate| rate.tier == *wanted));
        let reached = self.rates.iter().filter(|rate| rate.holds_from(tokens.input));
        let possible = reached.filter(|rate| known.is_none_or(|known| rate.tier == known || rate.tier == STANDARD));
        whole(possible.map(|rate| rate.most(tokens)).max().unwrap_or(u128::MAX))
    }
}

impl Rate {
    fn holds_from(&self, input: u64) -> bool {
        self.above == 0 || self.above < input
    }

    /// Sets the price for an hour that is missing where cache writes have one.
    fn double_for_an_hour(&mut self) {
        let double = self.cache_write.map(|price| price.max(self.input.saturating_mul(2)));
        self.cache_write_1h = self.cache_write_1h.or(double);
    }

    /// In thousandths of a billionth of a dollar.
    fn cost(&self, tokens: Tokens) -> u128 {
        let Tokens { input, output, cached_input, cache_write, cache_write_1h } = tokens;
        let write_price = self.cache_write.unwrap_or(self.input);
        let fresh = input.saturating_sub(cached_input).saturating_sub(cache_write);
        let parts = [
            (fresh, self.input),
            (cached_input, self.cached_input.unwrap_or(self.input)),
            (cache_write.saturating_sub(cache_write_1h), write_price),
            (cache_write_1h, self.cache_write_1h.unwrap_or(write_price)),
            (output, self.output),
        ];
        parts.into_iter().fold(0, |sum, (count, price)| sum.saturating_add(u128::from(count) * u128::from(price)))
    }

    fn most(&self, tokens: Tokens) -> u128 {
        let others = [self.cached_input, self.cache_write, self.cache_write_1h];
        let input = others.into_iter().flatten().fold(self.input, u64::max);
        let dearest =
            Self { tier: String::new(), input, cached_input: None, cache_write: None, cache_write_1h: None, ..*self };
        dearest.cost(tokens)
    }
}

/// Providers call the tier of whoever asks for none by two names.
fn standard_name(tier: &str) -> &str {
    if tier == "default" { STANDARD } else { tier }
}

/// A part of a billionth counts as a whole one. Saturates far beyond any bill.
fn whole(parts: u128) -> i64 {
    i64::try_from(parts.div_ceil(PER)).unwrap_or(i64::MAX)
}

/// Nano-dollars as dollars, exactly, without trailing zeros: `0.00012`.
pub(crate) fn dollars(nano: i64) -> String {
    let text = format!("{}.{:09}", nano / 1_000_000_000, nano.unsigned_abs() % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn tokens(input: u64, cached_input: u64, cache_write: u64, output: u64) -> Tokens {
        Tokens { input, output, cached_input, cache_write, cache_write_1h: 0 }
    }

    /// Of input that is written into the cache, so much of it for an hour.
    fn written(input: u64, hour: u64) -> Tokens {
        Tokens { input, cache_write: input, cache_write_1h: hour, ..Tokens::default() }
    }

    fn listed(rates: Value) -> Price {
        listed_of("openai", rates)
    }

    fn listed_of(provider: &str, rates: Value) -> Price {
        Price::listed(provider, "v1".into(), serde_json::from_value(rates).unwrap()).unwrap()
    }

    /// As the committed table has it.
    fn committed(provider: &str, model: &str) -> Price {
        let table: Value = serde_json::from_str(include_str!("../../../supabase/prices.json")).unwrap();
        let mut prices = table["prices"].as_array().unwrap().iter();
        let price = prices.find(|price| price["provider"] == provider && price["model"] == model);
        listed_of(provider, price.unwrap_or_else(|| panic!("no {model}"))["rates"].clone())
    }

    /// Bills worked out by hand from the providers' price per million tokens.
    #[test]
    fn golden_bills_of_each_provider() {
        const MILLION: i64 = 1_000_000_000; // a dollar
        let openai = committed("openai", "gpt-5.6"); // $4 input, $0.40 cached, $5 written, $20 output; twice or 1.5 times above 272k
        assert_eq!(openai.cost(tokens(1_000, 0, 0, 100), None), 4_000_000 + 2_000_000);
        assert_eq!(
            openai.cost(tokens(1_000, 400, 100, 100), Some("default")),
            2_000_000 + 160_000 + 500_000 + 2_000_000
        );
        assert_eq!(openai.cost(tokens(1_000, 400, 100, 100), Some("flex")), 1_000_000 + 80_000 + 250_000 + 1_000_000);
        assert_eq!(
            openai.cost(tokens(1_000, 400, 100, 100), Some("priority")),
            4_000_000 + 320_000 + 1_000_000 + 4_000_000
        );
        assert_eq!(openai.cost(tokens(1_000, 0, 0, 0), Some("batch")), 2_000_000);
        assert_eq!(openai.cost(tokens(272_000, 0, 0, 0), None), 272 * 4_000_000);
        assert_eq!(openai.cost(tokens(272_001, 0, 0, 1_000_000), None), 272_001 * 8_000 + 30 * MILLION);
        let azure = committed("azure", "eu/gpt-4o-mini"); // $0.165, $0.083, $0.66
        assert_eq!(
            azure.cost(tokens(1_000_000, 500_000, 0, 1_000_000), Some("default")),
            82_500_000 + 41_500_000 + 660_000_000
        );
        let anthropic = committed("anthropic", "claude-haiku-5-5"); // $0.10, $0.01, $0.125, $0.50; five times above 100k
        assert_eq!(
            anthropic.cost(tokens(10_000, 8_000, 1_000, 100), Some("standard")),
            100_000 + 80_000 + 125_000 + 50_000
        );
        assert_eq!(anthropic.cost(tokens(100_001, 100_000, 0, 0), None), 500 + 5_000_000);
        let bedrock = committed("bedrock", "us.amazon.nova-2-lite-v1:0"); // $0.33, $0.0825, $2.75; priority $0.5775, $0.144375, $4.8125
        assert_eq!(bedrock.cost(tokens(3, 1, 0, 1), None), 660 + 83 + 2_750);
        assert_eq!(bedrock.cost(tokens(1_000, 1_000, 0, 1), Some("priority")), 144_375 + 4_813);
        let together = committed("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"); // $1.04 both ways, nothing about caches
        assert_eq!(together.cost(tokens(10, 4, 2, 10), None), 20_800);
    }

    #[test]
    fn what_is_written_for_an_hour_costs_more_than_what_is_for_five_minutes() {
        let haiku = committed("anthropic", "claude-haiku-5-5"); // $0.10, $0.125 for five minutes, $0.20 for an hour; five times above 100k
        assert_eq!(haiku.cost(written(1_000, 400), None), 600 * 125 + 400 * 200);
        assert_eq!(haiku.cost(written(200_000, 200_000), None), 200_000 * 1_000);
        let sonnet = committed("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"); // $3.30, $4.125 and $6.60
        assert_eq!(sonnet.cost(written(1_000, 400), None), 600 * 4_125 + 400 * 6_600);
        assert_eq!(sonnet.most(tokens(1_000, 0, 0, 0), Some("default")), 1_000 * 6_600);
    }

    #[test]
    fn without_a_price_for_an_hour_it_is_twice_the_input_where_that_is_the_providers_rule() {
        let rate = |write: Value| {
            let mut rate = json!({"tier": "standard", "above": 0, "input": 4_000, "output": 0});
            rate.as_object_mut().unwrap().extend(write.as_object().unwrap().clone());
            json!([rate])
        };
        for (provider, write, cost) in [
            ("anthropic", json!({"cache_write": 5_000}), 8),
            ("bedrock", json!({"cache_write": 5_000}), 8),
            ("bedrock", json!({"cache_write": 9_000}), 9),
            ("anthropic", json!({"cache_write": 5_000, "cache_write_1h": 7_000}), 7),
            ("anthropic", json!({}), 4),
            ("openai", json!({"cache_write": 5_000}), 5),
            ("simulator", json!({"cache_write": 5_000, "cache_write_1h": 6_000}), 6),
        ] {
            let price = listed_of(provider, rate(write.clone()));
            assert_eq!(price.cost(written(1, 1), None), cost, "{provider} {write}");
            assert_eq!(price.most(tokens(1, 0, 0, 0), None), cost, "{provider} {write}");
        }
        assert_eq!(Price::of_route(4, 0, None).cost(written(1, 1), None), 4);
    }

    #[test]
    fn a_tier_without_a_price_costs_as_the_dearest() {
        let price = committed("openai", "gpt-5.6");
        for unknown in ["scale", "auto", "", "Priority"] {
            assert_eq!(price.cost(tokens(1_000, 0, 0, 10), Some(unknown)), 8_000_000 + 400_000, "{unknown}");
        }
    }

    #[test]
    fn the_most_is_that_of_the_dearest_tier_unless_the_caller_wants_one() {
        let price = committed("openai", "gpt-5.6");
        let most = |input, tier| price.most(tokens(input, 0, 0, 10), tier);
        // All of the input may be written into the cache.
        assert_eq!(most(1_000, None), 10_000_000 + 400_000);
        assert_eq!(most(1_000, Some("auto")), most(1_000, None));
        assert_eq!(most(1_000, Some("scale")), most(1_000, None));
        assert_eq!(most(1_000, Some("default")), 5_000_000 + 200_000);
        assert_eq!(most(1_000, Some("flex")), most(1_000, Some("default")), "it may be answered in the standard tier");
        assert_eq!(most(300_000, Some("default")), 300_000 * 10_000 + 300_000);
    }

    #[test]
    fn what_is_not_for_nothing_never_costs_nothing() {
        let price = listed(json!([{"tier": "standard", "above": 0, "input": 1, "output": 0}]));
        assert_eq!(price.cost(tokens(1, 0, 0, 0), None), 1);
        assert_eq!(price.cost(tokens(1_001, 0, 0, 0), None), 2);
        assert_eq!(price.cost(tokens(0, 0, 0, 5), None), 0);
        assert_eq!(Price::listed("openai", "v1".into(), Vec::new()), None);
    }

    #[test]
    fn a_routes_own_price_holds_in_every_tier() {
        let price = Price::of_route(150, 600, Some(75));
        for tier in [None, Some("default"), Some("priority"), Some("scale")] {
            assert_eq!(price.cost(tokens(100, 40, 0, 10), tier), 60 * 150 + 40 * 75 + 10 * 600);
        }
        assert_eq!(Price::of_route(150, 600, None).cost(tokens(100, 40, 0, 0), None), 100 * 150);
        assert_eq!(price.version(), "route");
    }

    #[test]
    fn absurd_counts_saturate() {
        let price = Price::of_route(u64::MAX, u64::MAX, Some(0));
        assert_eq!(price.cost(tokens(u64::MAX, 0, 0, u64::MAX), None), i64::MAX);
        assert_eq!(price.most(tokens(u64::MAX, 0, 0, u64::MAX), None), i64::MAX);
    }

    #[test]
    fn dollars_are_exact_decimals() {
        assert_eq!(
            [0, 1, 120_000, 1_500_000_000, 2_000_000_000].map(dollars),
            ["0", "0.000000001", "0.00012", "1.5", "2"]
        );
    }

    /// A number without an end: decimal digits, the last one first. Added and multiplied as at school.
    fn digits(mut number: u64) -> Vec<u32> {
        let mut digits = Vec::new();
        while number > 0 {
            digits.push(u32::try_from(number % 10).unwrap());
            number /= 10;
        }
        digits
    }

    fn carried(sums: Vec<u32>) -> Vec<u32> {
        let (mut digits, mut carry) = (Vec::new(), 0);
        for sum in sums.into_iter().chain([0; 12]) {
            digits.push((sum + carry) % 10);
            carry = (sum + carry) / 10;
        }
        while digits.last() == Some(&0) {
            digits.pop();
        }
        digits
    }

    fn plus(one: &[u32], other: &[u32]) -> Vec<u32> {
        let at = |digits: &[u32], place: usize| digits.get(place).copied().unwrap_or(0);
        carried((0..one.len().max(other.len())).map(|place| at(one, place) + at(other, place)).collect())
    }

    fn times(one: &[u32], other: &[u32]) -> Vec<u32> {
        let mut sums = vec![0; one.len() + other.len()];
        for (i, a) in one.iter().enumerate() {
            for (j, b) in other.iter().enumerate() {
                sums[i + j] += a * b;
            }
        }
        carried(sums)
    }

    /// What tokens cost at one rate, in billionths: the sum, its last three digits rounded up, at most i64::MAX.
    fn model(rate: &Rate, tokens: Tokens) -> i64 {
        let fresh = tokens.input - tokens.cached_input - tokens.cache_write;
        let sum = [
            (fresh, rate.input),
            (tokens.cached_input, rate.cached_input.unwrap_or(rate.input)),
            (tokens.cache_write - tokens.cache_write_1h, rate.cache_write.unwrap_or(rate.input)),
            (tokens.cache_write_1h, rate.cache_write_1h.or(rate.cache_write).unwrap_or(rate.input)),
            (tokens.output, rate.output),
        ]
        .iter()
        .fold(Vec::new(), |sum, (count, price)| plus(&sum, &times(&digits(*count), &digits(*price))));
        let (parts, wholes) = sum.split_at(sum.len().min(3));
        let rounded = if parts.iter().any(|digit| *digit > 0) { plus(wholes, &[1]) } else { wholes.to_vec() };
        let text: String = rounded.iter().rev().map(u32::to_string).collect();
        if text.is_empty() { 0 } else { text.parse().unwrap_or(i64::MAX) }
    }

    fn rate(tier: &'static str) -> impl Strategy<Value = Rate> {
        let price = || prop_oneof![0..10_u64, 0..10_000_000_u64, any::<u64>()];
        let other = || proptest::option::of(price());
        (price(), price(), other(), other(), other()).prop_map(
            move |(input, output, cached_input, cache_write, cache_write_1h)| Rate {
                tier: tier.into(),
                above: 0,
                input,
                output,
                cached_input,
                cache_write,
                cache_write_1h,
            },
        )
    }

    fn some_tokens() -> impl Strategy<Value = Tokens> {
        let count = || prop_oneof![0..300_000_u64, any::<u64>()];
        let part = any::<u64>;
        (count(), part(), part(), part(), count()).prop_map(|(input, cached, written, hour, output)| {
            let cached_input = cached % input.saturating_add(1);
            let cache_write = written % (input - cached_input).saturating_add(1);
            let cache_write_1h = hour % cache_write.saturating_add(1);
            Tokens { input, output, cached_input, cache_write, cache_write_1h }
        })
    }

    fn provider() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("anthropic"), Just("bedrock"), Just("openai")]
    }

    /// The rate with the price for an hour that holds where the list has none.
    fn by_rule(provider: &str, rate: &Rate) -> Rate {
        let double = rate.cache_write.map(|price| price.max(rate.input.saturating_mul(2)));
        let missing = if provider == "openai" { None } else { double };
        Rate { cache_write_1h: rate.cache_write_1h.or(missing), ..rate.clone() }
    }

    proptest! {
        #[test]
        fn a_bill_is_what_it_is_with_numbers_without_an_end(
            provider in provider(), short in rate("standard"), long in rate("standard"), flex in rate("flex"),
            above in 1..300_000_u64, tokens in some_tokens(),
        ) {
            let long = Rate { above, ..long };
            let price = Price::listed(provider, "v".into(), vec![short.clone(), long.clone(), flex.clone()]).unwrap();
            let [short, long, flex] = [short, long, flex].map(|rate| by_rule(provider, &rate));
            let is_long = tokens.input > above;
            let standard = model(if is_long { &long } else { &short }, tokens);
            prop_assert_eq!(price.cost(tokens, None), standard);
            prop_assert_eq!(price.cost(tokens, Some("flex")), model(&flex, tokens));
            let possible = [Some(&short), is_long.then_some(&long), Some(&flex)];
            let dearest = possible.into_iter().flatten().map(|rate| model(rate, tokens)).max().unwrap();
            prop_assert_eq!(price.cost(tokens, Some("new")), dearest);
            for tier in [None, Some("default"), Some("flex"), Some("new")] {
                prop_assert!(price.cost(tokens, tier) <= price.most(tokens, None));
            }
            prop_assert!(price.cost(tokens, Some("flex")).max(standard) <= price.most(tokens, Some("flex")));
        }

        #[test]
        fn whatever_a_call_turns_out_to_be_it_costs_no_more_than_the_most(
            provider in provider(), short in rate("standard"), priority in rate("priority"),
            longest in some_tokens(), actual in some_tokens(),
        ) {
            let actual = Tokens { output: actual.output.min(longest.output), ..actual };
            prop_assume!(actual.input <= longest.input);
            let price = Price::listed(provider, "v".into(), vec![short, priority]).unwrap();
            let most = price.most(tokens(longest.input, 0, 0, longest.output), None);
            for tier in [None, Some("priority"), Some("new")] {
                prop_assert!(price.cost(actual, tier) <= most);
            }
        }
    }
}
