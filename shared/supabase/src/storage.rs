use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, HeaderValue, RANGE,
};
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use platform::{Body, Context, Request, Response, timeout};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::client::{Answer, Call, MAX_ANSWER_BYTES, json, read};
use crate::{Error, Identity, StorageError, Supabase};

/// The longest object name that object stores take.
const MAX_PATH_BYTES: usize = 1024;
const UPSERT: HeaderName = HeaderName::from_static("x-upsert");
/// `content-encoding` is among them because without it an encoded body could not be read.
const KEPT_HEADERS: [HeaderName; 5] = [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_ENCODING, ETAG];
/// All but RFC 3986's unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A project's Storage (`/storage/v1`), written after its documentation: **untried against the real
/// service**.
///
/// A path names an object within its bucket, not percent-encoded; empty, `.` and `..` segments are refused before
/// anything is sent. No call is ever retried.
#[derive(Debug, Clone, Copy)]
pub struct Storage<'a>(pub(crate) &'a Supabase);

/// What is to be stored.
#[derive(Debug)]
pub struct Upload<'a> {
    /// The bytes, passed on as they come. Their sum is the caller's to limit.
    pub body: Body,
    /// The object's media type.
    pub content_type: &'a str,
    /// The number of bytes, if known; Storage may insist on it.
    pub content_length: Option<u64>,
    /// How long everything may take, sending included; the client's own deadline does not count.
    pub deadline: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SignRequest {
    /// Seconds.
    expires_in: u64,
}

#[derive(Deserialize)]
struct SignAnswer {
    #[serde(rename = "signedURL")]
    signed_url: String,
}

impl Storage<'_> {
    /// Stores an object that must not exist yet.
    pub async fn upload(
        &self,
        context: &Context,
        bucket: &str,
        path: &str,
        upload: Upload<'_>,
        identity: Identity<'_>,
    ) -> Result<(), StorageError> {
        let target = format!("/storage/v1/object/{}", object(bucket, path)?);
        let mut request = self.0.bare_request(Method::POST, &target, upload.body, &identity)?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, header(CONTENT_TYPE, upload.content_type)?);
        headers.insert(UPSERT, HeaderValue::from_static("false"));
        if let Some(length) = upload.content_length {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        exchange(context, request, upload.deadline, StatusCode::is_success, &identity).await.map(drop)
    }

    /// Reads an object, or the part of it that `range` (RFC 9110, 14.2) asks for. The response is 200 or 206 with the
    /// headers that describe its body, which comes as Storage sends it. The client's deadline is for the head alone:
    /// the caller bounds the body.
    pub async fn download(
        &self,
        context: &Context,
        bucket: &str,
        path: &str,
        range: Option<&str>,
        identity: Identity<'_>,
    ) -> Result<Response, StorageError> {
        let target = format!("/storage/v1/object/{}", object(bucket, path)?);
        let mut request = self.0.bare_request(Method::GET, &target, Body::empty(), &identity)?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        // Lengths and ranges are those of the object only if it is not compressed on its way.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(range) = range {
            headers.insert(RANGE, header(RANGE, range)?);
        }
        let has_object = |status: &StatusCode| matches!(*status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
        let mut response = exchange(context, request, self.0.deadline, has_object, &identity).await?;
        keep_described(response.headers_mut());
        Ok(response)
    }

    /// Removes an object.
    pub async fn remove(
        &self,
        context: &Context,
        bucket: &str,
        path: &str,
        identity: Identity<'_>,
    ) -> Result<(), StorageError> {
        let target = format!("/storage/v1/object/{}", object(bucket, path)?);
        self.call(context, Method::DELETE, target, Bytes::new(), identity).await.map(drop)
    }

    /// A URL by which anybody may read the object for `expires_in`, in whole seconds and at least one. It is a secret.
    pub async fn sign_download(
        &self,
        context: &Context,
        bucket: &str,
        path: &str,
        expires_in: Duration,
        identity: Identity<'_>,
    ) -> Result<Url, StorageError> {
        let target = format!("/storage/v1/object/sign/{}", object(bucket, path)?);
        let body = json(&SignRequest { expires_in: expires_in.as_secs().max(1) })?;
        let answer: SignAnswer = read(&self.call(context, Method::POST, target.clone(), body, identity).await?)?;
        let base = self.0.base();
        let token = signature(base, &answer.signed_url).ok_or_else(|| unusable("the signed URL"))?;
        Url::parse(&format!("{base}{target}?token={token}")).map_err(|_| unusable("the URL"))
    }

    async fn call(
        &self,
        context: &Context,
        method: Method,
        path: String,
        body: Bytes,
        identity: Identity<'_>,
    ) -> Result<Bytes, StorageError> {
        let answer = self.0.send(context, &Call { method, path, profile: None, body, identity }).await?;
        if answer.status.is_success() { Ok(answer.body) } else { Err(StorageError::of_answer(&answer, &identity)) }
    }
}

/// Sends `request` and returns as soon as a head that `is_wanted` is here; another answer is read, within the deadline.
async fn exchange(
    context: &Context,
    request: Request,
    deadline: Duration,
    is_wanted: impl Fn(&StatusCode) -> bool,
    identity: &Identity<'_>,
) -> Result<Response, StorageError> {
    let exchange = async {
        let response = context.http.send(request).await.map_err(Error::from)?;
        if is_wanted(&response.status()) {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = body.read(MAX_ANSWER_BYTES).await.map_err(Error::from)?;
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        Err(StorageError::of_answer(&answer, identity))
    };
    timeout(&*context.clock, deadline, exchange).await.map_err(|_| Error::Timeout)?
}

/// Bucket and path as they stand in a URL.
fn object(bucket: &str, path: &str) -> Result<String, StorageError> {
    if path.len() > MAX_PATH_BYTES || bucket.len() > MAX_PATH_BYTES {
        return Err(StorageError::InvalidPath);
    }
    let mut object = segment(bucket)?;
    for part in path.split('/') {
        object.push('/');
        object.push_str(&segment(part)?);
    }
    Ok(object)
}

/// Backslashes are refused with the slashes: some servers take them for the same.
fn segment(text: &str) -> Result<String, StorageError> {
    let is_refused = |character: char| matches!(character, '/' | '\\') || character.is_control();
    if matches!(text, "" | "." | "..") || text.contains(is_refused) {
        return Err(StorageError::InvalidPath);
    }
    Ok(utf8_percent_encode(text, ESCAPED).to_string())
}

fn header(name: HeaderName, value: &str) -> Result<HeaderValue, StorageError> {
    HeaderValue::from_str(value).map_err(|_| StorageError::InvalidHeader(name))
}

fn keep_described(headers: &mut HeaderMap) {
    let kept = KEPT_HEADERS.into_iter().filter_map(|name| headers.remove(&name).map(|value| (name, value)));
    *headers = kept.collect();
}

/// The token of a signed URL that is relative to Storage, or absolute and within it. Nothing else of the answer is
/// used, so that the URL can lead nowhere but to the object that was asked for.
fn signature<'a>(base: &str, signed_url: &'a str) -> Option<&'a str> {
    let storage = format!("{base}/storage/v1");
    let path = signed_url.strip_prefix(&storage).unwrap_or(signed_url);
    let (_, query) = path.strip_prefix("/object/sign/")?.rsplit_once("?token=")?;
    let token = query.split('&').next()?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=');
    (!token.is_empty() && token.bytes().all(is_token)).then_some(token)
}

fn unusable(what: &str) -> StorageError {
    Error::Unusable(what.into()).into()
}
