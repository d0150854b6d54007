use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Error;

/// `spin.toml`, version 2, as far as this host knows it. Whatever else it holds is an error rather than ignored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub(crate) spin_manifest_version: u32,
    #[serde(rename = "application")]
    _application: About,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, Variable>,
    pub(crate) trigger: Triggers,
    #[serde(default)]
    pub(crate) component: BTreeMap<String, Component>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "version", default)]
    _version: String,
    #[serde(rename = "description", default)]
    _description: String,
    #[serde(rename = "authors", default)]
    _authors: Vec<String>,
}

/// A variable of the application.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    pub default: Option<String>,
    #[serde(default)]
    pub required: bool,
    #[serde(rename = "secret", default)]
    _secret: bool,
    #[serde(rename = "description", default)]
    _description: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Triggers {
    pub http: Vec<HttpTrigger>,
}

/// One `[[trigger.http]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpTrigger {
    #[serde(rename = "id", default)]
    _id: String,
    pub route: RouteOrPrivate,
    pub component: Option<String>,
    pub static_response: Option<StaticResponse>,
}

/// `"/path"` or `{ private = true }`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a route is a path or { private = true }")]
pub(crate) enum RouteOrPrivate {
    Route(String),
    Private { private: bool },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StaticResponse {
    #[serde(default = "success")]
    pub status_code: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: String,
}

/// One `[component.<id>]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Component {
    pub source: PathBuf,
    #[serde(rename = "description", default)]
    _description: String,
    #[serde(default)]
    pub allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    pub key_value_stores: Vec<String>,
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// How it is built is not for a host to know.
    #[serde(rename = "build", default)]
    _build: toml::Table,
}

impl Manifest {
    /// Reads the manifest at `path`. Its syntax and its members' types are checked, not yet what they say.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        Self::parse(&text).map_err(|reason| Error::Syntax { path: path.to_owned(), reason: reason.to_string() })
    }

    /// Parses the text of a manifest.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

fn success() -> u16 {
    200
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPLICATION: &str = "spin_manifest_version = 2\n[application]\nname = \"a\"\n";

    fn fault(text: &str) -> String {
        Manifest::parse(&format!("{APPLICATION}{text}")).unwrap_err().to_string()
    }

    #[test]
    fn reads_what_our_manifest_uses() {
        let text = r#"
            version = "0.1.0"
            description = "…"
            [variables]
            host = { default = "localhost" }
            key = { required = true, secret = true }
            [[trigger.http]]
            route = "/v1/..."
            component = "one"
            [[trigger.http]]
            route = { private = true }
            component = "one"
            [[trigger.http]]
            route = "/healthz"
            static_response = { status_code = 204, headers = { a = "b" } }
            [component.one]
            source = "one.wasm"
            allowed_outbound_hosts = ["https://{{ host }}"]
            key_value_stores = ["default"]
            environment = { RUST_BACKTRACE = "1" }
            [component.one.variables]
            host = "{{ host }}"
            [component.one.build]
            command = "cargo build"
        "#;
        let manifest = Manifest::parse(&format!("{APPLICATION}{text}")).unwrap();
        assert_eq!(manifest.trigger.http.len(), 3);
        assert_eq!(manifest.component["one"].key_value_stores, ["default"]);
        assert!(matches!(manifest.trigger.http[1].route, RouteOrPrivate::Private { private: true }));
    }

    #[test]
    fn names_the_line_of_what_it_does_not_know() {
        let trigger = "[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n";
        for (text, line, what) in [
            (format!("{trigger}[component.a]\nsource = \"a\"\nsqlite_databases = [\"x\"]\n"), 9, "sqlite_databases"),
            (format!("{trigger}[component.a]\nsource = {{ url = \"a\" }}\n"), 8, "expected"),
            (format!("{trigger}[component.a]\nkey_value_stores = [\"default\"]\n"), 7, "missing field `source`"),
            (format!("{trigger}executor = {{ type = \"wagi\" }}\n"), 7, "executor"),
            ("[[trigger.http]]\nroute = 1\n".to_owned(), 5, "a route is a path or { private = true }"),
            (format!("{trigger}[[trigger.redis]]\nchannel = \"a\"\n"), 7, "redis"),
            (format!("[variables]\na = {{ defualt = \"x\" }}\n{trigger}"), 5, "defualt"),
        ] {
            let fault = fault(&text);
            assert!(fault.contains(&format!("line {line},")) && fault.contains(what), "{fault}");
        }
        assert!(fault("").contains("missing field `trigger`"));
    }
}
