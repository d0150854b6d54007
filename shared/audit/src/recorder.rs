use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use platform::{Context, Timestamp};
use serde::Serialize;
use serde_json::Value;
use supabase::{Error, Identity, RECORD_AUDIT, Supabase};
use token::{Claimed, Reason, Refusal};

use crate::refusals::{Kind, Refusals};
use crate::{ActorKind, Event, Origin, Outcome};

/// How many events may wait. Of a kilobyte each: two megabytes at most.
const QUEUE: usize = 2_048;
/// What one call takes.
const BATCH: usize = 100;
/// How long a writer lets events gather.
const GATHER: Duration = Duration::from_millis(50);
/// Hosts end background work some 30 s after the answer.
const BACK_OFF: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// How long a writer that is not heard of counts as writing; longer than a call and its pause take.
const LEASE: Duration = Duration::from_secs(12);

/// A bounded queue of events and at most one writer at a time. One per instance and function.
///
/// An event leaves the queue when the database has it, or refuses it for good. A writer that is torn down without a trace
/// leaves everything there, and after its lease the next one starts over: what is sent twice is recorded once.
pub struct Recorder {
    supabase: Supabase,
    refusals: Refusals,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order of their numbers.
    queue: VecDeque<(u64, Arc<Event>)>,
    added: u64,
    dropped: u64,
    /// Until then somebody writes; the number tells whether it is still the same one.
    writing: Option<(u64, Timestamp)>,
    writers: u64,
}

#[derive(Serialize)]
struct Events<'a> {
    events: Vec<&'a Event>,
}

impl Recorder {
    /// A recorder with nothing to write.
    pub fn new(supabase: Supabase) -> Arc<Self> {
        Arc::new(Self { supabase, refusals: Refusals::default(), state: Mutex::default() })
    }

    /// Adds an event; it is written in the background.
    pub fn record(self: &Arc<Self>, event: Event, context: &Context) {
        self.add(event);
        let (recorder, background) = (Arc::clone(self), context.clone());
        context.background.spawn(Box::pin(async move { recorder.write(&background).await }));
    }

    /// Records that the credential in `headers` was refused, unless it is a token that was good until it expired. Whom it
    /// names is not proven, so that the event is in no organization's log. So that a flood does not fill the table, of one
    /// network at most 10 are recorded in a minute, and of those that name nobody one for each reason; the next event tells
    /// how many were not.
    pub fn record_refusal(self: &Arc<Self>, refusal: &Refusal, headers: &HeaderMap, origin: Origin, context: &Context) {
        self.refuse(refusal, token::claimed(headers), None, origin, context);
    }

    /// The same of a token that came in the request's body as `parameter`.
    pub fn record_refused_parameter(
        self: &Arc<Self>,
        refusal: &Refusal,
        (parameter, token): (&'static str, &str),
        origin: Origin,
        context: &Context,
    ) {
        self.refuse(refusal, token::claimed_by(token), Some(parameter), origin, context);
    }

    /// Records that something was denied to somebody who is known, within the same bounds.
    pub fn record_denial(self: &Arc<Self>, event: Event, context: &Context) {
        self.record_within(Kind::named(event.origin.address), event, context);
    }

    fn refuse(
        self: &Arc<Self>,
        refusal: &Refusal,
        claimed: Option<Claimed>,
        parameter: Option<&'static str>,
        origin: Origin,
        context: &Context,
    ) {
        let Refusal::Invalid(reason) = refusal else { return };
        if *reason == Reason::Expired {
            return;
        }
        let kind = match &claimed {
            Some(_) => Kind::named(origin.address),
            None => Kind::nameless(origin.address, *reason),
        };
        let event = refused(*reason, claimed, origin, context);
        self.record_within(kind, with(event, "parameter", parameter), context);
    }

    fn record_within(self: &Arc<Self>, kind: Kind, event: Event, context: &Context) {
        let Some(unrecorded) = self.refusals.admit(&kind, context.clock.now()) else { return };
        let event = with(event, "unrecorded_before", Some(unrecorded).filter(|count| *count > 0));
        let (recorder, background) = (Arc::clone(self), context.clone());
        context.background.spawn(Box::pin(async move {
            if recorder.refusals.take(&kind, unrecorded, &background).await {
                recorder.add(event);
                recorder.write(&background).await;
            }
        }));
    }

    fn add(&self, event: Event) {
        let mut state = self.state();
        if state.queue.len() >= QUEUE {
            state.queue.pop_front();
            state.dropped += 1;
            tracing::error!(dropped = state.dropped, "an audit event is lost: the queue is full");
        }
        state.added += 1;
        let number = state.added;
        state.queue.push_back((number, Arc::new(event)));
    }

    /// Writes until the queue is empty or the database stays away. Nothing if somebody else is writing. Also for the
    /// scheduled trigger, which writes what a database that was away has left behind.
    pub async fn write(&self, context: &Context) {
        let Some(writer) = self.begin(context.clock.now()) else { return };
        let mut pauses = BACK_OFF.iter();
        context.clock.sleep(GATHER).await;
        while let Some((last, events)) = self.next(writer, context.clock.now()) {
            let outcome = self.send(&events, context).await;
            match outcome {
                Ok(()) => {
                    self.forget(last);
                    pauses = BACK_OFF.iter();
                }
                Err(error) if is_temporary(&error) => {
                    tracing::warn!(%error, count = events.len(), "audit events could not be written");
                    let Some(pause) = pauses.next() else { break };
                    context.clock.sleep(*pause).await;
                }
                Err(error) => {
                    tracing::error!(%error, count = events.len(), "audit events are lost: the database refuses them");
                    self.forget(last);
                }
            }
        }
        self.end(writer);
    }

    async fn send(&self, events: &[Arc<Event>], context: &Context) -> Result<(), Error> {
        let events = Events { events: events.iter().map(|event| &**event).collect() };
        // As the edge: nobody writes the log for themselves.
        let recorded: Value = self.supabase.rpc(context, RECORD_AUDIT, &events, Identity::Service).await?;
        tracing::debug!(%recorded, "audit events were written");
        Ok(())
    }

    fn begin(&self, now: Timestamp) -> Option<u64> {
        let mut state = self.state();
        let taken = state.writing.is_some_and(|(_, until)| now < until);
        if taken || state.queue.is_empty() {
            return None;
        }
        state.writers += 1;
        state.writing = Some((state.writers, now.saturating_add(LEASE)));
        Some(state.writers)
    }

    /// The oldest events with the number of the last, and time to write them. None if there are none, which ends the
    /// writing at the same moment, or if another writer has taken over.
    fn next(&self, writer: u64, now: Timestamp) -> Option<(u64, Vec<Arc<Event>>)> {
        let mut state = self.state();
        if state.writing.is_none_or(|(number, _)| number != writer) {
            return None;
        }
        let batch = state.queue.iter().take(BATCH);
        let (numbers, events): (Vec<_>, Vec<_>) = batch.map(|(number, event)| (*number, Arc::clone(event))).unzip();
        state.writing = numbers.last().map(|_| (writer, now.saturating_add(LEASE)));
        numbers.last().map(|last| (*last, events))
    }

    /// The events up to number `last` are done with.
    fn forget(&self, last: u64) {
        let mut state = self.state();
        while state.queue.front().is_some_and(|(number, _)| *number <= last) {
            state.queue.pop_front();
        }
    }

    fn end(&self, writer: u64) {
        let mut state = self.state();
        if state.writing.is_some_and(|(number, _)| number == writer) {
            state.writing = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(reason: Reason, claimed: Option<Claimed>, origin: Origin, context: &Context) -> Event {
    let mut event = Event::new("credential.refused", Outcome::Denied, origin, context);
    event = event.detail("reason", reason.to_string());
    match claimed {
        Some(Claimed::ApiKey { prefix }) => {
            event.actor_kind = ActorKind::Key;
            event.detail("key_prefix", prefix)
        }
        Some(Claimed::User(user)) => event.detail("subject", user.to_string()),
        None => event,
    }
}

fn with(event: Event, name: &str, value: Option<impl Into<Value>>) -> Event {
    match value {
        Some(value) => event.detail(name, value),
        None => event,
    }
}

/// Whether the same batch may be taken a little later. A key that is wrong waits for an operator.
fn is_temporary(error: &Error) -> bool {
    match error {
        Error::Unavailable { .. } | Error::Timeout | Error::Contention { .. } | Error::KeyRefused { .. } => true,
        Error::Failed { status, .. } => *status >= 500,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::AUTHORIZATION;
    use platform::SendError;
    use platform::fakes::Host;
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;

    const KEY: &str = "qlp_test_0123456789ABCDEFGHIJKLMNOPQ3BQI4O";
    const RECORDED: &str = r#"{"recorded": 1}"#;

    fn recorder() -> Arc<Recorder> {
        Recorder::new(Supabase::new(supabase::Config {
            url: "https://x.supabase.co".parse().unwrap(),
            publishable_key: SecretString::from("sb_publishable_p"),
            secret_key: Some(SecretString::from("sb_secret_s")),
        }))
    }

    fn event(host: &Host) -> Event {
        Event::new("session.created", Outcome::Success, Origin::default(), &host.context())
    }

    /// How many events each call to the database had.
    fn written(host: &Host) -> Vec<usize> {
        let calls = host.http.requests();
        let events = |call: &platform::fakes::Recorded| {
            let body: Value = serde_json::from_str(call.text()).unwrap();
            assert!(call.uri.path().ends_with("/record_audit"));
            body["payload"]["events"].as_array().unwrap().len()
        };
        calls.iter().map(events).collect()
    }

    fn run(host: &Host) {
        host.block_on(host.background.run_all());
    }

    #[test]
    fn events_that_come_together_are_written_together_and_beside_the_requests() {
        let (host, recorder) = (Host::new(), recorder());
        host.http.reply_json(200, RECORDED);
        for _ in 0..3 {
            recorder.record(event(&host), &host.context());
        }
        assert_eq!(written(&host), [0; 0]);
        run(&host);
        assert_eq!(written(&host), [3]);
        run(&host);
        assert_eq!(written(&host), [3]);
    }

    #[test]
    fn a_call_has_at_most_a_hundred_events() {
        let (host, recorder) = (Host::new(), recorder());
        (0..3).for_each(|_| host.http.reply_json(200, RECORDED));
        (0..250).for_each(|_| recorder.record(event(&host), &host.context()));
        run(&host);
        assert_eq!(written(&host), [100, 100, 50]);
    }

    #[test]
    fn what_a_database_that_is_away_does_not_take_is_written_later_with_the_same_ids() {
        let (host, recorder) = (Host::new(), recorder());
        host.http.handle(|_| async { Err(SendError::Unreachable("down".into())) });
        recorder.record(event(&host), &host.context());
        run(&host);
        let tries = host.http.requests().len();
        assert!(tries > 1, "{tries}");
        host.http.handle(|_| async { Ok(http::Response::new(RECORDED.into())) });
        host.block_on(recorder.write(&host.context()));
        let calls = host.http.requests();
        assert_eq!((calls.len(), calls[tries].text()), (tries + 1, calls[0].text()));
        host.block_on(recorder.write(&host.context()));
        assert_eq!(host.http.requests().len(), tries + 1);
    }

    #[test]
    fn what_the_database_refuses_for_good_is_given_up() {
        let (host, recorder) = (Host::new(), recorder());
        host.http.reply_json(422, r#"{"code": "PT422", "message": "odd", "details": "events/0/id"}"#);
        recorder.record(event(&host), &host.context());
        run(&host);
        recorder.record(event(&host), &host.context());
        host.http.reply_json(200, RECORDED);
        run(&host);
        assert_eq!(written(&host), [1, 1]);
    }

    #[test]
    fn a_full_queue_loses_its_oldest_events() {
        let (host, recorder) = (Host::new(), recorder());
        (0..QUEUE + 7).for_each(|_| recorder.add(event(&host)));
        let state = recorder.state();
        assert_eq!((state.queue.len(), state.dropped), (QUEUE, 7));
        assert_eq!(state.queue.front().map(|(number, _)| *number), Some(8));
    }

    #[test]
    fn a_writer_that_is_not_heard_of_is_followed_by_another_after_its_lease() {
        let (host, recorder) = (Host::new(), recorder());
        recorder.add(event(&host));
        let lost = recorder.begin(host.clock.now()).unwrap();
        assert_eq!(recorder.begin(host.clock.now()), None);
        host.clock.advance(LEASE);
        host.http.reply_json(200, RECORDED);
        host.block_on(recorder.write(&host.context()));
        assert_eq!((written(&host), recorder.next(lost, host.clock.now())), (vec![1], None));
    }

    fn refuse(host: &Host, recorder: &Arc<Recorder>, refusal: &Refusal, credential: &str) {
        let value = HeaderValue::from_str(&format!("Bearer {credential}")).unwrap();
        let headers = [(AUTHORIZATION, value)].into_iter().collect();
        let origin = Origin { address: Some("192.0.2.7".parse().unwrap()), ..Origin::default() };
        recorder.record_refusal(refusal, &headers, origin, &host.context());
    }

    #[test]
    fn a_refused_key_is_recorded_by_its_beginning_alone() {
        let (host, recorder) = (Host::new(), recorder());
        host.http.reply_json(200, RECORDED);
        refuse(&host, &recorder, &Reason::UnknownApiKey.into(), KEY);
        run(&host);
        let calls = host.http.requests();
        let body: Value = serde_json::from_str(calls[0].text()).unwrap();
        let event = &body["payload"]["events"][0];
        assert_eq!((&event["action"], &event["outcome"]), (&"credential.refused".into(), &"denied".into()));
        assert_eq!(event["details"]["key_prefix"], "qlp_test_0123");
        assert_eq!((&event["address"], &event["org_id"]), (&"192.0.2.7".into(), &Value::Null));
        assert!(!calls[0].text().contains(&KEY[13..]));
    }

    #[test]
    fn a_flood_of_refusals_from_one_network_is_recorded_ten_times_in_a_minute() {
        let (host, recorder) = (Host::new(), recorder());
        (0..2).for_each(|_| host.http.reply_json(200, RECORDED));
        (0..1000).for_each(|_| refuse(&host, &recorder, &Reason::UnknownApiKey.into(), KEY));
        run(&host);
        assert_eq!(written(&host), [10]);
        host.clock.advance(Duration::from_mins(1));
        (0..1000).for_each(|_| refuse(&host, &recorder, &Reason::UnknownApiKey.into(), KEY));
        run(&host);
        assert_eq!(written(&host), [10, 10]);
    }

    #[test]
    fn of_a_flood_of_credentials_that_name_nobody_one_is_recorded_and_the_next_tells_how_many_were_not() {
        let (host, recorder) = (Host::new(), recorder());
        (0..2).for_each(|_| host.http.reply_json(200, RECORDED));
        let flood = || (0..1000).for_each(|_| refuse(&host, &recorder, &Reason::MalformedApiKey.into(), "qlp_test_x"));
        flood();
        run(&host);
        host.clock.advance(Duration::from_mins(1));
        flood();
        run(&host);
        assert_eq!(written(&host), [1, 1]);
        let calls = host.http.requests();
        let details = |call: usize| {
            let body: Value = serde_json::from_str(calls[call].text()).unwrap();
            body["payload"]["events"][0]["details"].clone()
        };
        let reason = "the API key is malformed";
        assert_eq!(details(0), json!({ "reason": reason }));
        assert_eq!(details(1), json!({ "reason": reason, "unrecorded_before": 999 }));
        assert!(calls.iter().all(|call| !call.text().contains("qlp_test_x")));
    }

    #[test]
    fn a_token_in_the_body_is_told_by_its_parameter() {
        let (host, recorder) = (Host::new(), recorder());
        host.http.reply_json(200, RECORDED);
        let refusal = Reason::UnknownApiKey.into();
        recorder.record_refused_parameter(&refusal, ("subject_token", KEY), Origin::default(), &host.context());
        run(&host);
        let body: Value = serde_json::from_str(host.http.requests()[0].text()).unwrap();
        let details = &body["payload"]["events"][0]["details"];
        assert_eq!((&details["parameter"], &details["key_prefix"]), (&"subject_token".into(), &"qlp_test_0123".into()));
    }

    #[test]
    fn what_has_merely_expired_or_is_no_bad_credential_is_not_recorded() {
        let (host, recorder) = (Host::new(), recorder());
        refuse(&host, &recorder, &Reason::Expired.into(), KEY);
        refuse(&host, &recorder, &Refusal::InsufficientScope("llm"), KEY);
        assert!(host.background.is_empty());
    }
}
