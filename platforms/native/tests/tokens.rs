//! Tokens, good and bad, judged by the native host.

use http::Method;
use platform::{Body, Request};

#[tokio::test]
async fn judges_every_token_as_every_host_does() {
    let items = jws_vectors::items();
    let context = native::Host::new().unwrap().context;
    let mut request = Request::new(Body::from(jws_vectors::body(&items)));
    (*request.method_mut(), *request.uri_mut()) = (Method::POST, "/__probe/verdicts".parse().unwrap());
    let answer = probe::handle(request, &context).await.into_body().read(1 << 20).await.unwrap();
    jws_vectors::check(&items, std::str::from_utf8(&answer).unwrap());
}
