//! What callers may use, what is left of it, and what organizations set in place of the defaults: `/v1/limits`.
//!
//! - `GET /v1/limits`: the caller's own limits.
//! - `GET`, `PUT`, `DELETE /v1/limits/{subject}`: what an organization sets for itself (`org`), a member (`user:<id>`) or a
//!   key (`key:<id>`). Postgres keeps it and decides who may; the ledger, which counts, is told.
//! - `POST /v1/limits/check`: services take from the limits of whom they serve.
//!
//! Where limits stand only the ledger knows: without it each of these is a 503.

mod check;
mod in_force;
mod limit;
mod overrides;
mod own;
mod shown;
mod stored;
mod subject;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use audit::Origin;
use front_door::{Function, segments, uncached_json};
use http::request::Parts;
use http::{Method, StatusCode};
use limits::Availability;
use platform::{Body, Configuration, Context, Request, Response};
use problem::{Problem, kinds};
use serde::Serialize;
use serde::de::DeserializeOwned;
use supabase::Supabase;
use token::{Authenticator, Caller, Sent};

use crate::overrides::Desk;
use crate::subject::Subject;

/// What a body may be: nothing here is large.
const BODY: json_body::Limits = json_body::Limits { bytes: 16 * 1024, time: Duration::from_secs(10) };

/// The function behind `/v1/limits`.
pub struct RateLimit {
    limits: limits::Config,
    availability: Availability,
    supabase: Supabase,
    authenticator: Arc<Authenticator>,
    audit: Arc<audit::Recorder>,
}

impl Function for RateLimit {
    async fn read(read: &mut Configuration<'_>) -> Option<Self> {
        let token = token::Config::read(read).await;
        let supabase = supabase::Config::read(read).await;
        let limits = limits::Config::read(read).await;
        let authenticator = Arc::new(Authenticator::new(token?));
        Some(Self::new(limits?, Supabase::new(supabase?), authenticator))
    }

    async fn answer(&self, request: Request, context: &Context) -> Result<Response, Problem> {
        let origin = Origin::of(&request);
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        match (segments(&path).as_slice(), &head.method) {
            (["v1", "limits"], &Method::GET) => {
                own::show(self, &self.caller(&head, origin, context).await?, context).await
            }
            (["v1", "limits"], _) => Err(Problem::method_not_allowed("GET, HEAD")),
            (["v1", "limits", "check"], &Method::POST) => check::check(self, &head, body, context).await,
            (["v1", "limits", "check"], _) => Err(Problem::method_not_allowed("POST")),
            (["v1", "limits", subject], &(Method::GET | Method::PUT | Method::DELETE)) => {
                let caller = self.caller(&head, origin, context).await?;
                let desk = Desk::of(self, &caller, Subject::parse(subject)?, context)?;
                match head.method {
                    Method::PUT => desk.replace(&head, body).await,
                    Method::DELETE => desk.take_back().await,
                    _ => desk.show().await,
                }
            }
            (["v1", "limits", _], _) => Err(Problem::method_not_allowed("DELETE, GET, HEAD, PUT")),
            _ => Err(kinds::NOT_FOUND.into()),
        }
    }
}

impl RateLimit {
    /// For callers that `authenticator` knows; `limits` hold where an organization has set none.
    pub fn new(limits: limits::Config, supabase: Supabase, authenticator: Arc<Authenticator>) -> Self {
        let audit = audit::Recorder::new(supabase.clone());
        Self { limits, availability: Availability::default(), supabase, authenticator, audit }
    }

    /// Writes the audit events that a database which was away has left behind. For the scheduled trigger.
    pub async fn flush(&self, context: &Context) {
        self.audit.write(context).await;
    }

    /// Who sent this. A refusal is recorded.
    async fn caller(&self, head: &Parts, origin: Origin, context: &Context) -> Result<Caller, Problem> {
        let caller = self.authenticator.authenticate(Sent::of(head), context).await;
        let caller =
            caller.inspect_err(|refusal| self.audit.record_refusal(refusal, &head.headers, origin, context))?;
        Ok(caller)
    }
}

/// A body as a `T`.
async fn read<T: DeserializeOwned>(head: &Parts, body: Body, context: &Context) -> Result<T, Problem> {
    json_body::parse(&json_body::read(&head.headers, body, BODY, &*context.clock).await?)
}

/// An answer is true for this moment.
fn answer(body: &impl Serialize) -> Result<Response, Problem> {
    uncached_json(StatusCode::OK, body)
}
