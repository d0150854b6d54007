//! The function as a whole, on a host where nothing happens that a test did not write down.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a failed expectation ends its test

mod attempts;
mod exchange_audit;

use std::sync::Arc;

use auth::Auth;
use front_door::Function as _;
use platform::fakes::Host;
use platform::{Body, ClientAddress, Request};
use problem::Dialect;
use serde_json::Value;
use supabase::Supabase;
use token::{Authenticator, EdgeConfig, Jwks, KeySet, Project};

/// A host and the function on it.
struct Scene {
    host: Host,
    auth: Auth,
}

/// An answer, as the front door sends it.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    /// Sorted by name.
    headers: Vec<(String, String)>,
    body: String,
}

impl Scene {
    fn new() -> Self {
        let supabase = supabase::Config {
            url: "https://x.supabase.co".parse().unwrap(),
            publishable_key: "sb_publishable_p".into(),
            secret_key: Some("sb_secret_s".into()),
        };
        let project = Project { supabase: supabase.clone(), peppers: None, sessions: None };
        let config = token::Config {
            issuer: "https://x.supabase.co/auth/v1".into(),
            audience: "authenticated".into(),
            jwks: Jwks::Inline(KeySet::parse(b"[]").unwrap()),
            hs256_secret: Some("a legacy secret of 32 bytes or more".into()),
            project: Some(project),
            edge: EdgeConfig::default(),
        };
        let authenticator = Arc::new(Authenticator::new(config.clone()));
        Self { host: Host::new(), auth: Auth::new(&config, Supabase::new(supabase), authenticator) }
    }

    fn post(&self, path: &str, content_type: &str, body: impl Into<Body>, address: &str) -> Answer {
        let mut request = Request::new(body.into());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = path.parse().unwrap();
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        request.extensions_mut().insert(ClientAddress(address.parse().unwrap()));
        self.host.block_on(async {
            let answer = self.auth.answer(request, &self.host.context()).await;
            let answer =
                answer.unwrap_or_else(|problem| problem.into_response(Dialect::ProblemJson, "r-1").map(Body::from));
            let (head, body) = answer.into_parts();
            let mut headers: Vec<_> = head
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect();
            headers.sort_unstable();
            let body = body.read(100_000).await.unwrap();
            Answer { status: head.status.as_u16(), headers, body: String::from_utf8(body.to_vec()).unwrap() }
        })
    }

    /// The audit events that were written, after all that runs in the background has ended.
    fn events(&self) -> Vec<Value> {
        self.host.block_on(self.host.background.run_all());
        let calls = self.host.http.requests();
        let batches = calls.iter().filter(|call| call.uri.path().ends_with("/record_audit"));
        let payload = |text: &str| serde_json::from_str::<Value>(text).unwrap()["payload"]["events"].clone();
        batches.flat_map(|call| payload(call.text()).as_array().unwrap().clone()).collect()
    }
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}
