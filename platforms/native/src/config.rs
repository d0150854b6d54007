use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use platform::{Configuration, ConfigurationError, Variables};
use telemetry::Level;

/// What the server itself needs to know; functions read their own variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `LISTEN`: address and port; port 0 takes a free one. Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// `LOG_LEVEL`: `error`, `warn`, `info`, `debug`, `trace` or `off`. Default `info`.
    pub log_level: Level,
    /// `LEDGER_DIR`: the folder in which the ledger keeps accounts. By default they are forgotten with the process.
    pub ledger_dir: Option<PathBuf>,
}

impl Config {
    /// Reads and checks the variables.
    pub async fn load(variables: &dyn Variables) -> Result<Self, ConfigurationError> {
        let mut read = Configuration::of(variables);
        let listen = match read.optional("LISTEN").await.map(|value| value.parse()) {
            None => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            Some(Ok(listen)) => Some(listen),
            Some(Err(_)) => read.fault("LISTEN", "must be an IP address and a port, such as 127.0.0.1:8080"),
        };
        let log_level = match read.optional("LOG_LEVEL").await.map(|value| value.parse()) {
            None => Some(Level::INFO),
            Some(Ok(level)) => Some(level),
            Some(Err(_)) => read.fault("LOG_LEVEL", "must be one of error, warn, info, debug, trace, off"),
        };
        let ledger_dir = read.optional("LEDGER_DIR").await.map(PathBuf::from);
        read.finish(|| Some(Self { listen: listen?, log_level: log_level?, ledger_dir }))
    }
}

#[cfg(test)]
mod tests {
    use platform::fakes::{Host, block_on};

    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigurationError> {
        let host = variables.iter().fold(Host::new(), |host, (name, value)| host.variable(name, value));
        block_on(Config::load(&host.variables))
    }

    #[test]
    fn has_defaults_and_takes_what_is_set() {
        let defaults = Config { listen: "127.0.0.1:8080".parse().unwrap(), log_level: Level::INFO, ledger_dir: None };
        assert_eq!(load(&[]), Ok(defaults));
        let set = Config {
            listen: "[::1]:0".parse().unwrap(),
            log_level: Level::OFF,
            ledger_dir: Some("/var/lib/edge".into()),
        };
        let variables = [("LISTEN", "[::1]:0"), ("LOG_LEVEL", "off"), ("LEDGER_DIR", "/var/lib/edge")];
        assert_eq!(load(&variables), Ok(set));
    }

    #[test]
    fn reports_every_fault_at_once() {
        let error = load(&[("LISTEN", "8080"), ("LOG_LEVEL", "loud")]).unwrap_err();
        let named: Vec<_> = error.faults.iter().filter_map(|fault| fault.split(' ').next()).collect();
        assert_eq!(named, ["LISTEN", "LOG_LEVEL"]);
    }
}
