//! A Spin component that does what a test asks for. It keeps the unwritten rules of hosts badly on purpose: it panics,
//! passes on headers that it must not, and keeps open what it should close.
#![cfg(target_os = "wasi")]
#![allow(clippy::disallowed_methods)] // no function of ours: it looks at its environment for a test

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::Method;
use spin_sdk::http::body::{self, IncomingBodyExt as _};
use spin_sdk::http::{EmptyBody, IntoRequest as _, IntoResponse as _, Request};
use spin_sdk::http_service;
use spin_sdk::key_value::{self, Store};
use spin_sdk::variables;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{self, ErrorCode, RequestOptions, Response};
use spin_sdk::wasip3::http_compat::RequestOptionsExtension;
use spin_sdk::wasip3::wit_bindgen;

thread_local! {
    /// Tells this instance from all others.
    static INSTANCE: u64 = RandomState::new().hash_one(());
    /// How many requests this instance has taken.
    static REQUESTS: Cell<u32> = const { Cell::new(0) };
    /// Stores that are never closed.
    static KEPT: RefCell<Vec<Store>> = const { RefCell::new(Vec::new()) };
}

#[http_service]
async fn handle(request: Request) -> Result<Response, ErrorCode> {
    REQUESTS.set(REQUESTS.get() + 1);
    let number = format!("{} {}", INSTANCE.with(|instance| *instance), REQUESTS.get());
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    match *path.split('/').skip(1).collect::<Vec<_>>() {
        ["number"] => text(number),
        // The number, once whatever `query` names has answered.
        ["number-after"] => client::send(get(&query, None)?).await.map(drop).and(text(number)),
        ["head"] => text(format!("{} {}\n{:?}", request.method(), request.uri(), request.headers())),
        ["variable", name] => text(format!("{:?}", variables::get(name).await)),
        ["environment", name] => text(std::env::var(name).unwrap_or_default()),
        ["store", label, "keep"] => text(format!("{:?}", keep(label).await)),
        ["store", label, ref rest @ ..] => text(format!("{:?}", store(label, rest).await)),
        ["print"] => {
            print!("half a line, ");
            println!("and its end");
            eprint!("no end");
            text("")
        }
        ["fetch"] => match spin_sdk::http::get(&query).await {
            Ok(answer) => text(format!("{} {:?}", answer.status(), answer.into_body().bytes().await)),
            Err(error) => text(format!("{error:?}")),
        },
        ["fetch-within", milliseconds] => {
            let within = Duration::from_millis(milliseconds.parse().unwrap_or_default());
            match client::send(get(&query, Some(within))?).await {
                Ok(answer) => Ok(answer),
                Err(error) => text(format!("{error:?}")),
            }
        }
        ["pass"] => client::send(get(&query, None)?).await,
        ["forward"] => forward(&query, &["connection", "transfer-encoding"]).await,
        ["forward-all"] => forward(&query, &[]).await,
        ["upload"] => {
            let request = http::Request::builder().method(Method::POST).uri(&query).body(request.into_body());
            client::send(request.map_err(|_| ErrorCode::HttpRequestUriInvalid)?.into_request()?).await
        }
        ["panic"] => panic!("asked to"),
        ["fail"] => Err(ErrorCode::InternalError(Some("asked to".to_owned()))),
        _ => text("?"),
    }
}

fn text(text: impl Into<String>) -> Result<Response, ErrorCode> {
    http::Response::new(text.into()).into_response()
}

fn get(uri: &str, between_bytes: Option<Duration>) -> Result<types::Request, ErrorCode> {
    let mut request = http::Request::get(uri);
    if let Some(within) = between_bytes {
        let nanoseconds = u64::try_from(within.as_nanos()).ok();
        let options = RequestOptions::new();
        let set = options.set_first_byte_timeout(nanoseconds).and(options.set_between_bytes_timeout(nanoseconds));
        set.map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
        request = request.extension(RequestOptionsExtension(options));
    }
    request.body(EmptyBody::new()).map_err(|_| ErrorCode::HttpRequestUriInvalid)?.into_request()
}

/// Passes an answer on chunk by chunk, without some of its headers. When it breaks off, the guest just stops.
async fn forward(uri: &str, without: &[&str]) -> Result<Response, ErrorCode> {
    let (mut parts, from) = spin_sdk::http::get(uri).await?.into_parts();
    for name in without {
        parts.headers.remove(*name);
    }
    let (mut to, out) = body::stream::<Bytes>();
    wit_bindgen::spawn(async move {
        let mut from = from.stream();
        while let Some(Ok(chunk)) = from.next().await {
            if to.send(chunk).await.is_err() {
                break;
            }
        }
    });
    http::Response::from_parts(parts, out).into_response()
}

async fn store(label: &str, operation: &[&str]) -> Result<String, key_value::Error> {
    let store = Store::open(label).await?;
    Ok(match operation {
        ["set", key, value] => format!("{:?}", store.set(key, value.as_bytes()).await?),
        ["get", key] => {
            format!("{:?}", store.get(key).await?.map(|value| String::from_utf8_lossy(&value).into_owned()))
        }
        ["delete", key] => format!("{:?}", store.delete(key).await?),
        ["exists", key] => format!("{:?}", store.exists(key).await?),
        _ => format!("{:?}", store.get_keys().await.collect().await?),
    })
}

/// Opens a store again and again until it is refused, and says how often it was not.
async fn keep(label: &str) -> (usize, key_value::Error) {
    loop {
        match Store::open(label).await {
            Ok(store) => KEPT.with_borrow_mut(|kept| kept.push(store)),
            Err(error) => return (KEPT.with_borrow(Vec::len), error),
        }
    }
}
