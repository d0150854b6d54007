use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use http::header::{HeaderValue, LOCATION};

use super::peer::{Peer, text};
use super::{Verdict, ensure};
use crate::{Body, Context, Elapsed, timeout};

pub(super) async fn arrives_as_sent(_: Context, peer: Peer) -> Verdict {
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let content = if method == "GET" { "" } else { "{\"grüße\":1}" };
        let mut request = peer.request(method, "echo?a=1&b=%20%2F&a=2", Body::from(content))?;
        request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer x.y-z_"));
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        request.headers_mut().insert("x-contract", HeaderValue::from_static("with, commas; and=signs \"quoted\""));
        let echo = peer.echo(request).await?;
        let seen = (echo.text("method"), echo.text("path"), echo.text("query"), echo.body()?);
        let sent = (method, "/__peer/echo", "a=1&b=%20%2F&a=2", Bytes::from(content));
        ensure(seen == sent, || format!("sent {sent:?}, the peer saw {seen:?}"))?;
        for (name, value) in [
            ("authorization", "Bearer x.y-z_"),
            ("content-type", "application/json"),
            ("x-contract", "with, commas; and=signs \"quoted\""),
        ] {
            let seen = echo.header(name);
            ensure(seen == [value], || format!("{name} was {value:?}, the peer saw {seen:?}"))?;
        }
    }
    Ok(())
}

pub(super) async fn repeated_request_headers_arrive(_: Context, peer: Peer) -> Verdict {
    let mut request = peer.request("GET", "echo", Body::empty())?;
    for value in ["one", "two", "three"] {
        request.headers_mut().append("x-repeated", HeaderValue::from_static(value));
    }
    let echo = peer.echo(request).await?;
    // A host may join them: RFC 9110 section 5.3 gives both the same meaning.
    let seen = echo.header("x-repeated").join(", ");
    ensure(seen.replace(", ", ",") == "one,two,three", || format!("the peer saw {seen:?}"))
}

pub(super) async fn binary_bodies_come_back(_: Context, peer: Peer) -> Verdict {
    let sent: Bytes = (0..=255).cycle().take(100_000).collect();
    let echo = peer.echo(peer.request("POST", "echo", Body::from(sent.clone()))?).await?;
    let seen = echo.body()?;
    ensure(seen == sent, || format!("sent {} bytes, the peer saw {} or others", sent.len(), seen.len()))
}

pub(super) async fn empty_bodies_arrive_empty(_: Context, peer: Peer) -> Verdict {
    for method in ["GET", "POST", "DELETE"] {
        let seen = peer.echo(peer.request(method, "echo", Body::empty())?).await?.body()?;
        ensure(seen.is_empty(), || format!("{method}: the peer saw {} bytes", seen.len()))?;
    }
    Ok(())
}

pub(super) async fn every_status_is_an_answer(_: Context, peer: Peer) -> Verdict {
    for status in [200, 201, 204, 304, 400, 401, 404, 429, 500, 503] {
        let response = peer.get(&format!("status/{status}")).await?;
        let seen = response.status();
        response.into_body().read(100_000).await.map_err(text)?;
        ensure(seen == status, || format!("{status} became {seen}"))?;
    }
    Ok(())
}

pub(super) async fn redirects_are_not_followed(_: Context, peer: Peer) -> Verdict {
    let response = peer.get("redirect").await?;
    let (status, location) = (response.status(), response.headers().get(LOCATION));
    ensure(status.is_redirection() && location.is_some(), || format!("{status}, location {location:?}"))
}

pub(super) async fn a_refused_connection_is_temporary(context: Context, peer: Peer) -> Verdict {
    // No service has port 2.
    let request = peer.with_port(2).request("GET", "echo", Body::empty())?;
    match timeout(&*context.clock, Duration::from_secs(20), context.http.send(request)).await {
        Ok(Err(error)) => ensure(error.is_temporary(), || format!("not temporary: {error}")),
        Ok(Ok(response)) => Err(format!("an answer: {}", response.status())),
        Err(Elapsed) => Err("neither answer nor error".to_owned()),
    }
}

pub(super) async fn a_relative_uri_is_refused(context: Context, _: Peer) -> Verdict {
    let request = http::Request::get("/relative").body(Body::empty()).map_err(text)?;
    match context.http.send(request).await {
        Err(error) => ensure(!error.is_temporary(), || format!("temporary: {error}")),
        Ok(response) => Err(format!("an answer: {}", response.status())),
    }
}

pub(super) async fn a_deadline_ends_the_wait(context: Context, peer: Peer) -> Verdict {
    let request = peer.request("GET", "hang", Body::empty())?;
    match timeout(&*context.clock, Duration::from_millis(200), context.http.send(request)).await {
        Err(Elapsed) => Ok(()),
        Ok(Ok(response)) => Err(format!("an answer: {}", response.status())),
        Ok(Err(error)) => Err(format!("an error: {error}")),
    }
}

pub(super) async fn exchanges_run_beside_each_other(context: Context, peer: Peer) -> Verdict {
    let hanging = join_all([
        context.http.send(peer.request("GET", "hang", Body::empty())?),
        context.http.send(peer.request("GET", "hang", Body::empty())?),
    ]);
    let answers = try_join_all((0..3).map(|_| peer.get("status/200")));
    match futures_util::future::select(hanging, Box::pin(answers)).await {
        futures_util::future::Either::Right((answers, _)) => answers.map(drop),
        futures_util::future::Either::Left(_) => Err("the peer that never answers has answered".to_owned()),
    }
}
