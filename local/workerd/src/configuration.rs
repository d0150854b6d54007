//! What workerd is told: a Cap'n Proto text.

use std::fmt::Write as _;
use std::path::Path;

/// Everything that differs from one run to the next.
pub(crate) struct Configuration<'a> {
    /// Where the Worker listens, port 0 for any.
    pub port: u16,
    /// File names under `modules/` beside the configuration, the entry first.
    pub modules: &'a [String],
    /// Text bindings, by name; their values are in workerd's environment and not in this file.
    pub variables: &'a [&'a str],
    /// Where Durable Objects and KV keep their data.
    pub data: &'a Path,
    /// Passed on to V8, beside those that every run has.
    pub v8_flags: &'a [&'a str],
}

/// Kept equal to `wrangler.toml`.
pub(crate) const COMPATIBILITY_DATE: &str = "2026-11-01";

/// How V8 keeps house. Each chunk of a stream leaves some of the host's objects behind that no young collection takes, and
/// V8 would collect the whole heap, for 20 ms, as soon as a few megabytes are added to the few that live: with hundreds of
/// streams that is each second. Fewer of these, and young ones of a megabyte, delay fewer frames at the same CPU, for a
/// tenth of memory more (`docs/PERFORMANCE.md`).
const HEAP: [&str; 2] = ["--heap-growing-percent=2000", "--max-semi-space-size=1"];

impl Configuration<'_> {
    /// The configuration as text. The Worker, its KV and its cron trigger are one service each.
    pub fn text(&self) -> String {
        let (port, date) = (self.port, COMPATIBILITY_DATE);
        let (objects, kv) = (quoted(&self.data.join("objects")), quoted(&self.data.join("kv")));
        let (modules, bindings, v8_flags) = (self.modules(), self.bindings(), self.v8_flags());
        format!(
            r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  v8Flags = [{v8_flags}],
  services = [
    (name = "worker", worker = .worker),
    (name = "kv", worker = .kv),
    (name = "cron", worker = .cron),
    (name = "objects", disk = (path = {objects}, writable = true)),
    (name = "kv-data", disk = (path = {kv}, writable = true)),
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [
    (name = "http", address = "127.0.0.1:{port}", http = (), service = "worker"),
    (name = "cron", address = "127.0.0.1:0", http = (), service = "cron"),
  ],
);

const worker :Workerd.Worker = (
  compatibilityDate = "{date}",
  modules = [
{modules}  ],
  bindings = [
{bindings}    (name = "CACHE", kvNamespace = "kv"),
    (name = "LEDGER", durableObjectNamespace = "Ledger"),
  ],
  durableObjectNamespaces = [(className = "Ledger", uniqueKey = "ledger", enableSql = true)],
  durableObjectStorage = (localDisk = "objects"),
);

const kv :Workerd.Worker = (
  compatibilityDate = "{date}",
  modules = [(name = "kv.js", esModule = embed "kv.js")],
  bindings = [(name = "STORE", durableObjectNamespace = "Store")],
  durableObjectNamespaces = [(className = "Store", uniqueKey = "kv", enableSql = true)],
  durableObjectStorage = (localDisk = "kv-data"),
);

const cron :Workerd.Worker = (
  compatibilityDate = "{date}",
  compatibilityFlags = ["service_binding_extra_handlers"],
  modules = [(name = "cron.js", esModule = embed "cron.js")],
  bindings = [(name = "WORKER", service = "worker")],
);
"#
        )
    }

    fn v8_flags(&self) -> String {
        let flags = HEAP.iter().chain(self.v8_flags);
        flags.map(|flag| format!("\"{flag}\"")).collect::<Vec<_>>().join(", ")
    }

    fn modules(&self) -> String {
        self.modules.iter().fold(String::new(), |mut text, name| {
            let kind = if Path::new(name).extension().is_some_and(|ext| ext == "wasm") { "wasm" } else { "esModule" };
            let _ = writeln!(text, r#"    (name = "{name}", {kind} = embed "modules/{name}"),"#);
            text
        })
    }

    fn bindings(&self) -> String {
        self.variables.iter().fold(String::new(), |mut text, name| {
            let _ = writeln!(text, r#"    (name = "{name}", fromEnvironment = "{name}"),"#);
            text
        })
    }
}

/// A path as a Cap'n Proto text literal.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_variables_are_not_in_the_configuration() {
        let modules = ["worker.js".to_owned(), "index_bg.wasm".to_owned()];
        let configuration = Configuration {
            port: 0,
            modules: &modules,
            variables: &["API_KEY"],
            data: Path::new("/a \"b\""),
            v8_flags: &[],
        };
        let text = configuration.text();
        assert!(text.contains(r#"(name = "API_KEY", fromEnvironment = "API_KEY")"#));
        assert!(text.contains(r#"(name = "index_bg.wasm", wasm = embed "modules/index_bg.wasm")"#));
        assert!(text.contains(r#"path = "/a \"b\"/kv""#));
    }

    #[test]
    fn deployments_use_the_same_compatibility_date() {
        let wrangler = include_str!("../../../wrangler.toml");
        assert!(wrangler.contains(&format!("compatibility_date = \"{COMPATIBILITY_DATE}\"")));
    }
}
