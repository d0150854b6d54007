use platform::Content;
use platform::fakes::Host;

use super::*;
use crate::catalog::Route;
use crate::endpoint::Endpoint;

const ACCESS_KEY: [&str; 3] = ["AKIDEXAMPLE", "a-secret-access-key", "a-session-token"];

fn completion(stream: bool) -> ModelRequest {
    let body = json!({"model": "default", "messages": [{"role": "user", "content": "Hi"}], "stream": stream});
    ModelRequest::parse(Endpoint::ChatCompletions, Bytes::from(body.to_string())).unwrap()
}

fn base() -> Url {
    "https://bedrock-runtime.eu-west-1.amazonaws.com".parse().unwrap()
}

fn signing() -> Bedrock {
    let [id, secret, token] = ACCESS_KEY.map(SecretString::from);
    Bedrock::with_access_key(&base(), AccessKey { id, secret, session_token: Some(token) }, "eu-west-1".to_owned())
}

#[test]
fn the_model_is_named_in_the_path_encoded_once() {
    let bedrock = Bedrock::with_key(&base(), "b-key".into());
    for (model, stream, path) in [
        (MODEL, false, "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"),
        (MODEL, true, "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream"),
        (
            "arn:aws:bedrock:eu:1:inference-profile/x",
            false,
            "/model/arn%3Aaws%3Abedrock%3Aeu%3A1%3Ainference-profile%2Fx/converse",
        ),
    ] {
        let request =
            bedrock.request(&completion(stream), &Route::to("bedrock", model), &Host::new().context()).unwrap();
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, path));
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer b-key");
        let Content::Bytes(body) = request.into_body().into_content() else { panic!("a stream") };
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["messages"][0]["content"][0]["text"], "Hi");
    }
}

#[test]
fn another_base_may_have_a_path() {
    let bedrock = Bedrock::with_key(&"http://127.0.0.1:9000/aws/?x=1".parse().unwrap(), "b-key".into());
    let request = bedrock.request(&completion(false), &Route::to("bedrock", "m"), &Host::new().context()).unwrap();
    assert_eq!(request.uri(), "http://127.0.0.1:9000/aws/model/m/converse");
}

#[test]
fn an_access_key_signs_with_the_hosts_clock() {
    let host = Host::new();
    host.clock.set(Timestamp::from_second(1_440_938_160).unwrap());
    let request = signing().request(&completion(true), &Route::to("bedrock", MODEL), &host.context()).unwrap();
    assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
    assert_eq!(request.headers()["x-amz-security-token"], "a-session-token");
    let authorization = request.headers()[AUTHORIZATION].to_str().unwrap();
    let expected = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/bedrock/aws4_request, \
                    SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
    assert!(authorization.starts_with(expected), "{authorization}");
    assert!(ACCESS_KEY.iter().all(|secret| !format!("{request:?}").contains(secret)));
}

#[test]
fn its_secrets_are_known_to_be_secret() {
    use secrecy::ExposeSecret as _;
    let (bedrock, keyed) = (signing(), Bedrock::with_key(&base(), "b-key".into()));
    let secrets: Vec<_> = bedrock.secrets().into_iter().map(|secret| secret.expose_secret().to_owned()).collect();
    assert_eq!(secrets, ACCESS_KEY);
    assert_eq!(keyed.secrets()[0].expose_secret(), "b-key");
}
