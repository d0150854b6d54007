use platform::{Context, StoreError, timeout};
use problem::Problem;
use quota::account::{Amounts, Decision, Operation, Outcome, Rule, Standing, Subject};

use crate::{Availability, Config, Member, refusal};

/// What becomes of a request when the ledger cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnAbsence {
    /// It goes on, uncounted: for what is cheap and harmless.
    Open,
    /// 503.
    Closed,
}

/// Counts one request of `member` by `rule`, in the account in which all else is counted, under a subject that nobody
/// sets limits for. 429 when it is one too many. None of the standings are known when the ledger was not asked.
pub async fn take(
    config: &Config,
    availability: &Availability,
    context: &Context,
    member: &Member,
    rule: Rule,
    on_absence: OnAbsence,
) -> Result<Vec<Standing>, Problem> {
    let subject = Subject { name: format!("user:{}:{}", member.user, rule.name).into(), rules: vec![rule] };
    let take = Operation::Take { subjects: vec![subject], amounts: Amounts::ONE_REQUEST };
    match decide(config, availability, context, &member.account(), &[take]).await {
        Ok(decisions) => match decisions.into_iter().next() {
            Some(decision) if !decision.allowed => Err(refusal::refused(&decision)),
            decision => Ok(decision.unwrap_or_default().standings),
        },
        Err(reason) => {
            availability.decided_without(on_absence == OnAbsence::Open, &reason);
            match on_absence {
                OnAbsence::Open => Ok(Vec::new()),
                OnAbsence::Closed => Err(refusal::unavailable(context)),
            }
        }
    }
}

/// Applies `operations` to `account` where the answer is nothing without the ledger's: one decision for each, or 503
/// when there is none in time.
pub async fn ask(
    config: &Config,
    availability: &Availability,
    context: &Context,
    account: &str,
    operations: &[Operation],
) -> Result<Vec<Decision>, Problem> {
    decide(config, availability, context, account, operations).await.map_err(|reason| {
        availability.decided_without(false, &reason);
        refusal::unavailable(context)
    })
}

/// One decision for each operation, or why there is none.
async fn decide(
    config: &Config,
    availability: &Availability,
    context: &Context,
    account: &str,
    operations: &[Operation],
) -> Result<Vec<Decision>, String> {
    in_time(config, availability, context, operations.len(), context.ledger.apply(account, operations)).await
}

/// What `asking` comes to within the deadline, as `count` decisions; or why there are none. It is not begun while the
/// ledger is left alone.
pub(crate) async fn in_time(
    config: &Config,
    availability: &Availability,
    context: &Context,
    count: usize,
    asking: impl Future<Output = Result<Vec<Outcome>, StoreError>> + Send,
) -> Result<Vec<Decision>, String> {
    if !availability.may_ask(context) {
        return Err("it has not answered lately".to_owned());
    }
    let answer = match timeout(&*context.clock, config.deadline, asking).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("it did not answer in time".to_owned()),
    };
    match &answer {
        Ok(_) => availability.succeeded(),
        Err(_) => availability.failed(context),
    }
    // An account that is full is one caller's matter: the others are still answered.
    let decisions = decisions(answer?).filter(|decisions| decisions.len() == count);
    decisions.ok_or_else(|| "the account is full".to_owned())
}

/// None if one of them was not decided.
fn decisions(outcomes: Vec<Outcome>) -> Option<Vec<Decision>> {
    let decision = |outcome| match outcome {
        Outcome::Decided(decision) => Some(decision),
        Outcome::Unknown | Outcome::Full => None,
    };
    outcomes.into_iter().map(decision).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use platform::StoreError;
    use platform::fakes::Host;
    use problem::kinds;
    use quota::account::{Per, Unit};
    use token::Tier;
    use uuid::Uuid;

    use super::*;

    struct Scene {
        host: Host,
        config: Config,
        availability: Availability,
        member: Member,
    }

    impl Scene {
        fn new() -> Self {
            let host = Host::new();
            let config = host.block_on(Config::read(&mut platform::Configuration::of(&host.variables))).unwrap();
            let member = Member { user: Uuid::from_u128(7), org: Some(Uuid::from_u128(9)), key: None, tier: Tier::T1 };
            Self { host, config, availability: Availability::default(), member }
        }

        fn take(&self, on_absence: OnAbsence) -> Result<Vec<Standing>, Problem> {
            let rule = Rule { name: "usage".into(), unit: Unit::Requests, per: Per::Seconds(60), limit: 3 };
            let Self { host, config, availability, member } = self;
            host.block_on(take(config, availability, &host.context(), member, rule, on_absence))
        }
    }

    #[test]
    fn who_waits_as_told_gets_through() {
        let scene = Scene::new();
        for left in [2, 1, 0] {
            assert_eq!(scene.take(OnAbsence::Open).unwrap()[0].remaining, left);
        }
        for _ in 0..3 {
            let refused = scene.take(OnAbsence::Open).unwrap_err();
            assert_eq!(refused.kind(), kinds::RATE_LIMITED);
            let response = refused.into_response(problem::Dialect::ProblemJson, "r-1");
            let wait: u64 = response.headers()["retry-after-ms"].to_str().unwrap().parse().unwrap();
            scene.host.clock.advance(Duration::from_millis(wait - 1));
            assert!(scene.take(OnAbsence::Open).is_err());
            scene.host.clock.advance(Duration::from_millis(1));
            scene.take(OnAbsence::Open).unwrap();
        }
    }

    #[test]
    fn what_an_organization_sets_for_a_user_is_not_used_up_by_reading() {
        let scene = Scene::new();
        let subject = format!("user:{}", scene.member.user);
        let none = crate::rule(crate::Level::User, Unit::Requests, Per::Day, 0);
        let set = Operation::SetRules { subject, rules: vec![none] };
        scene.host.block_on(scene.host.context().ledger.apply(&scene.member.account(), &[set])).unwrap();
        assert_eq!(scene.take(OnAbsence::Closed).unwrap().len(), 1);
    }

    #[test]
    fn an_account_that_is_full_keeps_nobody_else_waiting() {
        let scene = Scene::new();
        let full = Vec::from([Outcome::Full]);
        for _ in 0..10 {
            let Scene { host, config, availability, .. } = &scene;
            let asking = std::future::ready(Ok(full.clone()));
            let refused = host.block_on(in_time(config, availability, &host.context(), 1, asking)).unwrap_err();
            assert_eq!(refused, "the account is full");
        }
        assert_eq!(scene.take(OnAbsence::Closed).unwrap()[0].remaining, 2);
    }

    #[test]
    fn a_ledger_that_is_away_or_slow_lets_through_or_not_and_is_found_again() {
        let scene = Scene::new();
        let away = StoreError::Unavailable("away".into());
        for break_it in [&(|| scene.host.ledger.fail_with(away.clone())) as &dyn Fn(), &|| scene.host.ledger.hold()] {
            break_it();
            let started = scene.host.clock.now();
            for _ in 0..5 {
                assert_eq!(scene.take(OnAbsence::Open).unwrap(), []);
                assert_eq!(scene.take(OnAbsence::Closed).unwrap_err().kind(), kinds::UPSTREAM_UNAVAILABLE);
            }
            let waited = scene.host.clock.now().duration_since(started);
            assert!(waited.as_millis() <= 4 * 50, "it is left alone after a few failures: {waited:?}");
            scene.host.ledger.fail_with(None);
            scene.host.ledger.let_through();
            scene.host.clock.advance(Duration::from_mins(2));
            assert_eq!(scene.take(OnAbsence::Closed).unwrap()[0].remaining, 2);
            scene.host.clock.advance(Duration::from_mins(2));
        }
    }
}
