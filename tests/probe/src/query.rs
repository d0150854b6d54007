use std::collections::HashMap;

use platform::{Body, Request};
use url::form_urlencoded;

/// The parameters of a probe.
pub struct Query(HashMap<String, String>);

impl Query {
    /// Those of `request`.
    pub fn of(request: &Request) -> Self {
        let text = request.uri().query().unwrap_or_default();
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Result<&str, String> {
        self.0.get(name).map(String::as_str).ok_or_else(|| format!("?{name}= is missing"))
    }

    /// An empty request to the URL in `name`.
    pub fn request(&self, method: &str, name: &str) -> Result<Request, String> {
        let request = http::Request::builder().method(method).uri(self.get(name)?);
        request.body(Body::empty()).map_err(|error| error.to_string())
    }
}
