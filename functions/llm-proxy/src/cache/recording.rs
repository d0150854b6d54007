//! Gathers an answer while it is passed on, to keep it.

use bytes::Bytes;
use futures_channel::oneshot;
use platform::Context;

use super::Place;
use super::entry::{About, Entry, Form};
use crate::claim::Claim;
use crate::endpoint::Endpoint;
use crate::model_request::ModelRequest;
use crate::observation::Observation;
use crate::tokens::Tokens;

/// An answer as far as it has come. One that grows beyond the limit is let go of. Of copies the first that ends is kept.
#[derive(Clone)]
pub(crate) struct Recording {
    largest: usize,
    form: Form,
    /// Whether a model wrote it: it may have been cut. Vectors are there or not.
    is_generated: bool,
    /// Nothing once it is too large.
    answer: Option<Vec<u8>>,
    done: Claim<oneshot::Sender<Entry>>,
}

/// How a choice ends that is neither cut short nor calls anything.
const COMPLETE: [&str; 2] = ["stop", "eos"];

impl Recording {
    /// Begins to record what is to be kept at `place`; nothing if it may not be. The background of the request waits for
    /// the end, since hosts let nothing begin once a caller has gone.
    pub(crate) fn begin(place: Place, request: &ModelRequest, context: &Context) -> Option<Self> {
        if !place.writes {
            return None;
        }
        let (done, complete) = oneshot::channel();
        let (background, largest) = (context.clone(), place.limits.largest);
        context.background.spawn(Box::pin(async move {
            // Nobody sends it when the answer is none to keep.
            if let Ok(entry) = complete.await {
                place.keep(&entry, &background).await;
            }
        }));
        let form = if request.stream { Form::Chunks } else { Form::Whole };
        let is_generated = request.endpoint != Endpoint::Embeddings;
        Some(Self { largest, form, is_generated, answer: Some(Vec::new()), done: Claim::new(done) })
    }

    /// Another try begins: what the last one had is forgotten.
    pub(crate) fn restart(&mut self) {
        self.answer = Some(Vec::new());
    }

    /// Takes the answer, or one chunk of it.
    pub(crate) fn take(&mut self, json: &[u8]) {
        let Some(answer) = &mut self.answer else { return };
        if answer.len() + json.len() >= self.largest {
            self.answer = None;
            return;
        }
        if self.form == Form::Whole {
            answer.extend_from_slice(json);
        } else {
            // A line feed within JSON is a blank.
            answer.extend(json.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
            answer.push(b'\n');
        }
    }

    /// The answer is complete and was `seen` so: it is kept if it came to its natural end and called nothing.
    pub(crate) fn end(self, seen: &Observation, provider: &str, model: &str, tokens: Tokens) {
        let Some(answer) = self.answer.filter(|_| !self.is_generated || is_natural(seen)) else { return };
        let about = About::new(self.form, provider, model, tokens);
        if let Some(done) = self.done.take() {
            let _ = done.send(Entry { about, answer: Bytes::from(answer) });
        }
    }
}

/// Whether the one answer came to its natural end and calls nothing.
fn is_natural(seen: &Observation) -> bool {
    let reason = seen.finish_reason.as_deref();
    reason.is_some_and(|reason| COMPLETE.contains(&reason)) && !seen.calls_tools && seen.is_single()
}

impl Place {
    async fn keep(&self, entry: &Entry, context: &Context) {
        let Some(bytes) = entry.write() else { return };
        if let Err(error) = context.cache.set(&self.key, bytes, self.limits.ttl).await {
            tracing::warn!(%error, "an answer could not be put into the cache");
        }
    }
}
