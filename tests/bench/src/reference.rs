//! The yardstick: a plain JavaScript worker on bare workerd.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::boot::Started;
use crate::client::Call;
use crate::target::{Kind, Target};

/// A worker that answers `/healthz` itself, counts in a Durable Object, and forwards everything else, body handed through.
const WORKER: &str = r#"import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  count = 0;
  counter(text) {
    this.count += 1;
    return JSON.stringify({ count: this.count, length: text.length });
  }
  written(text) {
    this.ctx.storage.put({ [`count ${this.count % 1000}`]: this.count + text });
    return this.counter(text);
  }
}
async function hop(request, counter) {
  return new Response(await counter(await request.text()));
}
export default {
  fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/healthz") return new Response("ok");
    if (url.pathname === "/body") return hop(request, (text) => text);
    if (url.pathname === "/counter") return hop(request, (text) => env.COUNTER.getByName("bench").counter(text));
    if (url.pathname === "/written") return hop(request, (text) => env.COUNTER.getByName("bench").written(text));
    return fetch(env.UPSTREAM + url.pathname + url.search, request);
  },
};
"#;

const CONFIG: &str = r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "internet", network = (allow = ["public", "private"])),
    (name = "objects", disk = (path = "FOLDER", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:PORT", http = (), service = "main")],
);
const main :Workerd.Worker = (
  compatibilityDate = "2026-11-01",
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  bindings = [
    (name = "UPSTREAM", text = "http://UPSTREAM"),
    (name = "COUNTER", durableObjectNamespace = "Counter"),
  ],
  durableObjectNamespaces = [(className = "Counter", uniqueKey = "counter", enableSql = true)],
  durableObjectStorage = (localDisk = "objects"),
);
"#;

/// The worker while it runs.
pub struct Reference {
    target: Target,
    _process: Started,
    folder: PathBuf,
}

impl Reference {
    /// Starts it in front of the provider.
    pub async fn start(direct: &Target, workerd: Option<&str>) -> Result<Self, String> {
        let workerd = workerd.map_or_else(find, |path| Ok(PathBuf::from(path)))?;
        let port = free_port().map_err(|error| error.to_string())?;
        let folder = std::env::temp_dir().join(format!("qlp-bench-{}", std::process::id()));
        let objects = folder.join("objects");
        let config = CONFIG
            .replace("PORT", &port.to_string())
            .replace("FOLDER", &objects.display().to_string())
            .replace("http://UPSTREAM", &format!("http://{}", direct.authority));
        fs::create_dir_all(&objects)
            .and_then(|()| fs::write(folder.join("worker.js"), WORKER))
            .and_then(|()| fs::write(folder.join("config.capnp"), config))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut command = Command::new(&workerd);
        command.arg("serve").arg(folder.join("config.capnp")).stdin(Stdio::null());
        let mut process = Started::spawn(&mut command)?;
        let mut target =
            Target::new("js", Kind::Reference, &format!("http://127.0.0.1:{port}"), "bench", Some(process.0.id()))?;
        target.headers.clone_from(&direct.headers);
        process.wait_for(&target, &Call::get("/healthz")?).await?;
        Ok(Self { target, _process: process, folder })
    }

    /// How it is called.
    pub fn target(&self) -> Target {
        self.target.clone()
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // A folder left in the temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The binary of npm's workerd package for this machine.
fn find() -> Result<PathBuf, String> {
    let packages = fs::read_dir("node_modules/@cloudflare").into_iter().flatten().flatten();
    let binaries = packages.map(|package| package.path().join("bin/workerd"));
    let mut found = binaries.filter(|binary: &PathBuf| Path::exists(binary));
    found.next().ok_or_else(|| "no workerd in node_modules: run npm ci, or give --workerd FILE".to_owned())
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
