use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use futures_channel::oneshot;
use http::{HeaderMap, Method, Uri, header::CONTENT_TYPE};

use crate::{Body, BodyError, BoxFuture, HttpClient, Request, Response, SendError};

/// Answers outbound requests: from a queue of replies, and when that is empty by a handler. Every request is recorded
/// with its whole body.
#[derive(Clone, Default)]
pub struct ScriptedHttp(Arc<Mutex<Script>>);

/// A request as it was sent.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The method.
    pub method: Method,
    /// The absolute URI.
    pub uri: Uri,
    /// The headers as the function set them.
    pub headers: HeaderMap,
    /// The body, or why it could not be read to its end.
    pub body: Result<Bytes, BodyError>,
}

/// A reply that does not come until the test lets it.
pub struct HeldReply(oneshot::Sender<Answer>);

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    handler: Option<Arc<Handler>>,
    recorded: Vec<Recorded>,
}

type Answer = Result<Response, SendError>;
type Handler = dyn Fn(Request) -> BoxFuture<'static, Answer> + Send + Sync;

enum Reply {
    Ready(Box<Answer>),
    Held(oneshot::Receiver<Answer>),
}

const RECORD_LIMIT: usize = 64 * 1024 * 1024;

impl ScriptedHttp {
    /// Queues `response` for the next request that has none yet.
    pub fn reply(&self, response: Response) {
        self.queue(Reply::Ready(Box::new(Ok(response))));
    }

    /// Queues a JSON response.
    pub fn reply_json(&self, status: u16, json: impl Into<Bytes>) {
        let response = http::Response::builder().status(status).header(CONTENT_TYPE, "application/json");
        self.reply(response.body(Body::from(json.into())).unwrap());
    }

    /// Queues a failure to send.
    pub fn fail(&self, error: SendError) {
        self.queue(Reply::Ready(Box::new(Err(error))));
    }

    /// Queues a reply that waits until it is released.
    pub fn hold(&self) -> HeldReply {
        let (sender, receiver) = oneshot::channel();
        self.queue(Reply::Held(receiver));
        HeldReply(sender)
    }

    /// Answers by `handler` whatever the queue does not; the request's body is known bytes by then.
    pub fn handle<F>(&self, handler: impl Fn(Request) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<Response, SendError>> + Send + 'static,
    {
        self.script().handler = Some(Arc::new(move |request| Box::pin(handler(request))));
    }

    /// What has been sent so far, in order.
    pub fn requests(&self) -> Vec<Recorded> {
        self.script().recorded.clone()
    }

    fn queue(&self, reply: Reply) {
        self.script().replies.push_back(reply);
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }
}

impl HeldReply {
    /// Lets the reply come.
    pub fn release(self, response: Response) {
        let _ = self.0.send(Ok(response));
    }

    /// Lets the request fail.
    pub fn fail(self, error: SendError) {
        let _ = self.0.send(Err(error));
    }

    /// Whether the request that waited for this reply was dropped.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_canceled()
    }
}

impl Recorded {
    /// The body as text; the test fails if there is none.
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }

    /// The first value of a header, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

#[async_trait]
impl HttpClient for ScriptedHttp {
    async fn send(&self, request: Request) -> Answer {
        let (parts, body) = request.into_parts();
        let body = body.read(RECORD_LIMIT).await;
        let (reply, handler) = {
            let mut script = self.script();
            script.recorded.push(Recorded {
                method: parts.method.clone(),
                uri: parts.uri.clone(),
                headers: parts.headers.clone(),
                body: body.clone(),
            });
            (script.replies.pop_front(), script.handler.clone())
        };
        let body = body.map_err(|error| SendError::Unreachable(error.to_string()))?;
        match (reply, handler) {
            (Some(Reply::Ready(answer)), _) => *answer,
            (Some(Reply::Held(answer)), _) => {
                answer.await.unwrap_or_else(|_| Err(SendError::Unreachable("the held reply was dropped".into())))
            }
            (None, Some(handler)) => handler(Request::from_parts(parts, body.into())).await,
            (None, None) => Err(SendError::Refused(format!("no reply is scripted for {} {}", parts.method, parts.uri))),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::fakes::block_on;

    fn get(uri: &str) -> Request {
        http::Request::get(uri).body(Body::from("hello")).unwrap()
    }

    #[test]
    fn replies_in_order_then_by_the_handler_and_records_everything() {
        let http = ScriptedHttp::default();
        http.reply_json(201, "{}");
        http.fail(SendError::Unreachable("down".into()));
        http.handle(|request| async move { Ok(http::Response::new(request.into_body())) });
        assert_eq!(block_on(http.send(get("https://peer.test/1"))).unwrap().status(), 201);
        assert!(block_on(http.send(get("https://peer.test/2"))).unwrap_err().is_temporary());
        let echoed = block_on(block_on(http.send(get("https://peer.test/3"))).unwrap().into_body().read(10));
        assert_eq!(echoed.unwrap(), "hello");
        let requests = http.requests();
        let paths: Vec<_> = requests.iter().map(|request| request.uri.path()).collect();
        assert_eq!((paths, requests[0].text()), (vec!["/1", "/2", "/3"], "hello"));
    }

    #[test]
    fn a_held_reply_comes_when_released() {
        let http = ScriptedHttp::default();
        let held = http.hold();
        let mut sending = http.send(get("https://peer.test/"));
        assert!((&mut sending).now_or_never().is_none());
        held.release(http::Response::new(Body::from("late")));
        assert_eq!(block_on(sending).unwrap().status(), 200);
    }

    #[test]
    fn a_request_nobody_scripted_is_refused_by_name() {
        let error = block_on(ScriptedHttp::default().send(get("https://peer.test/x"))).unwrap_err();
        assert_eq!(error, SendError::Refused("no reply is scripted for GET https://peer.test/x".into()));
    }
}
