//! Tries one way after the other until one answers; beside a slow one the next, where that is wanted.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use http::HeaderMap;
use http::header::RETRY_AFTER;
use platform::{Context, Response, Timestamp};
use problem::{Problem, kinds};

use crate::attempt::{self, Failure, Next, Question};
use crate::breakers::Breakers;
use crate::call::Call;
use crate::routing::Way;
use crate::usage_event::Status;
use crate::{LlmProxy, answer_headers};

/// How often a call is sent at most, whatever its routes.
const MOST_TRIES: u32 = 4;
/// How often on the same route.
const TRIES_PER_ROUTE: u32 = 2;
/// The shortest pause before the same route is tried again; by chance up to twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest that a provider may ask to wait for; then the next route is tried instead.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The ways there are, and how often, and until when, a call may be tried on them.
pub(crate) struct Failover<'a> {
    asker: Asker<'a>,
    ways: &'a [Way<'a>],
    /// Which of them was asked beside another, out of its turn.
    hedge: Option<usize>,
    left: u32,
    per_route: u32,
    deadline: Timestamp,
    /// After which a try that has not answered gets one beside it. Nothing once there was one.
    hedge_after: Option<Duration>,
}

/// Who sends a question.
#[derive(Clone, Copy)]
struct Asker<'a> {
    question: &'a Question<'a>,
    breakers: &'a Breakers,
    context: &'a Context,
}

/// An answer of which the caller may have the first text; or the call again, and why.
type Outcome = Result<Response, Box<(Call, Failure)>>;

impl<'a> Failover<'a> {
    /// Nothing has been tried so far. Each of the caller's own `retries` spares one of ours.
    pub(crate) fn new(
        proxy: &'a LlmProxy,
        question: &'a Question<'a>,
        ways: &'a [Way<'a>],
        retries: u32,
        context: &'a Context,
    ) -> Self {
        Self {
            asker: Asker { question, breakers: &proxy.breakers, context },
            ways,
            hedge: None,
            left: MOST_TRIES,
            per_route: TRIES_PER_ROUTE.saturating_sub(retries).max(1),
            deadline: context.clock.now().saturating_add(question.limits.tries()),
            hedge_after: proxy.config.hedge_after,
        }
    }

    /// What the first way answers that does, within one deadline; else what the last try has come to.
    pub(crate) async fn answer(mut self, mut call: Call) -> Result<Response, Problem> {
        let context = self.asker.context;
        let mut last = None;
        for (index, way) in self.ways.iter().enumerate() {
            for number in 0..self.per_route {
                let in_time = last.is_none() || self.is_in_time();
                if self.hedge == Some(index) || !in_time || !self.admits(way) {
                    break;
                }
                let failure = match self.attempt(index, way, call).await {
                    Ok(response) => return Ok(response),
                    Err(failed) => {
                        let (returned, failure) = *failed;
                        call = returned;
                        failure
                    }
                };
                let next = failure.next;
                last = Some(failure);
                let pause = match next {
                    Next::Nothing => return finish(call, last),
                    Next::Route => break,
                    Next::Again(after) => after.map_or_else(|| jittered(PAUSE, context), |after| after.max(PAUSE)),
                };
                let is_last = number + 1 == self.per_route || self.left == 0;
                if is_last || pause > LONGEST_PAUSE || context.clock.now().saturating_add(pause) >= self.deadline {
                    break;
                }
                context.clock.sleep(pause).await;
            }
        }
        if last.is_none() {
            let wait = self.asker.breakers.next_try(self.ways, context.clock.now());
            last = Some(Failure::all_open(wait));
        }
        finish(call, last)
    }

    fn is_in_time(&self) -> bool {
        self.asker.context.clock.now() < self.deadline
    }

    /// Whether there may be a try on `way`, which then counts.
    fn admits(&mut self, way: &Way<'_>) -> bool {
        let admits = self.left > 0 && self.asker.breakers.admit(way, self.asker.context.clock.now());
        if admits {
            self.left -= 1;
        }
        admits
    }

    /// One try on `way`, and one beside it if that is wanted and it takes long.
    async fn attempt(&mut self, index: usize, way: &'a Way<'a>, call: Call) -> Outcome {
        match self.hedge_after.filter(|_| self.elsewhere(index, way).next().is_some()) {
            // In a box, or every call would have room for two.
            Some(after) => Box::pin(self.hedged(index, way, call, after)).await,
            None => self.asker.run(way, call).await,
        }
    }

    /// Gives `way` some time for itself; then the next one is asked too, once for each call. Who answers first wins.
    ///
    /// Both belong to this request, so nothing is spawned: hosts bind I/O to the request that began it. The slower one is
    /// dropped, which cancels it.
    async fn hedged(&mut self, index: usize, way: &'a Way<'a>, call: Call, after: Duration) -> Outcome {
        let (asker, spare) = (self.asker, call.beside());
        let mut first = pin!(asker.run(way, call));
        let spare = spare; // dropped before the first, which tells how the call ended when the caller hangs up
        if let Either::Left((outcome, _)) = select(first.as_mut(), asker.context.clock.sleep(after)).await {
            return outcome;
        }
        let Some(other) = self.take_elsewhere(index, way) else { return first.await };
        tracing::info!(slow = way.provider.name, beside = other.provider.name, "a call is sent to a second provider");
        let (slower, outcome) = match select(first, pin!(asker.run(other, spare))).await {
            Either::Left((Err(failed), second)) if failed.1.next != Next::Nothing => {
                return either(failed, second.await);
            }
            Either::Right((Err(failed), first)) => return either(failed, first.await),
            Either::Left((outcome, _)) => (other, outcome),
            Either::Right((outcome, _)) => (way, outcome),
        };
        asker.breakers.tried(slower);
        outcome
    }

    /// The ways after the one at `index` that need another credential than `way`, which is there.
    fn elsewhere(&self, index: usize, way: &'a Way<'a>) -> impl Iterator<Item = (usize, &'a Way<'a>)> + use<'a> {
        let rest = self.ways.iter().enumerate().skip(index + 1);
        rest.filter(|(_, other)| other.provider.name != way.provider.name)
    }

    /// The first of them on which there may be a try now, which then counts and is the only one of its kind.
    fn take_elsewhere(&mut self, index: usize, way: &'a Way<'a>) -> Option<&'a Way<'a>> {
        if !self.is_in_time() {
            return None;
        }
        let (index, other) = self.elsewhere(index, way).find(|(_, other)| self.admits(other))?;
        (self.hedge, self.hedge_after) = (Some(index), None);
        Some(other)
    }
}

impl Asker<'_> {
    /// Sends the question on `way` and lets the breakers know how it went.
    async fn run(self, way: &Way<'_>, mut call: Call) -> Outcome {
        call.take(way, self.context);
        let outcome = attempt::run(self.question, way, call, self.context).await;
        match &outcome {
            Ok(_) => self.breakers.succeeded(way),
            Err(failed) => self.breakers.failed(way, failed.1.fault, self.context).await,
        }
        outcome
    }
}

/// What comes of two tries of which the earlier one has failed. Neither route is tried again.
fn either(earlier: Box<(Call, Failure)>, later: Outcome) -> Outcome {
    let mut failed = match later {
        Err(later) if earlier.1.next != Next::Nothing => later,
        Err(_) => earlier,
        Ok(answer) => return Ok(answer),
    };
    if failed.1.next != Next::Nothing {
        failed.1.next = Next::Route;
    }
    Err(failed)
}

/// Tells the caller what the last try has come to.
fn finish(mut call: Call, last: Option<Failure>) -> Result<Response, Problem> {
    let Some(Failure { answer, status, .. }) = last else { return Err(kinds::INTERNAL.into()) };
    match answer {
        Ok(mut answer) => {
            answer_headers::describe(&call, answer.headers_mut());
            call.http_status = Some(answer.status().as_u16());
            call.settle(status);
            Ok(answer)
        }
        Err(problem) => Err(fail(call, status, problem)),
    }
}

fn fail(mut call: Call, status: Status, problem: Problem) -> Problem {
    call.http_status = Some(problem.kind().status);
    call.settle(status);
    let mut fields = HeaderMap::new();
    limits::describe(&call.standings, &mut fields);
    let fields = fields.iter().map(|(name, value)| (name.clone(), value.to_str().unwrap_or_default()));
    fields.fold(problem, |problem, (name, value)| problem.header(name, value))
}

impl Failure {
    /// Every route is left alone at present.
    fn all_open(wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1_000).max(1).to_string();
        let detail = "The providers of this model have failed lately and are left alone for a moment.";
        let problem = Problem::new(kinds::UPSTREAM_UNAVAILABLE).detail(detail).header(RETRY_AFTER, &seconds);
        Self::unsent(problem)
    }
}

fn jittered(shortest: Duration, context: &Context) -> Duration {
    let mut random = [0];
    context.entropy.fill(&mut random);
    shortest + shortest * u32::from(random[0]) / 255
}
