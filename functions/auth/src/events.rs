//! What signing up, in and out leaves in the audit log.

use std::sync::Arc;

use audit::{ActorKind, Event, Origin, Outcome, Recorder, account_digest};
use platform::Context;
use supabase::{AuthError, Session, SignUp};
use token::{ExchangeError, Principal};

/// A sign-up, unless Supabase Auth gave no usable answer. Whether an address was free is not told to the log either when
/// it must be confirmed first: then nobody is known for certain.
pub fn signed_up(
    recorder: &Arc<Recorder>,
    origin: Origin,
    email: &str,
    outcome: &Result<SignUp, AuthError>,
    context: &Context,
) {
    match outcome {
        Ok(SignUp::Session(session)) => {
            recorder.record(by_owner("account.created", origin, session, context), context);
        }
        Ok(SignUp::ConfirmationPending { .. }) => {
            let event = Event::new("account.requested", Outcome::Success, origin, context);
            recorder.record(event.detail("account_digest", account_digest(email)), context);
        }
        Err(error) => failed("account.failed", recorder, origin, email, error, context),
    }
}

/// A sign-in with a password, unless Supabase Auth gave no usable answer.
pub fn signed_in(
    recorder: &Arc<Recorder>,
    origin: Origin,
    email: &str,
    outcome: &Result<Session, AuthError>,
    context: &Context,
) {
    match outcome {
        Ok(session) => recorder.record(by_owner("session.created", origin, session, context), context),
        Err(error) => failed("session.failed", recorder, origin, email, error, context),
    }
}

/// A sign-out.
pub fn signed_out(recorder: &Arc<Recorder>, origin: Origin, principal: &Principal, context: &Context) {
    let mut event = Event::new("session.ended", Outcome::Success, origin, context);
    (event.actor_id, event.org_id) = (Some(principal.user_id), principal.org_id);
    recorder.record(event, context);
}

/// A token that was asked for in exchange and denied: the subject is known, and asked for more than it has.
pub fn exchange_denied(
    recorder: &Arc<Recorder>,
    origin: Origin,
    subject: &Principal,
    error: &ExchangeError,
    context: &Context,
) {
    let mut event = Event::new("token.denied", Outcome::Denied, origin, context).detail("reason", error.to_string());
    (event.actor_id, event.org_id) = (Some(subject.user_id), subject.org_id);
    if let Some(key) = subject.key_id {
        event.actor_kind = ActorKind::Key;
        event = event.detail("key_id", key.to_string());
    }
    recorder.record_denial(event, context);
}

/// What somebody did who has proved who they are.
fn by_owner(action: &'static str, origin: Origin, session: &Session, context: &Context) -> Event {
    let mut event = Event::new(action, Outcome::Success, origin, context);
    if let Some((user, org)) = token::issued_to(&session.access_token) {
        (event.actor_id, event.org_id) = (Some(user), org);
    }
    event
}

/// Nobody has proved who they are, so that the event is in no organization's log and has a digest of the account.
fn failed(
    action: &'static str,
    recorder: &Arc<Recorder>,
    origin: Origin,
    email: &str,
    error: &AuthError,
    context: &Context,
) {
    if matches!(error, AuthError::Upstream(_)) {
        return;
    }
    let event = Event::new(action, Outcome::Failure, origin, context);
    let event = event.detail("account_digest", account_digest(email)).detail("reason", error.to_string());
    recorder.record(event, context);
}
