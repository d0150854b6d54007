use audit::account_digest;
use http::header::RETRY_AFTER;
use platform::{ClientAddress, Context};
use problem::{Problem, kinds};
use quota::{Decision, Policy, Take, shard};

/// How many attempts in how many seconds. All of a list hold together: at first the shortest decides, and whoever goes
/// on waits for a longer one, so that the wait grows with the guessing.
type Limits = &'static [(&'static str, u64, u64)];

/// Attempts at one account from one network.
const PER_ACCOUNT_AND_NETWORK: Limits =
    &[("sign-in-minute", 5, 60), ("sign-in-quarter-hour", 10, 15 * 60), ("sign-in-day", 30, DAY)];
/// Attempts at one account from anywhere: more, so that nobody who guesses at an account keeps its owner out from elsewhere.
const PER_ACCOUNT: Limits =
    &[("sign-in-account-minute", 20, 60), ("sign-in-account-hour", 60, HOUR), ("sign-in-account-day", 200, DAY)];
/// Attempts from one network at any accounts: many people may share an address.
const PER_NETWORK: Limits = &[
    ("sign-in-network-minutes", 200, 10 * 60),
    ("sign-in-network-hour", 300, HOUR),
    ("sign-in-network-day", 1000, DAY),
];
/// How many hexadecimal digits of an account's digest name its counters: 128 bits tell accounts apart.
const DIGEST: usize = 32;
const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Counts one attempt to prove who someone is; 429 when there have been too many, 503 when they cannot be counted.
///
/// The account is counted whether it exists or not, under a digest, so that the ledger holds no address book. The network
/// comes first: whoever has to wait for it takes nothing from the account.
pub async fn count(context: &Context, account: &str, address: Option<ClientAddress>) -> Result<(), Problem> {
    let network = address.map(|address| address.network());
    if let Some(network) = &network {
        take(context, &shard("address", network), takes(PER_NETWORK, network).collect()).await?;
    }
    // In one place, so that both are taken or none.
    let account: String = account_digest(account).chars().take(DIGEST).collect();
    let from = format!("{account}:{}", network.as_deref().unwrap_or("unknown"));
    let of_account = takes(PER_ACCOUNT, &account).chain(takes(PER_ACCOUNT_AND_NETWORK, &from));
    take(context, &shard("account", &account), of_account.collect()).await
}

/// One of each; within a shard everybody has counters of their own.
fn takes(limits: Limits, whose: &str) -> impl Iterator<Item = Take> {
    limits.iter().map(move |&(name, limit, window_seconds)| {
        let policy = Policy { name: name.into(), limit, window_seconds };
        Take { subject: format!("{name}:{whose}"), policy, quantity: 1 }
    })
}

async fn take(context: &Context, shard: &str, takes: Vec<Take>) -> Result<(), Problem> {
    match context.ledger.take(shard, &takes).await {
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
