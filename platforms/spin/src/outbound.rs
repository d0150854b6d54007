//! What goes out: responses, and the bodies of outbound requests.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::stream::StreamExt as _;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use platform::{ByteStream, Content, Response};
use spin_sdk::wasip3::http::types::{self, ErrorCode, Trailers};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};
use spin_sdk::wasip3::{wit_future, wit_stream};

use crate::sleep::sleep;
use crate::{head, task};

/// How a body ends, for the host.
type End = Result<Option<Trailers>, ErrorCode>;

/// How often an idle body looks whether anybody still reads it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A body that the host reads.
pub(crate) struct Offered {
    pub(crate) contents: Option<StreamReader<u8>>,
    pub(crate) end: FutureReader<End>,
}

/// The response for the host. A known body has its length, so that the host tells callers when not all of it came.
pub(crate) fn response(response: Response) -> Result<types::Response, ErrorCode> {
    let (mut parts, body) = response.into_parts();
    let content = body.into_content();
    head::strip(&mut parts.headers);
    if let Content::Bytes(bytes) = &content
        && !matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    {
        parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
    }
    let fields = head::fields(&parts.headers)?;
    let Offered { contents, end } = offer(content);
    // The second value would tell how the request's body was read, which we know.
    let (response, _) = types::Response::new(fields, contents, end);
    let invalid = || ErrorCode::InternalError(Some(format!("status {}", parts.status.as_u16())));
    response.set_status_code(parts.status.as_u16()).map_err(|()| invalid())?;
    Ok(response)
}

/// Offers `content` to the host: known bytes in one piece, a stream chunk by chunk, each when the one before has been
/// taken.
pub(crate) fn offer(content: Content) -> Offered {
    match content {
        Content::Bytes(bytes) if bytes.is_empty() => Offered { contents: None, end: wit_future::new(|| Ok(None)).1 },
        Content::Bytes(bytes) => pumped(|writer, end| write_all(bytes, writer, end)),
        Content::Stream(stream) => pumped(|writer, end| write_chunks(stream, writer, end)),
    }
}

fn pumped<F: Future<Output = ()> + 'static>(pump: impl FnOnce(StreamWriter<u8>, FutureWriter<End>) -> F) -> Offered {
    let (writer, contents) = wit_stream::new();
    // A pump that is dropped halfway must not look like one that has finished.
    let (end_writer, end) = wit_future::new(|| Err(ErrorCode::InternalError(Some("the body was cut off".into()))));
    task::spawn(pump(writer, end_writer));
    Offered { contents: Some(contents), end }
}

async fn write_all(bytes: Bytes, mut writer: StreamWriter<u8>, end: FutureWriter<End>) {
    if writer.write_all(bytes.into()).await.is_empty() {
        finish(writer, end, Ok(None)).await;
    }
}

/// Passes the chunks on. When nobody reads any more the stream is dropped, and with it what it comes from; a stream that
/// breaks is a broken body.
async fn write_chunks(mut stream: ByteStream, mut writer: StreamWriter<u8>, end: FutureWriter<End>) {
    let mut look = sleep(LOOK_EVERY);
    loop {
        match select(stream.next(), &mut look).await {
            Either::Left((Some(Ok(chunk)), _)) => {
                if !writer.write_all(chunk.into()).await.is_empty() {
                    return;
                }
            }
            Either::Left((Some(Err(error)), _)) => {
                return finish(writer, end, Err(ErrorCode::InternalError(Some(error.to_string())))).await;
            }
            Either::Left((None, _)) => return finish(writer, end, Ok(None)).await,
            Either::Right(_) => {
                look = sleep(LOOK_EVERY);
                // A write of nothing tells whether the reader is still there.
                if writer.write(Vec::new()).await.0 == StreamResult::Dropped {
                    return;
                }
            }
        }
    }
}

/// The contents end before their end is told: the host reads them in this order.
async fn finish(writer: StreamWriter<u8>, end: FutureWriter<End>, how: End) {
    drop(writer);
    // It fails when the reader has gone, which then knows enough.
    let _ = end.write(how).await;
}
