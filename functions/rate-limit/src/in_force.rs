use std::time::Duration;

use platform::Context;
use problem::{Problem, kinds};
use quota::account::{Amounts, Decision, Operation, Rule, Standing, Subject};

use crate::RateLimit;

/// The limits that hold, and which of them the account keeps.
#[derive(Debug)]
pub struct InForce {
    /// Where each stands.
    pub standings: Vec<Standing>,
    kept: Vec<Standing>,
}

/// How long the ledger may take to keep rules, at least: nobody streams meanwhile, and who sets them wants an answer.
const TO_KEEP: Duration = Duration::from_secs(2);

/// Looks at the limits of `subjects`, and takes nothing. 503 when the ledger does not answer.
pub async fn look(
    function: &RateLimit,
    account: &str,
    subjects: Vec<Subject>,
    context: &Context,
) -> Result<InForce, Problem> {
    apply(function, &function.limits, account, subjects, None, context).await
}

/// Has `rules` kept for `subject`, and looks at what holds then. 503 when the ledger does not answer: they may be kept all
/// the same.
pub async fn keep(
    function: &RateLimit,
    account: &str,
    subject: Subject,
    rules: Vec<Rule>,
    context: &Context,
) -> Result<InForce, Problem> {
    let set = Operation::SetRules { subject: subject.name.as_ref().into(), rules };
    let limits = function.limits.patient(TO_KEEP);
    apply(function, &limits, account, vec![subject], Some(set), context).await
}

/// One hop for all of it: what comes first, the limits, and those of them that the account keeps.
async fn apply(
    function: &RateLimit,
    config: &limits::Config,
    account: &str,
    subjects: Vec<Subject>,
    first: Option<Operation>,
    context: &Context,
) -> Result<InForce, Problem> {
    let without_rules = |subject: &Subject| Subject { name: subject.name.clone(), rules: Vec::new() };
    let kept = subjects.iter().map(without_rules).collect();
    let look = |subjects| Operation::Take { subjects, amounts: Amounts::default() };
    let operations: Vec<_> = first.into_iter().chain([look(subjects), look(kept)]).collect();
    let decisions = limits::ask(config, &function.availability, context, account, &operations).await?;
    let mut from_the_last = decisions.into_iter().rev();
    match (from_the_last.next(), from_the_last.next()) {
        (Some(Decision { standings: kept, .. }), Some(Decision { standings, .. })) => Ok(InForce { standings, kept }),
        _ => Err(kinds::INTERNAL.into()),
    }
}

impl InForce {
    /// Whether the account keeps the rule of `standing`: it is not the default.
    pub fn is_override(&self, standing: &Standing) -> bool {
        self.kept.iter().any(|kept| kept.subject == standing.subject && kept.rule.name == standing.rule.name)
    }

    /// Whether the account keeps `rules`, in whatever order, and no others.
    pub fn keeps(&self, rules: &[Rule]) -> bool {
        self.kept.len() == rules.len() && self.kept.iter().all(|kept| rules.contains(&kept.rule))
    }
}
