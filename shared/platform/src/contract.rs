//! The checks that every host's adapters must pass: one suite, from the outside, through a [`Context`].
//!
//! A host's test starts an HTTP peer (`local/simulator` serves one under `/__peer/`), sets the [`VARIABLES`] and asserts
//! that no [`Outcome`] of [`run_all`] has a failure.

mod http;
mod ledger;
mod peer;
mod signatures;
mod stores;
mod streams;
mod time;

pub use peer::Peer;

use std::time::Duration;

use serde_json::json;
use url::Url;

use crate::{BoxFuture, Context, timeout};

/// One rule that a host keeps.
pub struct Check {
    /// The rule, as a sentence.
    pub name: &'static str,
    run: fn(Context, Peer) -> BoxFuture<'static, Verdict>,
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The rule.
    pub name: &'static str,
    /// What was seen instead, if it does not hold.
    pub failure: Option<String>,
}

/// The variables that the host under test must have, by name and value.
///
/// A host whose cache keeps entries for a minimum time also sets `CONTRACT_MINIMUM_TTL` (seconds); where that is more
/// than 5, expiry is not waited for.
pub const VARIABLES: &[(&str, &str)] = &[("CONTRACT_VALUE", "a b=c, \"ü\""), ("CONTRACT_EMPTY", "")];

/// No check needs longer; one that does has failed.
const PATIENCE: Duration = Duration::from_mins(1);

type Verdict = Result<(), String>;

macro_rules! checks {
    ($($name:literal => $run:path;)*) => {
        &[$(Check { name: $name, run: |context, peer| Box::pin($run(context, peer)) }),*]
    };
}

const CHECKS: &[Check] = checks! {
    "method, path, query, headers and body arrive as sent" => http::arrives_as_sent;
    "repeated request headers arrive in order" => http::repeated_request_headers_arrive;
    "binary bodies of every byte come back unchanged" => http::binary_bodies_come_back;
    "a body of no bytes arrives empty" => http::empty_bodies_arrive_empty;
    "every status is an answer" => http::every_status_is_an_answer;
    "redirects are not followed" => http::redirects_are_not_followed;
    "a refused connection is a temporary error" => http::a_refused_connection_is_temporary;
    "a relative URI is refused for good" => http::a_relative_uri_is_refused;
    "a deadline ends the wait for a peer that never answers" => http::a_deadline_ends_the_wait;
    "exchanges run beside each other" => http::exchanges_run_beside_each_other;
    "a streamed upload arrives whole" => streams::an_upload_arrives_whole;
    "a chunk arrives before the stream has ended" => streams::a_chunk_arrives_before_the_end;
    "chunks are not merged" => streams::chunks_are_not_merged;
    "a body that is cut off is an error and not an end" => streams::a_cut_body_is_an_error;
    "dropping a body cancels the exchange" => streams::dropping_a_body_cancels;
    "the clock shows the present and moves on" => time::the_clock_moves_on;
    "a sleep ends after its time" => time::a_sleep_ends_after_its_time;
    "sleeps run beside each other" => time::sleeps_run_beside_each_other;
    "no two random buffers are alike, whatever their length" => time::random_bytes_differ;
    "ids are UUIDs version 7 and sort by time" => time::ids_sort_by_time;
    "background work is done" => time::background_work_is_done;
    "variables have their values, and none when unset or empty" => stores::variables_have_their_values;
    "the cache keeps, replaces and forgets" => stores::the_cache_keeps_replaces_and_forgets;
    "the cache keeps any bytes" => stores::the_cache_keeps_any_bytes;
    "the cache forgets what has expired" => stores::the_cache_forgets_what_has_expired;
    "of 1,000 takes at once exactly the limit passes" => ledger::exactly_the_limit_passes;
    "all policies are taken or none" => ledger::all_or_none;
    "shards are apart" => ledger::shards_are_apart;
    "of 1,000 calls at once as many begin as a budget allows" => ledger::exactly_the_budget_is_reserved;
    "what a call held comes back, once" => ledger::what_is_settled_comes_back_once;
    "an account keeps rules, and what was spent" => ledger::rules_are_kept_and_what_was_spent_stays;
    "a good ES256 signature is accepted and others are not" => signatures::es256;
    "a good RS256 signature is accepted and others are not" => signatures::rs256;
    "an unusable key is an error" => signatures::an_unusable_key_is_an_error;
    "what is signed can be verified" => signatures::what_is_signed_can_be_verified;
    "a private key signs only with the public half that belongs to it" => signatures::halves_belong_together;
};

/// All checks, in the order in which they run.
pub fn checks() -> &'static [Check] {
    CHECKS
}

/// Runs every check, one after the other, against `peer_url` (scheme, host and port of the HTTP peer).
pub async fn run_all(context: Context, peer_url: Url) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for check in checks() {
        outcomes.push(check.run(&context, &peer_url).await);
    }
    outcomes
}

/// `[{"name": …, "failure": null | …}, …]`, for hosts that answer with the result.
pub fn to_json(outcomes: &[Outcome]) -> String {
    let entries: Vec<_> =
        outcomes.iter().map(|outcome| json!({"name": outcome.name, "failure": outcome.failure})).collect();
    json!(entries).to_string()
}

impl Check {
    /// Runs this check.
    pub async fn run(&self, context: &Context, peer_url: &Url) -> Outcome {
        let peer = Peer::new(context.clone(), peer_url.clone());
        let verdict = timeout(&*context.clock, PATIENCE, (self.run)(context.clone(), peer)).await;
        let failure = verdict.unwrap_or_else(|_| Err("it did not end within a minute".to_owned())).err();
        Outcome { name: self.name, failure }
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise()) }
}
