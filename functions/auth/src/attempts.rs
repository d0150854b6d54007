use audit::account_digest;
use http::header::RETRY_AFTER;
use platform::{ClientAddress, Context};
use problem::{Problem, kinds};
use quota::{Decision, Policy, Take};

/// Attempts at one account: 10 per 5 minutes.
const PER_ACCOUNT: (&str, u64, u64) = ("sign-in-account", 10, 300);
/// Attempts from one address: 100 per 5 minutes.
const PER_ADDRESS: (&str, u64, u64) = ("sign-in-address", 100, 300);
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Counts one attempt to prove who someone is; 429 when there have been too many, 503 when they cannot be counted.
///
/// The account is counted whether it exists or not, under a digest, so that the ledger holds no address book.
pub async fn count(context: &Context, account: &str, address: Option<ClientAddress>) -> Result<(), Problem> {
    let account = format!("account:{}", account_digest(account));
    take(context, &account, PER_ACCOUNT).await?;
    match address {
        Some(address) => take(context, &format!("address:{}", address.network()), PER_ADDRESS).await,
        None => Ok(()),
    }
}

async fn take(context: &Context, shard: &str, (name, limit, window_seconds): (&str, u64, u64)) -> Result<(), Problem> {
    let policy = Policy { name: name.into(), limit, window_seconds };
    let wish = Take { subject: name.into(), policy, quantity: 1 };
    match context.ledger.take(shard, &[wish]).await {
        Ok(decision) if decision.allowed => Ok(()),
        Ok(decision) => Err(too_many(&decision)),
        Err(error) => {
            tracing::error!(%error, "sign-in attempts cannot be counted: refusing");
            Err(Problem::new(kinds::UPSTREAM_UNAVAILABLE).header(RETRY_AFTER, "5"))
        }
    }
}

fn too_many(decision: &Decision) -> Problem {
    let seconds = decision.retry_after().unwrap_or(0).div_ceil(NANOS_PER_SECOND).max(1).to_string();
    Problem::new(kinds::RATE_LIMITED)
        .detail(format!("Too many attempts to sign in; the next one is possible in {seconds} s."))
        .header(RETRY_AFTER, &seconds)
}
