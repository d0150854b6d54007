//! A question to a model, at whatever endpoint.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, RETRY_AFTER};
use json_body::Limits;
use platform::{Context, Request, Timestamp};
use problem::{Problem, kinds};
use telemetry::TraceContext;

use crate::attempt::{self, Failure, Next, Question};
use crate::cache::{self, Entry, Place, Recording, Use};
use crate::call::Call;
use crate::endpoint::Endpoint;
use crate::model_request::ModelRequest;
use crate::routing::{self, Way};
use crate::usage_event::Status;
use crate::{Caller, LlmProxy, answer_headers};

const BODY_TIME: Duration = Duration::from_secs(30);
/// How often a call is sent at most, whatever its routes.
const MOST_TRIES: u32 = 4;
/// How often on the same route.
const TRIES_PER_ROUTE: u32 = 2;
/// The shortest pause before the same route is tried again; by chance up to twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest that a provider may ask to wait for; then the next route is tried instead.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The official clients count their own retries; each spares us one.
const RETRY_COUNT: &str = "x-stainless-retry-count";
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// Answers with what the first route answers that does, within one deadline.
pub(crate) async fn create(
    proxy: &LlmProxy,
    endpoint: Endpoint,
    request: Request,
    Caller { payer, rules, .. }: Caller,
    context: &Context,
) -> Result<platform::Response, Problem> {
    let (parts, body) = request.into_parts();
    let mode = cache::mode(&parts.headers, rules.cache)?;
    let limits = Limits { bytes: proxy.config.max_body_bytes, time: BODY_TIME };
    let body = json_body::read(&parts.headers, body, limits, &*context.clock).await?;
    let mut request = ModelRequest::parse(endpoint, body)?;
    let models = proxy.catalog.models(context).await?;
    models.rails(&rules, payer.member.tier).admit(&mut request)?;
    let ways = routing::ways(&proxy.config, &models, &request, context)?;
    let place = match mode {
        Some(mode) => proxy.cache.place(mode, payer.member.tenant(), &request, context).await,
        None => None,
    };
    if let Some(entry) = find(place.as_ref(), context).await
        && let Some(answer) = cache::answer(proxy, &payer, &request, &entry, context).await
    {
        return answer;
    }
    let mut call = Call::begin(proxy, payer, &request, &ways, context).await?;
    call.cache = mode.map(|_| if place.is_some() { Use::Miss } else { Use::Off });
    call.recording = place.and_then(|place| Recording::begin(place, request.stream, context));
    let limits = proxy.config.timeouts;
    let (headers, trace) = (forwarded(endpoint, &parts.headers), parts.extensions.get::<TraceContext>());
    let question = Question { request: &request, headers, trace, limits };
    let tries = Tries {
        left: MOST_TRIES,
        per_route: TRIES_PER_ROUTE.saturating_sub(retries_of(&parts.headers)).max(1),
        deadline: context.clock.now().saturating_add(limits.tries()),
    };
    answer(proxy, &question, &ways, call, tries, context).await
}

async fn find(place: Option<&Place>, context: &Context) -> Option<Entry> {
    place?.find(context).await
}

/// Anthropic's clients choose the version and the features of its API by header.
fn forwarded(endpoint: Endpoint, headers: &HeaderMap) -> HeaderMap {
    let names: &[HeaderName] = if endpoint == Endpoint::Messages { &[ANTHROPIC_VERSION, ANTHROPIC_BETA] } else { &[] };
    let value = |name: &HeaderName| Some((name.clone(), headers.get(name)?.clone()));
    names.iter().filter_map(value).collect()
}

/// How often, and until when, a call may be tried.
struct Tries {
    left: u32,
    per_route: u32,
    deadline: Timestamp,
}

async fn answer(
    proxy: &LlmProxy,
    question: &Question<'_>,
    ways: &[Way<'_>],
    mut call: Call,
    mut tries: Tries,
    context: &Context,
) -> Result<platform::Response, Problem> {
    let mut last = None;
    for way in ways {
        for number in 0..tries.per_route {
            let in_time = number == 0 && last.is_none() || context.clock.now() < tries.deadline;
            if tries.left == 0 || !in_time || !proxy.breakers.admit(way, context.clock.now()) {
                break;
            }
            tries.left -= 1;
            call.take(way, context);
            let failure = match attempt::run(question, way, call, context).await {
                Ok(response) => {
                    proxy.breakers.succeeded(way);
                    return Ok(response);
                }
                Err(failed) => {
                    let (returned, failure) = *failed;
                    call = returned;
                    failure
                }
            };
            proxy.breakers.failed(way, failure.fault, context).await;
            let next = failure.next;
            last = Some(failure);
            let pause = match next {
                Next::Nothing => return finish(call, last),
                Next::Route => break,
                Next::Again(after) => after.map_or_else(|| jittered(PAUSE, context), |after| after.max(PAUSE)),
            };
            let is_last = number + 1 == tries.per_route || tries.left == 0;
            if is_last || pause > LONGEST_PAUSE || context.clock.now().saturating_add(pause) >= tries.deadline {
                break;
            }
            context.clock.sleep(pause).await;
        }
    }
    if last.is_none() {
        let wait = proxy.breakers.next_try(ways, context.clock.now());
        last = Some(Failure::all_open(wait));
    }
    finish(call, last)
}

/// Tells the caller what the last try has come to.
fn finish(mut call: Call, last: Option<Failure>) -> Result<platform::Response, Problem> {
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

fn retries_of(headers: &HeaderMap) -> u32 {
    let count = headers.get(RETRY_COUNT).and_then(|count| count.to_str().ok());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn jittered(shortest: Duration, context: &Context) -> Duration {
    let mut random = [0];
    context.entropy.fill(&mut random);
    shortest + shortest * u32::from(random[0]) / 255
}
