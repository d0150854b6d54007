//! `GET`, `PUT`, `DELETE /v1/limits/{subject}`

use http::StatusCode;
use http::request::Parts;
use limits::Member;
use platform::{Body, Context, Response};
use problem::{Problem, kinds};
use quota::account::{self, Rule};
use serde::Deserialize;
use serde_json::json;
use token::{Caller, Tier};
use uuid::Uuid;

use crate::in_force::{self, InForce};
use crate::limit::{self, Limit};
use crate::stored::{Store, Stored};
use crate::subject::Subject;
use crate::{RateLimit, answer, read, shown};

/// How often what is stored is put into force again because somebody has changed it meanwhile.
const ATTEMPTS: usize = 3;

/// All limits of a subject that differ from the defaults.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    limits: Vec<Limit>,
}

/// Where somebody sets the limits of a subject in their organization.
pub struct Desk<'a> {
    function: &'a RateLimit,
    store: Store,
    subject: Subject,
    tier: Tier,
    context: &'a Context,
}

impl<'a> Desk<'a> {
    /// For a signed-in user who acts in an organization; an API key, an anonymous user and a user without an organization
    /// are refused with 403. Whether the user may is for the database to say.
    pub fn of(
        function: &'a RateLimit,
        caller: &Caller,
        subject: Subject,
        context: &'a Context,
    ) -> Result<Self, Problem> {
        let denied = |detail: &str| Problem::new(kinds::PERMISSION_DENIED).detail(detail);
        caller.require_identity()?;
        let user_token =
            caller.access_token().ok_or_else(|| denied("This needs the user: sign in and use that access token."))?;
        let org = caller
            .principal
            .org_id
            .ok_or_else(|| denied("Limits are set in an organization, and the access token is for none."))?;
        let store = Store { supabase: function.supabase.clone(), user_token, org, context: context.clone() };
        Ok(Self { function, store, subject, tier: caller.principal.tier, context })
    }

    /// What is set, and what is left of all that holds. Where the ledger keeps something else, it is told again.
    pub async fn show(&self) -> Result<Response, Problem> {
        let stored = self.store.find(self.subject).await?;
        let in_force = in_force::look(self.function, &self.account(), vec![self.counted()], self.context).await?;
        if in_force.keeps(&self.rules(&stored)) {
            return self.told(&stored, &in_force);
        }
        tracing::warn!(subject = %self.subject, "the ledger kept other limits than are stored");
        let (stored, in_force) = self.put_into_force(stored).await?;
        self.told(&stored, &in_force)
    }

    /// Sets all limits of the subject, at once in force.
    pub async fn replace(&self, head: &Parts, body: Body) -> Result<Response, Problem> {
        let Wish { limits } = read(head, body, self.context).await?;
        limit::check(&limits)?;
        let stored = self.store.set(self.subject, &limits).await?;
        let (stored, in_force) = self.put_into_force(stored).await?;
        self.told(&stored, &in_force)
    }

    /// Goes back to the defaults.
    pub async fn take_back(&self) -> Result<Response, Problem> {
        let stored = self.store.set(self.subject, &[]).await?;
        self.put_into_force(stored).await?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    /// Tells the ledger what is stored. Two who set limits may come to it in the other order: each looks afterwards what
    /// is stored by then, so that whoever comes last has told it what was stored last.
    async fn put_into_force(&self, mut stored: Stored) -> Result<(Stored, InForce), Problem> {
        for _ in 0..ATTEMPTS {
            let (account, rules) = (self.account(), self.rules(&stored));
            let kept = in_force::keep(self.function, &account, self.counted(), rules, self.context).await;
            let in_force = kept.map_err(not_in_force)?;
            let present = self.store.find(self.subject).await?;
            if present.rules == stored.rules {
                return Ok((present, in_force));
            }
            stored = present;
        }
        Err(not_in_force(limits::unavailable(self.context)))
    }

    fn told(&self, stored: &Stored, in_force: &InForce) -> Result<Response, Problem> {
        answer(&json!({
            "subject": self.subject.to_string(),
            "version": stored.version,
            "updated_by": stored.updated_by,
            "updated_at": stored.updated_at,
            "limits": shown::show(in_force),
        }))
    }

    fn account(&self) -> String {
        format!("org:{}", self.store.org)
    }

    fn rules(&self, stored: &Stored) -> Vec<Rule> {
        stored.rules.iter().map(|limit| limit.rule(self.subject.level())).collect()
    }

    /// The subject as the ledger counts it, with the defaults that its requests come with.
    fn counted(&self) -> account::Subject {
        let name = self.subject.name_in(self.store.org).into();
        let user = if let Subject::User(user) = self.subject { user } else { Uuid::nil() };
        let member = Member { user, org: Some(self.store.org), key: None, tier: self.tier };
        let mut subjects = member.subjects(&self.function.limits).into_iter();
        subjects.find(|subject| subject.name == name).unwrap_or(account::Subject { name, rules: Vec::new() })
    }
}

/// The database has it and the ledger may not.
fn not_in_force(problem: Problem) -> Problem {
    problem.detail("What is stored may not be in force yet: the ledger does not answer. Repeat the request.")
}
