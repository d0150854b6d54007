use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use platform::{ClientAddress, Context, Timestamp};
use quota::{Policy, Take};

/// Refusals of one network that are recorded in a minute.
const PER_NETWORK: u32 = 10;
/// Refusals of all networks that an instance records in a minute.
const PER_INSTANCE: u32 = 100;
const MINUTE: i64 = 60;

/// Bounds how many refusals are recorded: first here, which costs nothing while somebody floods an instance, then by the
/// ledger, which knows of all instances.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Minute>);

#[derive(Default)]
struct Minute {
    number: i64,
    total: u32,
    /// At most as many as `PER_INSTANCE`.
    networks: HashMap<String, u32>,
}

impl Refusals {
    /// Counts a refusal in this instance; whether it may be recorded.
    pub(crate) fn admit(&self, address: Option<IpAddr>, now: Timestamp) -> bool {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = now.as_second().div_euclid(MINUTE);
        if minute.number != number {
            *minute = Minute { number, ..Minute::default() };
        }
        let network = network(address);
        let seen = minute.networks.get(&network).copied().unwrap_or(0);
        if minute.total >= PER_INSTANCE || seen >= PER_NETWORK {
            return false;
        }
        minute.total += 1;
        minute.networks.insert(network, seen + 1);
        true
    }

    /// Counts a refusal in the ledger; whether it may be recorded. One that cannot be counted may not.
    pub(crate) async fn take(&self, address: Option<IpAddr>, context: &Context) -> bool {
        let policy = Policy { name: "audit-refusals".into(), limit: u64::from(PER_NETWORK), window_seconds: 60 };
        let wish = Take { subject: "audit-refusals".into(), policy, quantity: 1 };
        match context.ledger.take(&format!("address:{}", network(address)), &[wish]).await {
            Ok(decision) => decision.allowed,
            Err(error) => {
                tracing::warn!(%error, "a refused credential is not recorded: it cannot be counted");
                false
            }
        }
    }
}

fn network(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "unknown".into(), |address| ClientAddress(address).network())
}

#[cfg(test)]
mod tests {
    use platform::fakes::Host;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_network_has_ten_in_a_minute_and_an_instance_a_hundred() {
        let refusals = Refusals::default();
        let admitted = |network: u8, second| {
            (0..20).filter(|_| refusals.admit(Some(IpAddr::from([192, 0, 2, network])), at(second))).count()
        };
        assert_eq!(
            (0..12).map(|network| admitted(network, 0)).collect::<Vec<_>>(),
            [[10; 10].as_slice(), &[0, 0]].concat()
        );
        assert_eq!((admitted(1, 59), admitted(1, 60)), (0, 10));
    }

    #[test]
    fn the_ledger_counts_for_all_instances() {
        let host = Host::new();
        let take = || {
            let (refusals, context) = (Refusals::default(), host.context());
            host.block_on(refusals.take(Some(IpAddr::from([192, 0, 2, 1])), &context))
        };
        assert_eq!((0..12).filter(|_| take()).count(), 10);
    }
}
