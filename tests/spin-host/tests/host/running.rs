use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use spin_host::{Application, Error, Given, Host, Manifest, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::guest;
use crate::wire::Call;

/// An application that answers at an address of its own until it is dropped.
pub struct Running {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A manifest of the given triggers and components, in which `$WASM` is the test component.
pub fn manifest(text: &str) -> String {
    let wasm = format!("{:?}", guest::wasm().display().to_string());
    format!("spin_manifest_version = 2\n[application]\nname = \"test\"\n{}", text.replace("$WASM", &wasm))
}

impl Running {
    /// One component on all paths, which may send requests anywhere on this machine.
    pub fn one() -> Self {
        Self::start(
            r#"
            [[trigger.http]]
            route = "/..."
            component = "one"
            [component.one]
            source = $WASM
            allowed_outbound_hosts = ["http://127.0.0.1:*"]
            "#,
        )
    }

    /// What the manifest says.
    pub fn start(text: &str) -> Self {
        Self::try_start(text).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, or why it cannot run.
    pub fn try_start(text: &str) -> Result<Self, Error> {
        let manifest = Manifest::parse(&manifest(text)).unwrap();
        Self::run(Application::new(&manifest, Path::new(""), &Given::default())?)
    }

    /// The application of the manifest at `path`, with these values of its variables.
    pub fn of<const N: usize>(path: &Path, variables: [(&str, &str); N]) -> Self {
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let given = Given { variables, ..Given::default() };
        let manifest = Manifest::read(path).unwrap();
        let application = Application::new(&manifest, path.parent().unwrap(), &given);
        application.and_then(Self::run).unwrap_or_else(|error| panic!("{error}"))
    }

    fn run(application: Application) -> Result<Self, Error> {
        let (ready, address) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let cache = guest::wasm().with_file_name(".spin-host");
                let host = match Host::new(application, &cache).await {
                    Ok(host) => host,
                    Err(error) => return ready.send(Err(error)).unwrap(),
                };
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(Ok(listener.local_addr().unwrap())).unwrap();
                serve(listener, host, async { drop(stopped.await) }).await;
            });
            // A request that a test has left open is of no interest any more.
            runtime.shutdown_background();
        });
        let address = address.recv().unwrap()?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// The body of the answer to `GET target`, which must succeed.
    pub fn text(&self, target: &str) -> String {
        let (status, body) = Call::get(self.address, target).answer();
        assert_eq!(status, 200, "{target}: {body}");
        body
    }

    /// The status of the answer to `GET target`.
    pub fn status(&self, target: &str) -> u16 {
        Call::get(self.address, target).answer().0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}
