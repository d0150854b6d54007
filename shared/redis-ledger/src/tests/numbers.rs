//! Lua's numbers against Rust's.

use quota::samples::Random;

use super::{Test, texts};

/// Every operation of `numbers.lua` on three numbers.
const CALCULATE: &str = "
    local a, b, c = number(ARGV[1]), number(ARGV[2]), number(ARGV[3])
    local added, is_too_much = sum(a, b)
    local times, is_far_too_much = product(a, b)
    return {
      text(a), padded(a), text(added), tostring(is_too_much), text(difference(a, b)), text(times),
      tostring(is_far_too_much), text(scaled(a, b, c)), text(larger(a, b)), string.format('%.0f', seconds(a)),
    }";

#[test]
fn numbers_are_exact_up_to_the_largest() {
    let (test, mut random) = (Test::new(), Random::new(7));
    let script = format!("{}{CALCULATE}", include_str!("../numbers.lua"));
    let mut number = || match random.below(4) {
        0 => random.below(20),
        1 => u64::MAX - random.below(20),
        2 => 10u64.pow(u32::try_from(random.below(20)).unwrap()) - random.below(2),
        // Of any length.
        _ => random.below(u64::MAX) >> random.below(64),
    };
    for _ in 0..20_000 {
        let [a, b, c] = [number(), number(), number()];
        let scaled = (u128::from(a) * u128::from(b)).div_ceil(u128::from(c.max(1)));
        let expected = [
            a.to_string(),
            format!("{a:0>20}"),
            a.saturating_add(b).to_string(),
            a.checked_add(b).is_none().to_string(),
            a.saturating_sub(b).to_string(),
            a.saturating_mul(b).to_string(),
            a.checked_mul(b).is_none().to_string(),
            u64::try_from(scaled).unwrap_or(u64::MAX).to_string(),
            a.max(b).to_string(),
            (a / 1_000_000_000).to_string(),
        ];
        let calculated = test.command("EVAL", &[&script, "0", &a.to_string(), &b.to_string(), &c.to_string()]);
        assert_eq!(texts(calculated), expected, "{a}, {b}, {c}");
    }
}
