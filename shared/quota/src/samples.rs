//! Random operations as they occur, by seed: every store applies the same ones and must come to the same.

use crate::account::{Amounts, Operation, Per, Reserve, Rule, Subject, Unit};

/// Operations with their times, in nanoseconds since the epoch.
pub fn sequence(seed: u64, length: usize) -> Vec<(u64, Operation)> {
    let mut random = Random::new(seed);
    // Shortly before a month's end, so that days and months begin.
    let mut now = 1_798_761_600_000_000_000 - random.below(200_000) * 1_000_000_000;
    (0..length)
        .map(|_| {
            now = match random.below(40) {
                0 => now - random.below(3_600) * 1_000_000_000,
                1 => now + random.below(90_000) * 1_000_000_000,
                _ => now + random.below(2_000_000_000),
            };
            (now, random.operation())
        })
        .collect()
}

/// Xorshift (Marsaglia, 2003): good enough to choose operations, and the same everywhere.
pub struct Random(u64);

impl Random {
    /// Numbers that follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One from 0 to below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn operation(&mut self) -> Operation {
        let id = format!("call-{}", self.below(40));
        let record = (self.below(3) > 0).then(|| format!("{{\"id\":\"{id}\"}}"));
        match self.below(20) {
            0..3 => Operation::Take { subjects: self.subjects(), amounts: self.amounts() },
            3..10 => {
                let expires_after = (1 + self.below(20)) * 1_000_000_000;
                let (subjects, amounts) = (self.subjects(), self.amounts());
                Operation::Reserve(Reserve { id, subjects, amounts, expires_after, record })
            }
            10..15 => Operation::Settle { id, actual: self.amounts(), record },
            15..17 => Operation::Release { id, record },
            17 => Operation::Expire,
            18 => {
                let (subject, by) = (self.subject(), self.below(40).cast_signed() - 20);
                Operation::Adjust { id, subject, rule: self.rule().name.as_ref().into(), by }
            }
            _ => {
                let (subject, count) = (self.subject(), self.below(4));
                let mut rules: Vec<Rule> = Vec::new();
                for _ in 0..count {
                    let rule = self.rule();
                    if rules.iter().all(|there| there.name != rule.name) {
                        rules.push(rule);
                    }
                }
                Operation::SetRules { subject, rules }
            }
        }
    }

    fn subjects(&mut self) -> Vec<Subject> {
        (0..=self.below(2))
            .map(|_| Subject { name: self.subject().into(), rules: (0..=self.below(2)).map(|_| self.rule()).collect() })
            .collect()
    }

    fn subject(&mut self) -> String {
        let name = match self.below(3) {
            0 => "user:1",
            1 => "user:2",
            _ => "org:1",
        };
        name.to_owned()
    }

    /// The name says what kind it is, as it does outside of tests.
    fn rule(&mut self) -> Rule {
        let limit = self.below(30);
        let (name, unit, per) = match self.below(6) {
            0 | 1 => ("requests", Unit::Requests, Per::Seconds(self.below(60))),
            2 => ("tokens", Unit::Tokens, Per::Seconds(10)),
            3 => ("tokens-day", Unit::Tokens, Per::Day),
            4 => ("usd-month", Unit::NanoUsd, Per::Month),
            _ => ("concurrent", Unit::Requests, Per::Moment),
        };
        Rule { name: name.into(), unit, per, limit }
    }

    fn amounts(&mut self) -> Amounts {
        Amounts { requests: self.below(3), tokens: self.below(12), nano_usd: self.below(12) }
    }
}
