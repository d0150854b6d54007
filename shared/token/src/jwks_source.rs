use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{ACCEPT, AGE, CACHE_CONTROL, HeaderMap};
use http::{Request, StatusCode};
use platform::{Body, BodyError, Context, SendError, Timestamp, timeout};
use quota::{Policy, Take};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use thiserror::Error;
use url::Url;

use crate::key_set::{KeySet, KeySetError};
use crate::remote_keys::FETCH_INTERVAL;

const FETCH_DEADLINE: Duration = Duration::from_secs(5);
const SHARED_DEADLINE: Duration = Duration::from_secs(1);
const SHARED_FOR: Duration = Duration::from_hours(24);
const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
const DEFAULT_FRESH_SECONDS: u64 = 600;
const FRESH_SECONDS: std::ops::RangeInclusive<u64> = 60..=3600;

/// Where an issuer publishes its keys: its URL, and the copy that the instances of this edge share.
pub(crate) struct JwksSource {
    url: Url,
    shared_key: String,
}

/// The keys as they were published at one moment.
#[derive(Clone)]
pub(crate) struct Copy {
    pub(crate) keys: Arc<KeySet>,
    pub(crate) fetched_at: Timestamp,
    fresh_seconds: u64,
    document: Bytes,
}

#[derive(Serialize, Deserialize)]
struct Shared<'a> {
    fetched_at: Timestamp,
    fresh_seconds: u64,
    #[serde(borrow)]
    document: &'a RawValue,
}

#[derive(Debug, Error)]
pub(crate) enum FetchError {
    #[error("no answer within {} s", FETCH_DEADLINE.as_secs())]
    Timeout,
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("the answer was {0}")]
    Status(StatusCode),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the answer {0}")]
    KeySet(#[from] KeySetError),
}

impl JwksSource {
    pub(crate) fn new(url: Url) -> Self {
        let shared_key = format!("jwks/{}", URL_SAFE_NO_PAD.encode(Sha256::digest(url.as_str())));
        Self { url, shared_key }
    }

    /// Asks the issuer. A redirect is an answer like any other, and not the one we need.
    pub(crate) async fn fetch(&self, context: &Context) -> Result<Copy, FetchError> {
        let exchange = timeout(&*context.clock, FETCH_DEADLINE, self.exchange(context)).await;
        let (headers, document) = exchange.map_err(|_| FetchError::Timeout)??;
        Ok(Copy {
            keys: Arc::new(KeySet::parse(&document)?),
            fetched_at: context.clock.now(),
            fresh_seconds: fresh_seconds(&headers),
            document,
        })
    }

    async fn exchange(&self, context: &Context) -> Result<(HeaderMap, Bytes), FetchError> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = self.url.as_str().parse().map_err(|_| SendError::Refused("the JWKS URL".into()))?;
        request.headers_mut().insert(ACCEPT, http::HeaderValue::from_static("application/json"));
        let (parts, body) = context.http.send(request).await?.into_parts();
        if parts.status != StatusCode::OK {
            return Err(FetchError::Status(parts.status));
        }
        Ok((parts.headers, body.read(MAX_DOCUMENT_BYTES).await?))
    }

    /// Whether this instance is the one of all that asks the issuer in this half minute. Whoever has no keys at all does not
    /// ask, and when the ledger is away everybody may: each for itself keeps to the interval.
    pub(crate) async fn is_ours_to_fetch(&self, context: &Context) -> bool {
        let policy = Policy { name: "jwks".into(), limit: 1, window_seconds: FETCH_INTERVAL.as_secs() };
        let take = Take { subject: "fetch".into(), policy, quantity: 1 };
        let decision = timeout(&*context.clock, SHARED_DEADLINE, context.ledger.take(&self.shared_key, &[take])).await;
        !matches!(decision, Ok(Ok(decision)) if !decision.allowed)
    }

    /// What another instance has fetched; nothing if the cache is of no help.
    pub(crate) async fn shared_copy(&self, context: &Context) -> Option<Copy> {
        let read = timeout(&*context.clock, SHARED_DEADLINE, context.cache.get(&self.shared_key)).await;
        let value = read.ok()?.ok()??;
        let shared: Shared<'_> = serde_json::from_slice(&value).ok()?;
        Some(Copy {
            keys: Arc::new(KeySet::parse(shared.document.get().as_bytes()).ok()?),
            fetched_at: shared.fetched_at.min(context.clock.now()),
            fresh_seconds: shared.fresh_seconds.clamp(*FRESH_SECONDS.start(), *FRESH_SECONDS.end()),
            document: Bytes::copy_from_slice(shared.document.get().as_bytes()),
        })
    }

    /// Lets other instances have `copy`, after the response.
    pub(crate) fn share(&self, copy: &Copy, context: &Context) {
        let Ok(document) = serde_json::from_slice(&copy.document) else { return };
        let shared = Shared { fetched_at: copy.fetched_at, fresh_seconds: copy.fresh_seconds, document };
        let Ok(value) = serde_json::to_vec(&shared) else { return };
        let (key, cache, clock) = (self.shared_key.clone(), Arc::clone(&context.cache), Arc::clone(&context.clock));
        context.background.spawn(Box::pin(async move {
            let written = timeout(&*clock, SHARED_DEADLINE, cache.set(&key, value.into(), SHARED_FOR)).await;
            if !matches!(written, Ok(Ok(()))) {
                tracing::debug!("the issuer's keys could not be shared between instances");
            }
        }));
    }
}

impl Copy {
    pub(crate) fn fresh_until(&self) -> Timestamp {
        self.fetched_at.saturating_add(Duration::from_secs(self.fresh_seconds))
    }
}

/// `max-age` less the `Age` that a cache between us has added, within bounds (RFC 9111 section 4.2).
fn fresh_seconds(headers: &HeaderMap) -> u64 {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let max_age = header(CACHE_CONTROL).and_then(|directives| {
        let mut values = directives.split(',').filter_map(|directive| directive.trim().strip_prefix("max-age="));
        values.next().and_then(number)
    });
    let age = header(AGE).and_then(number).unwrap_or(0);
    let fresh = max_age.unwrap_or(DEFAULT_FRESH_SECONDS).saturating_sub(age);
    fresh.clamp(*FRESH_SECONDS.start(), *FRESH_SECONDS.end())
}
