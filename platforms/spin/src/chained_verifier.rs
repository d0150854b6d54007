use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Request, StatusCode};
use platform::{Body, Clock, HttpClient, PublicKey, SignatureVerifier, VerifierError, timeout};

use crate::signature_question::{self, INVALID, VALID};

/// Lets the component `signature` of the same application check signatures. `spin.toml` has to allow the call.
pub(crate) struct ChainedVerifier {
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Spin hands a request with such a host to the component within its own process, and to no network.
const COMPONENT: &str = "http://signature.spin.internal";
const DEADLINE: Duration = Duration::from_secs(5);

#[async_trait]
impl SignatureVerifier for ChainedVerifier {
    async fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<bool, VerifierError> {
        let answer = self.ask(key, message, signature);
        timeout(&*self.clock, DEADLINE, answer).await.unwrap_or_else(|_| Err(failed("has not answered in time")))
    }
}

impl ChainedVerifier {
    /// Whatever is neither of the two answers says nothing about the signature.
    async fn ask(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<bool, VerifierError> {
        let question = signature_question::write(key, message, signature);
        let (path, body) = question.ok_or_else(|| failed("takes no question of this length"))?;
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{COMPONENT}{path}").parse().map_err(|_| failed("has no URI"))?;
        let answer = self.http.send(request).await.map_err(|error| failed(&format!("is out of reach: {error}")))?;
        let (parts, body) = answer.into_parts();
        let body = body.read(INVALID.len()).await.map_err(|error| failed(&format!("broke off: {error}")))?;
        match (parts.status, &*body) {
            (StatusCode::OK, VALID) => Ok(true),
            (StatusCode::OK, INVALID) => Ok(false),
            (status, _) => Err(failed(&format!("answered {status}"))),
        }
    }
}

fn failed(how: &str) -> VerifierError {
    VerifierError(format!("the component `signature` {how}"))
}

#[cfg(test)]
mod tests {
    use platform::SendError;
    use platform::fakes::{Host, streamed_body};
    use proptest::prelude::*;

    use super::*;
    use crate::verification;

    const KEY: PublicKey = PublicKey::Es256 { x: [1; 32], y: [2; 32] };

    fn verify(host: &Host, key: &PublicKey) -> Result<bool, VerifierError> {
        let context = host.context();
        let verifier = ChainedVerifier { http: context.http, clock: context.clock };
        host.block_on(verifier.verify(key, b"message", b"signature"))
    }

    #[test]
    fn the_component_is_asked_by_its_name() {
        let host = Host::new();
        host.http.reply(http::Response::new("valid".into()));
        assert_eq!(verify(&host, &KEY), Ok(true));
        let [request] = &host.http.requests()[..] else { panic!("not one request") };
        assert_eq!((&request.method, request.uri.to_string()), (&Method::POST, format!("{COMPONENT}/es256")));
    }

    #[test]
    fn the_component_s_own_words_are_understood() {
        let host = Host::new();
        host.http.handle(|request| async { Ok(verification::answer(request).await) });
        assert_eq!(verify(&host, &PublicKey::Rs256 { n: vec![0xff; 256], e: vec![1, 0, 1] }), Ok(false));
        // Not on the curve.
        assert!(verify(&host, &KEY).unwrap_err().to_string().ends_with("answered 422 Unprocessable Entity"));
    }

    #[test]
    fn what_is_out_of_reach_or_breaks_off_or_never_comes_decides_nothing() {
        let host = Host::new();
        host.http.fail(SendError::Unreachable("down".into()));
        assert!(verify(&host, &KEY).is_err());
        let (sender, body) = streamed_body();
        sender.send("valid");
        sender.cut();
        host.http.reply(http::Response::new(body));
        assert!(verify(&host, &KEY).is_err());
        let held = host.http.hold();
        assert!(verify(&host, &KEY).is_err());
        assert!(held.is_cancelled());
    }

    proptest! {
        #[test]
        fn no_other_answer_decides_anything(status in 200u16..600, body in "(in)?valid|[a-z]{0,9}|.{0,20}") {
            let host = Host::new();
            host.http.reply(http::Response::builder().status(status).body(body.clone().into()).unwrap());
            let expected = match (status, &*body) {
                (200, "valid") => Some(true),
                (200, "invalid") => Some(false),
                _ => None,
            };
            prop_assert_eq!(verify(&host, &KEY).ok(), expected);
        }
    }
}
