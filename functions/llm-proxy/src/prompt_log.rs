//! The log of prompts and answers, for organizations that want one. It is written after the answer, redacted and bounded,
//! and whatever goes wrong there is nothing to the call.

mod redaction;
mod transcript;

use bytes::Bytes;
use futures_channel::oneshot;
use platform::Context;
use serde_json::{Value, json};
use supabase::{EXPIRE_PROMPT_LOGS, Identity, RECORD_PROMPT_LOG, Supabase};

use crate::answers;
use crate::claim::Claim;
use crate::endpoint::Endpoint;
use crate::model_request::ModelRequest;
use crate::usage_event::UsageEvent;

/// What is kept of a prompt, in bytes of text.
const PROMPT: usize = 64 * 1024;
/// What is kept of an answer.
const ANSWER: usize = 64 * 1024;
/// What is gathered of it: a secret at the edge is to be seen as one.
const GATHERED: usize = ANSWER + 8 * 1024;

/// An answer as far as it has come, and who waits for it. Of copies the first that ends is logged.
#[derive(Clone)]
pub(crate) struct PromptLog {
    endpoint: Endpoint,
    answer: String,
    is_cut: bool,
    ended: Claim<oneshot::Sender<Ended>>,
}

/// A call that has ended.
struct Ended {
    event: UsageEvent,
    answer: String,
    is_cut: bool,
}

impl PromptLog {
    /// Begins the log of a call. The background of the request waits for its end, since hosts let nothing begin once a
    /// caller has gone.
    pub(crate) fn begin(request: &ModelRequest, supabase: &Supabase, context: &Context) -> Self {
        let (ended, end) = oneshot::channel();
        let (body, supabase, background) = (request.body().clone(), supabase.clone(), context.clone());
        context.background.spawn(Box::pin(async move {
            if let Ok(ended) = end.await {
                write(body, ended, &supabase, &background).await;
            }
        }));
        Self { endpoint: request.endpoint, answer: String::new(), is_cut: false, ended: Claim::new(ended) }
    }

    /// Another try begins: what the last one had is forgotten.
    pub(crate) fn restart(&mut self) {
        self.answer.clear();
        self.is_cut = false;
    }

    /// Takes the text of the first answer in `json`: of a stream the next piece of it, so that what belongs together comes
    /// together.
    pub(crate) fn take(&mut self, json: &[u8]) {
        for text in answers::texts(self.endpoint, json) {
            let room = GATHERED.saturating_sub(self.answer.len());
            if self.is_cut || text.len() > room {
                let fits = if self.is_cut { "" } else { transcript::beginning(&text, room) };
                self.answer.push_str(fits);
                self.is_cut = true;
                return;
            }
            self.answer.push_str(&text);
        }
    }

    /// The call has ended.
    pub(crate) fn end(self, event: UsageEvent) {
        if let Some(ended) = self.ended.take() {
            let _ = ended.send(Ended { event, answer: self.answer, is_cut: self.is_cut });
        }
    }
}

/// Ends the logs that have been kept for as long as their organizations want, some of them at each call.
pub(crate) async fn expire(supabase: &Supabase, context: &Context) {
    let ended: Result<Value, _> = supabase.rpc(context, EXPIRE_PROMPT_LOGS, &json!({}), Identity::Service).await;
    if let Err(error) = ended {
        tracing::warn!(%error, "prompt logs whose time is over could not be ended");
    }
}

async fn write(body: Bytes, ended: Ended, supabase: &Supabase, context: &Context) {
    let Ended { event, answer, is_cut } = ended;
    let (prompt, prompt_is_cut) = transcript::messages(&body, PROMPT);
    let (answer, answer_is_cut) = transcript::bounded(&answer, ANSWER);
    let payload = json!({
        "id": event.id,
        "org_id": event.org_id,
        "user_id": event.user_id,
        "api_key_id": event.api_key_id,
        "alias": event.alias,
        "provider": event.provider,
        "model": event.model,
        "status": event.status,
        "prompt": prompt,
        "answer": answer,
        "is_truncated": is_cut || prompt_is_cut || answer_is_cut,
    });
    // As the edge: nobody writes what others have said.
    let written = supabase.rpc::<serde_json::Value>(context, RECORD_PROMPT_LOG, &payload, Identity::Service).await;
    if let Err(error) = written {
        tracing::warn!(%error, event = %event.id, "a prompt could not be logged");
    }
}
