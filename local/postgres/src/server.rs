use std::path::{Path, PathBuf};

use crate::Error;
use crate::account::Account;
use crate::binaries::Binaries;
use crate::cluster::{self, SUPERUSER};
use crate::launch::{self, Running};
use crate::place::Place;

/// Which server to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Holds the data, the superuser's password and the log; created, and private to the server.
    pub directory: PathBuf,
    /// The project whose `node_modules` may hold PostgreSQL's programs.
    pub project: PathBuf,
    /// Whether data must survive a power cut; tests are faster without.
    pub durable: bool,
}

/// A PostgreSQL server; one that was started here is stopped when this is dropped.
#[derive(Debug)]
pub struct Server(Kind);

#[derive(Debug)]
enum Kind {
    External(String),
    Private(Private),
}

#[derive(Debug)]
struct Private {
    running: Running,
    place: Place,
    binaries: Binaries,
    account: Option<Account>,
    durable: bool,
    password: String,
    moved: bool,
}

impl Server {
    /// Starts the server of a folder, making its cluster at the first time; returns when it accepts connections.
    ///
    /// A server that a crashed process left running there is stopped first.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let binaries = Binaries::find(&options.project)?;
        let account = Account::choose()?;
        let place = Place::take(&options.directory, account)?;
        let moved = options.directory.canonicalize().is_ok_and(|wanted| wanted != place.folder);
        let binaries = binaries.within_reach(account, &place)?;
        launch::stop_orphan(&place);
        let password = cluster::ensure(&place, &binaries, account, options.durable)?;
        let durable = options.durable;
        let running = Running::start(&place, &binaries, account, durable, None)?;
        Ok(Self(Kind::Private(Private { running, place, binaries, account, durable, password, moved })))
    }

    /// Kills a server that was started here with all its processes, and starts it again at the same port: what tests of
    /// crashes need. Nothing for one that somebody else runs.
    pub fn crash(&mut self) -> Result<(), Error> {
        let Kind::Private(server) = &mut self.0 else { return Ok(()) };
        let port = server.running.port;
        server.running.kill();
        launch::stop_orphan(&server.place);
        server.running = Running::start(&server.place, &server.binaries, server.account, server.durable, Some(port))?;
        Ok(())
    }

    /// A server that somebody else runs, by its connection URL; it is never stopped.
    pub fn external(url: &str) -> Self {
        Self(Kind::External(url.to_owned()))
    }

    /// The connection URL of `database`, as the superuser; it holds the password.
    pub fn url(&self, database: &str) -> String {
        match &self.0 {
            Kind::Private(server) => {
                let (password, port) = (&server.password, server.running.port);
                format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/{database}")
            }
            Kind::External(url) => with_database(url, database),
        }
    }

    /// The process id of a server that was started here.
    pub fn pid(&self) -> Option<u32> {
        match &self.0 {
            Kind::Private(server) => Some(server.running.pid()),
            Kind::External(_) => None,
        }
    }

    /// The folder of a server that was started here.
    pub fn directory(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Private(server) => Some(&server.place.folder),
            Kind::External(_) => None,
        }
    }

    /// The folder that is used instead of the wanted one, which the account that PostgreSQL runs as cannot reach.
    pub fn moved_to(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Private(server) if server.moved => Some(&server.place.folder),
            _ => None,
        }
    }

    /// The log of a server that was started here; it begins afresh with every start.
    pub fn log(&self) -> Option<PathBuf> {
        match &self.0 {
            Kind::Private(server) => Some(server.place.log()),
            Kind::External(_) => None,
        }
    }

    /// Stops a server that was started here; returns when its process has ended.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Kind::Private(server) = &mut self.0 {
            server.running.stop();
        }
    }
}

/// `url` with another database in its path; its parameters stay.
fn with_database(url: &str, database: &str) -> String {
    let (address, parameters) = url.split_once('?').map_or((url, None), |(address, rest)| (address, Some(rest)));
    let host = address.find("://").map_or(0, |colon| colon + 3);
    let end = address.get(host..).and_then(|rest| rest.find('/')).map_or(address.len(), |slash| host + slash);
    let address = address.get(..end).unwrap_or(address);
    let parameters = parameters.map(|text| format!("?{text}")).unwrap_or_default();
    format!("{address}/{database}{parameters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_url_keeps_everything_but_the_database() {
        let url = |text: &str| Server::external(text).url("app");
        assert_eq!(
            url("postgres://u:p@db.example:5433/old?sslmode=require"),
            "postgres://u:p@db.example:5433/app?sslmode=require"
        );
        assert_eq!(url("postgresql://db.example"), "postgresql://db.example/app");
        assert_eq!(url("postgresql://db.example/"), "postgresql://db.example/app");
        assert_eq!(Server::external("postgres://x/y").pid(), None);
    }
}
