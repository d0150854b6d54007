use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use platform::{ClientAddress, Context, Timestamp};
use quota::{Policy, Take};
use token::Reason;

/// Refusals of one network that are recorded in a minute, of credentials that name somebody.
const PER_NETWORK: u32 = 10;
/// Refusals of one network for one reason that are recorded in a minute, of credentials that name nobody.
const PER_REASON: u32 = 1;
/// Refusals of all networks that an instance records in a minute.
const PER_INSTANCE: u32 = 100;
/// Of how many networks and reasons an instance remembers what it did not record.
const CAPACITY: usize = 1_024;
const MINUTE: i64 = 60;

/// Bounds how many refusals are recorded: first here, which costs nothing while somebody floods an instance, then by the
/// ledger, which knows of all instances. What is not recorded is counted, and told with the next that is.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Minute>);

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    network: String,
    /// Of a credential that names nobody.
    reason: Option<Reason>,
}

#[derive(Default)]
struct Minute {
    number: i64,
    total: u32,
    seen: HashMap<Kind, Seen>,
}

#[derive(Default)]
struct Seen {
    recorded: u32,
    unrecorded: u64,
}

impl Kind {
    /// A credential that names somebody, whatever is wrong with it.
    pub(crate) fn named(address: Option<IpAddr>) -> Self {
        Self { network: network(address), reason: None }
    }

    /// A credential that names nobody.
    pub(crate) fn nameless(address: Option<IpAddr>, reason: Reason) -> Self {
        Self { network: network(address), reason: Some(reason) }
    }

    fn per_minute(&self) -> u32 {
        if self.reason.is_some() { PER_REASON } else { PER_NETWORK }
    }

    fn policy(&self) -> Policy {
        let name = if self.reason.is_some() { "audit-nameless" } else { "audit-refusals" };
        Policy { name: name.into(), limit: u64::from(self.per_minute()), window_seconds: 60 }
    }

    /// The ledger's counter within the shard that the network is counted in.
    fn subject(&self) -> String {
        let network = &self.network;
        self.reason.map_or_else(
            || format!("audit-refusals:{network}"),
            |reason| format!("audit-nameless:{reason:?}:{network}"),
        )
    }
}

impl Refusals {
    /// Counts a refusal in this instance. If it may be recorded: how many of its kind were not since the last that was.
    pub(crate) fn admit(&self, kind: &Kind, now: Timestamp) -> Option<u64> {
        let mut minute = self.minute();
        minute.turn_to(now.as_second().div_euclid(MINUTE));
        let is_full = minute.total >= PER_INSTANCE;
        if is_full && !minute.seen.contains_key(kind) {
            return None;
        }
        let seen = minute.seen.entry(kind.clone()).or_default();
        if is_full || seen.recorded >= kind.per_minute() {
            seen.unrecorded += 1;
            return None;
        }
        seen.recorded += 1;
        let unrecorded = std::mem::take(&mut seen.unrecorded);
        minute.total += 1;
        Some(unrecorded)
    }

    /// Counts a refusal in the ledger; whether it may be recorded. One that cannot be counted may not. If it may not, it
    /// and the `unrecorded` before it are told with a later one.
    pub(crate) async fn take(&self, kind: &Kind, unrecorded: u64, context: &Context) -> bool {
        let wish = Take { subject: kind.subject(), policy: kind.policy(), quantity: 1 };
        let taken = context.ledger.take(&quota::shard("address", &kind.network), &[wish]).await;
        let is_allowed = taken.is_ok_and(|decision| decision.allowed);
        if !is_allowed && let Some(seen) = self.minute().seen.get_mut(kind) {
            seen.unrecorded += unrecorded + 1;
        }
        is_allowed
    }

    fn minute(&self) -> MutexGuard<'_, Minute> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Minute {
    fn turn_to(&mut self, number: i64) {
        if self.number == number {
            return;
        }
        (self.number, self.total) = (number, 0);
        self.seen.retain(|_, seen| seen.unrecorded > 0);
        if self.seen.len() > CAPACITY {
            self.seen.clear();
        }
        self.seen.values_mut().for_each(|seen| seen.recorded = 0);
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

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_network_has_ten_in_a_minute_and_an_instance_a_hundred() {
        let refusals = Refusals::default();
        let admitted = |network: u8, second| {
            (0..20).filter(|_| refusals.admit(&Kind::named(Some(address(network))), at(second)).is_some()).count()
        };
        assert_eq!(
            (0..12).map(|network| admitted(network, 0)).collect::<Vec<_>>(),
            [[10; 10].as_slice(), &[0, 0]].concat()
        );
        assert_eq!((admitted(1, 59), admitted(1, 60)), (0, 10));
    }

    #[test]
    fn of_credentials_that_name_nobody_one_for_each_reason_is_recorded_and_the_others_are_counted() {
        let refusals = Refusals::default();
        let refuse = |reason, second| refusals.admit(&Kind::nameless(Some(address(1)), reason), at(second));
        assert_eq!(refuse(Reason::NotCompact, 0), Some(0));
        assert_eq!((0..7).filter_map(|_| refuse(Reason::NotCompact, 30)).count(), 0);
        assert_eq!(refuse(Reason::MalformedApiKey, 30), Some(0), "another reason");
        assert_eq!(refuse(Reason::NotCompact, 60), Some(7));
        assert_eq!(refuse(Reason::NotCompact, 600), Some(0));
    }

    #[test]
    fn what_is_remembered_of_networks_has_an_end() {
        let refusals = Refusals::default();
        for minute in 0..100 {
            for last in 0..=255 {
                for _ in 0..2 {
                    let third = u8::try_from(minute).unwrap();
                    let kind = Kind::nameless(Some(IpAddr::from([192, 0, third, last])), Reason::NotBearer);
                    refusals.admit(&kind, at(minute * MINUTE));
                }
            }
            assert!(refusals.minute().seen.len() <= CAPACITY + usize::try_from(PER_INSTANCE).unwrap());
        }
    }

    #[test]
    fn the_ledger_counts_for_all_instances_and_what_it_refuses_is_told_later() {
        let host = Host::new();
        let (one, other) = (Refusals::default(), Refusals::default());
        let kind = Kind::nameless(Some(address(1)), Reason::NotBearer);
        let take = |refusals: &Refusals| {
            let unrecorded = refusals.admit(&kind, host.clock.now())?;
            host.block_on(refusals.take(&kind, unrecorded, &host.context())).then_some(unrecorded)
        };
        assert_eq!((take(&one), take(&other), take(&other)), (Some(0), None, None));
        host.clock.advance(std::time::Duration::from_mins(1));
        assert_eq!(take(&other), Some(2));
        let named = Kind::named(Some(address(1)));
        let admitted = (0..12).filter(|_| host.block_on(Refusals::default().take(&named, 0, &host.context())));
        assert_eq!(admitted.count(), 10);
    }
}
