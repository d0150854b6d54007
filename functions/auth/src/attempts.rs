use http::header::RETRY_AFTER;
use platform::{ClientAddress, Context};
use problem::{Problem, kinds};
use quota::{Decision, Policy, Take};
use sha2::{Digest as _, Sha256};
use token::api_key;

/// Attempts at one account: 10 per 5 minutes.
const PER_ACCOUNT: (&str, u64, u64) = ("sign-in-account", 10, 300);
/// Attempts from one address: 100 per 5 minutes.
const PER_ADDRESS: (&str, u64, u64) = ("sign-in-address", 100, 300);
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Counts one attempt to prove who someone is; 429 when there have been too many, 503 when they cannot be counted.
///
/// The account is counted whether it exists or not, under a digest, so that the ledger holds no address book.
pub async fn count(context: &Context, account: &str, address: Option<ClientAddress>) -> Result<(), Problem> {
    let account = format!("account:{}", api_key::hex(&Sha256::digest(account.trim().to_lowercase()).into()));
    take(context, &account, PER_ACCOUNT).await?;
    match address {
        Some(address) => take(context, &format!("address:{}", network(address)), PER_ADDRESS).await,
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

/// An IPv6 caller commands a whole /64, so that is what is counted.
fn network(ClientAddress(address): ClientAddress) -> String {
    match address {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn network_of(address: &str) -> String {
        network(ClientAddress(address.parse::<IpAddr>().unwrap()))
    }

    #[test]
    fn counts_an_ipv6_network_as_one_caller() {
        assert_eq!(network_of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(network_of("2001:db8:1:2::1"), network_of("2001:db8:1:2:ffff::9"));
        assert_eq!(network_of("192.0.2.7"), "192.0.2.7");
    }
}
