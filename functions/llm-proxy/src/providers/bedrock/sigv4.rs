//! Signatures of requests to AWS: version 4, in the header.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>. The path is encoded once
//! on the wire and once more in what is signed, as every service but S3 has it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, Mac as _};
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use platform::{Request, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// RFC 3986, section 2.3: everything else is encoded.
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// An access key, for one service in one region.
pub(super) struct Signer {
    pub(super) access_key_id: SecretString,
    pub(super) secret_access_key: SecretString,
    /// Only with temporary credentials (STS).
    pub(super) session_token: Option<SecretString>,
    pub(super) region: String,
    pub(super) service: &'static str,
    /// What signs today. Nobody signs for other days.
    pub(super) key: Mutex<Option<DayKey>>,
}

/// A key that is derived from the secret one, for one day.
pub(super) struct DayKey {
    day: String,
    key: [u8; 32],
}

impl Signer {
    /// Adds what proves that `request`, with all the headers that it has and this body, is ours. `None` if the
    /// credentials do not fit into headers.
    pub(super) fn sign(&self, request: &mut Request, body: &[u8], now: Timestamp) -> Option<()> {
        let time = basic(now);
        let day = time.get(..8)?;
        let host = request.uri().authority()?.as_str().to_owned();
        let headers = request.headers_mut();
        headers.insert(DATE, HeaderValue::try_from(&time).ok()?);
        if let Some(token) = &self.session_token {
            headers.insert(TOKEN, secret(token.expose_secret())?);
        }
        let (names, canonical) = canonical(request, &host, body)?;
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let signature = hex(&hmac(&self.key(day)?, &to_sign)?);
        let id = self.access_key_id.expose_secret();
        let value = format!("{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        request.headers_mut().insert(AUTHORIZATION, secret(&value)?);
        Some(())
    }

    /// What must not be repeated.
    pub(super) fn secrets(&self) -> Vec<&SecretString> {
        [&self.access_key_id, &self.secret_access_key].into_iter().chain(&self.session_token).collect()
    }

    /// The key for `day`: derived once, since that takes four times as long as a signature.
    fn key(&self, day: &str) -> Option<[u8; 32]> {
        let mut kept = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.as_ref().filter(|known| known.day == day) {
            return Some(known.key);
        }
        let secret = format!("AWS4{}", self.secret_access_key.expose_secret());
        let mut key = hmac(secret.as_bytes(), day)?;
        for part in [&self.region, self.service, "aws4_request"] {
            key = hmac(&key, part)?;
        }
        *kept = Some(DayKey { day: day.to_owned(), key });
        Some(key)
    }
}

/// The names of the headers that are signed, and the request in the form that is hashed.
fn canonical(request: &Request, host: &str, body: &[u8]) -> Option<(String, String)> {
    let mut headers = BTreeMap::new();
    headers.insert(HOST.as_str(), host);
    for (name, value) in request.headers() {
        headers.insert(name.as_str(), value.to_str().ok()?.trim());
    }
    let names = headers.keys().copied().collect::<Vec<_>>().join(";");
    let method = request.method();
    let path = utf8_percent_encode(request.uri().path(), RESERVED_IN_PATH);
    let mut canonical = format!("{method}\n{path}\n\n"); // no request here has a query
    for (name, value) in headers {
        let _ = writeln!(canonical, "{name}:{value}"); // a String takes everything
    }
    let _ = write!(canonical, "\n{names}\n{}", hex(&Sha256::digest(body)));
    Some((names, canonical))
}

/// `20150830T123600Z`
fn basic(time: Timestamp) -> String {
    format!("{time:.0}").replace(['-', ':'], "")
}

fn hmac(key: &[u8], text: &str) -> Option<[u8; 32]> {
    let mac = Hmac::<Sha256>::new_from_slice(key).ok()?.chain_update(text);
    Some(mac.finalize().into_bytes().into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}

/// A header that no log shows.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_credential_types::Credentials;
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
    use aws_sigv4::sign::v4;
    use platform::Body;
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "AKIDEXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    /// 2015-08-30T12:36:00Z
    const THEN: i64 = 1_440_938_160;

    fn signer(token: Option<&str>, service: &'static str) -> Signer {
        Signer {
            access_key_id: ID.into(),
            secret_access_key: SECRET.into(),
            session_token: token.map(SecretString::from),
            region: "us-east-1".to_owned(),
            service,
            key: Mutex::default(),
        }
    }

    fn signed(signer: &Signer, uri: &str, headers: &[(&'static str, &str)], body: &[u8], second: i64) -> String {
        let mut request = http::Request::post(uri).body(Body::empty()).unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        signer.sign(&mut request, body, Timestamp::from_second(second).unwrap()).unwrap();
        request.headers()[AUTHORIZATION].to_str().unwrap().to_owned()
    }

    fn oracle(
        token: Option<&str>,
        service: &str,
        uri: &str,
        headers: &[(&'static str, &str)],
        body: &[u8],
        second: i64,
    ) -> String {
        let identity = Credentials::new(ID, SECRET, token.map(str::to_owned), None, "test").into();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second.unsigned_abs());
        let parameters = v4::SigningParams::builder().identity(&identity).region("us-east-1").name(service).time(time);
        let parameters = parameters.settings(SigningSettings::default()).build().unwrap().into();
        let request = SignableRequest::new("POST", uri, headers.iter().copied(), SignableBody::Bytes(body)).unwrap();
        let (instructions, _) = aws_sigv4::http_request::sign(request, &parameters).unwrap().into_parts();
        instructions.headers().find(|(name, _)| *name == "authorization").unwrap().1.to_owned()
    }

    /// `post-vanilla` and `post-sts-header-before` of the AWS test suite for signature version 4.
    #[test]
    fn signs_what_aws_publishes_as_aws_does() {
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        for (token, names, signature) in [
            (None, "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                Some(token),
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            assert_eq!(
                signed(&signer(token, "service"), "https://example.amazonaws.com/", &[], b"", THEN),
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders={names}, Signature={signature}"
                )
            );
        }
    }

    proptest! {
        #[test]
        fn signs_whatever_it_is_as_the_sdk_does(
            model in "[a-zA-Z0-9_.:/ ~+-]{1,40}",
            port in prop::option::of(1024_u16..),
            token in prop::option::of("[a-zA-Z0-9/+=]{1,80}"),
            body in prop::collection::vec(any::<u8>(), 0..80),
            second in 0_i64..4_000_000_000,
        ) {
            let model = utf8_percent_encode(&model, RESERVED).to_string();
            prop_assume!(!model.chars().all(|character| character == '.')); // not a name but a step on the path
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let uri = format!("https://bedrock-runtime.us-east-1.amazonaws.com{port}/model/{model}/converse");
            let headers = [("content-type", "application/json")];
            let theirs = oracle(token.as_deref(), "bedrock", &uri, &headers, &body, second);
            prop_assert_eq!(signed(&signer(token.as_deref(), "bedrock"), &uri, &headers, &body, second), theirs);
        }
    }

    #[test]
    fn a_key_is_kept_for_its_day_and_no_longer() {
        let signer = signer(None, "bedrock");
        let uri = "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse";
        let day = 86_400;
        for second in [THEN, THEN + 60, THEN + day, THEN] {
            assert_eq!(signed(&signer, uri, &[], b"x", second), oracle(None, "bedrock", uri, &[], b"x", second));
        }
    }

    #[test]
    fn no_log_shows_what_was_signed_with() {
        let mut request = http::Request::post("https://a.test/").body(Body::empty()).unwrap();
        signer(Some("a-token"), "bedrock").sign(&mut request, b"", Timestamp::UNIX_EPOCH).unwrap();
        let shown = format!("{request:?}");
        assert!(!shown.contains("a-token") && !shown.contains(ID), "{shown}");
    }
}
