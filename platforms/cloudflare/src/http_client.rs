use async_trait::async_trait;
use platform::{Body, Content, Request, Response, SendError};

use crate::executor::InvocationId;
use crate::operation::{Operation, Outcome};
use crate::outbound::{self, Produced};
use crate::{head, host, inbound};

/// Outbound HTTP by `fetch`.
pub struct HttpClient;

/// One exchange with an upstream, from the request to the end of the response's body. Dropping it before that cancels
/// it: the host closes the connection.
pub struct Exchange {
    invocation: InvocationId,
    id: u32,
    upload: Option<Produced>,
    open: bool,
}

#[async_trait]
impl platform::HttpClient for HttpClient {
    async fn send(&self, request: Request) -> Result<Response, SendError> {
        let (parts, body) = request.into_parts();
        let scheme = parts.uri.scheme_str();
        if !matches!(scheme, Some("http" | "https")) {
            return Err(SendError::Refused("not an http or https URL".into()));
        }
        let (mut upload, mut length) = (None, None);
        let bytes = match body.into_content() {
            Content::Bytes(bytes) => (!bytes.is_empty()).then_some(bytes),
            Content::Stream(stream) => {
                (upload, length) = (outbound::produce(stream), head::content_length(&parts.headers));
                None
            }
        };
        let method = parts.method.clone();
        let head = head::write_request(parts, length);
        let operation = Operation::begin(|invocation, operation| {
            host::send(invocation, operation, &head, bytes.as_deref(), upload.map_or(0, |stream| stream.id));
        });
        let mut exchange = Exchange { invocation: operation.invocation, id: operation.id, upload, open: true };
        drop((bytes, head));
        match operation.await {
            Outcome::Text(head) => {
                let parts = head::read_response(head).ok_or_else(unreadable)?;
                let body = inbound::of_response(exchange, &method, parts.status, &parts.headers);
                Ok(Response::from_parts(parts, body))
            }
            Outcome::Answer(head, body) => {
                exchange.end();
                let parts = head::read_response(head).ok_or_else(unreadable)?;
                Ok(Response::from_parts(parts, Body::from(body)))
            }
            Outcome::Failed(reason) => Err(SendError::Unreachable(reason)),
            _ => Err(SendError::Unreachable("no head".into())),
        }
    }
}

fn unreadable() -> SendError {
    SendError::Unreachable("a head that cannot be expressed".into())
}

impl Exchange {
    /// Reads on, from within `invocation`.
    pub fn read(&self, invocation: InvocationId, operation: u32) {
        host::read_response(invocation, operation, self.invocation, self.id);
    }

    /// Nothing more will come: the connection may serve another exchange.
    pub fn end(&mut self) {
        self.open = false;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        host::release(self.invocation, self.id, self.open);
        if let Some(upload) = self.upload {
            upload.cut();
        }
    }
}
