use std::net::{Ipv4Addr, SocketAddr};

use platform::{Configuration, ConfigurationError, Variables};
use telemetry::Level;

/// What the server itself needs to know; functions read their own variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `LISTEN`: address and port; port 0 takes a free one. Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// `LOG_LEVEL`: `error`, `warn`, `info`, `debug`, `trace` or `off`. Default `info`.
    pub log_level: Level,
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
        read.finish(|| Some(Self { listen: listen?, log_level: log_level? }))
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
        let defaults = Config { listen: "127.0.0.1:8080".parse().unwrap(), log_level: Level::INFO };
        assert_eq!(load(&[]), Ok(defaults));
        let set = Config { listen: "[::1]:0".parse().unwrap(), log_level: Level::OFF };
        assert_eq!(load(&[("LISTEN", "[::1]:0"), ("LOG_LEVEL", "off")]), Ok(set));
    }

    #[test]
    fn reports_every_fault_at_once() {
        let error = load(&[("LISTEN", "8080"), ("LOG_LEVEL", "loud")]).unwrap_err();
        let named: Vec<_> = error.faults.iter().filter_map(|fault| fault.split(' ').next()).collect();
        assert_eq!(named, ["LISTEN", "LOG_LEVEL"]);
    }
}
