use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Amounts, Rule};

/// One change of an account. All but the first are idempotent by their `id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Takes from every rule of every subject, or from none. With no amounts it only looks.
    Take {
        /// Who is counted.
        subjects: Vec<Subject>,
        /// How much.
        amounts: Amounts,
    },
    /// Takes as above, and holds what was taken until the call's end is known.
    Reserve(Reserve),
    /// The call has ended: what it held beyond `actual` is given back, what it used beyond that is owed. Requests stay
    /// counted.
    Settle {
        /// The call's.
        id: String,
        /// What was used.
        actual: Amounts,
        /// The call's row for the accounts, as JSON.
        record: Option<String>,
    },
    /// The call was never begun: all that it held is given back, the request too.
    Release {
        /// The call's.
        id: String,
        /// The call's row for the accounts, as JSON.
        record: Option<String>,
    },
    /// Ends the calls whose time is over. Every other operation begins with that as well.
    Expire,
    /// Corrects what was spent, by an amount of either sign.
    Adjust {
        /// Of this correction.
        id: String,
        /// Whose counter.
        subject: String,
        /// Of which rule, by name.
        rule: String,
        /// Added to what was spent; it never goes below nothing.
        by: i64,
    },
    /// From now on these rules of `subject` are kept by the account. What was spent stays spent.
    SetRules {
        /// Whose.
        subject: String,
        /// All of them; none to go back to what comes with the requests.
        rules: Vec<Rule>,
    },
}

/// A call that may begin if everything it could come to is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserve {
    /// The call's.
    pub id: String,
    /// Who is counted.
    pub subjects: Vec<Subject>,
    /// The most it can come to.
    pub amounts: Amounts,
    /// Nanoseconds until a call of which nothing more was heard is charged as reserved.
    pub expires_after: u64,
    /// The row for the accounts in that case, as JSON.
    pub record: Option<String>,
}

/// Somebody who is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// `user:…`, `org:…`, `key:…`
    pub name: Arc<str>,
    /// The rules that hold unless the account keeps others of the same name for this subject.
    pub rules: Vec<Rule>,
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was decided.
    Decided(Decision),
    /// There is no call, or no counter, of that name.
    Unknown,
    /// The account holds as many calls or counters as it can.
    Full,
}

/// Whether everything was taken, and where each rule stands afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether everything was taken (now, or by the same operation before); otherwise nothing was.
    pub allowed: bool,
    /// One per rule, in the order of the subjects. Empty for operations without subjects.
    pub standings: Vec<Standing>,
}

/// Where one rule stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Whose.
    pub subject: Arc<str>,
    /// The rule in force.
    pub rule: Rule,
    /// What could be taken now.
    pub remaining: u64,
    /// Nanoseconds until the whole limit is there again; of a budget, until its period is over.
    pub reset_after: u64,
    /// Nanoseconds until what was wished could pass: 0 if it can now, `None` if it never can. Of calls at the same
    /// time nobody knows; it is a second.
    pub retry_after: Option<u64>,
}

impl Operation {
    /// Whether it counts again when it is repeated: everything else has an id, or changes nothing.
    pub fn counts_again(&self) -> bool {
        matches!(self, Self::Take { amounts, .. } if !amounts.is_nothing())
    }
}

impl Decision {
    /// Nanoseconds until the same wish could pass: `None` if it never can.
    pub fn retry_after(&self) -> Option<u64> {
        self.standings.iter().map(|standing| standing.retry_after).try_fold(0, |longest, each| Some(longest.max(each?)))
    }
}
