//! The edge on Spin: under `spin up` where a fitting one is installed, else under the project's own test host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest Spin that has the interfaces of the components.
const OLDEST: (u32, u32) = (4, 1);

/// What runs the components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runner {
    /// Spin's own command.
    Cli,
    /// `tests/spin-host`.
    TestHost(PathBuf),
}

/// Addresses that can be anywhere, each with the variable of the manifest that lets a component call it.
const HOSTS: [(&str, &str); 9] = [
    ("SUPABASE_JWKS_URL", "SUPABASE_JWKS_HOST"),
    ("TOGETHER_BASE_URL", "TOGETHER_HOST"),
    ("OPENAI_BASE_URL", "OPENAI_HOST"),
    ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_HOST"),
    ("ANTHROPIC_BASE_URL", "ANTHROPIC_HOST"),
    ("OLLAMA_URL", "OLLAMA_HOST"),
    ("LLM_SIMULATOR_URL", "LLM_SIMULATOR_HOST"),
    ("BEDROCK_BASE_URL", "BEDROCK_HOST"),
    ("REDIS_URL", "REDIS_HOST"),
];

impl Runner {
    /// Spin's own command if it is on the PATH and new enough, else the test host among our `binaries`.
    pub fn find(binaries: &Path) -> Self {
        if is_installed() { Self::Cli } else { Self::TestHost(binaries.join("spin-host")) }
    }

    /// The command that serves `manifest` at 127.0.0.1:`port` with the edge's variables, and keeps its data in `state`.
    pub fn command(&self, manifest: &Path, port: u16, variables: &BTreeMap<String, String>, state: &Path) -> Command {
        let mut command = match self {
            Self::Cli => {
                let mut spin = Command::new("spin");
                spin.arg("up").arg("--from").arg(manifest).arg("--state-dir").arg(state);
                spin
            }
            Self::TestHost(binary) => {
                let mut host = Command::new(binary);
                host.env_clear().arg("--manifest").arg(manifest);
                host
            }
        };
        command.args(["--listen", &format!("127.0.0.1:{port}")]).envs(given(variables));
        command
    }
}

/// The variables as Spin takes them from its environment.
fn given(variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let hosts = HOSTS.iter().filter_map(|(url, host)| Some(((*host).to_owned(), origin(variables.get(*url)?))));
    let all = variables.iter().map(|(name, value)| (name.clone(), value.clone())).chain(hosts);
    all.map(|(name, value)| (format!("SPIN_VARIABLE_{name}"), value)).collect()
}

/// Scheme, host and port of a URL, without a password.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}")
}

fn is_installed() -> bool {
    let version = Command::new("spin").arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    version.is_ok_and(|output| is_new_enough(&String::from_utf8_lossy(&output.stdout)))
}

/// Whether `spin 4.1.0 (…)` or the like is what the components need. A preview of the oldest is not.
fn is_new_enough(output: &str) -> bool {
    let Some(version) = output.strip_prefix("spin ").and_then(|rest| rest.split_whitespace().next()) else {
        return false;
    };
    let (numbers, preview) = version.split_once('-').map_or((version, false), |(numbers, _)| (numbers, true));
    let mut numbers = numbers.split('.').map(|number| number.parse().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    found > OLDEST || (found == OLDEST && !preview)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spin_that_lacks_the_interfaces_is_not_used() {
        for (output, fits) in [
            ("spin 4.1.0 (94a8fc8a 2026-09-01)\n", true),
            ("spin 4.1.0-pre0 (94a8fc8a 2026-08-21)\n", false),
            ("spin 4.2.0-pre0\n", true),
            ("spin 5.0.1\n", true),
            ("spin 4.0.2 (x)\n", false),
            ("spin 3.5.0\n", false),
            ("Spin, the model checker 6.5.2\n", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(output), fits, "{output}");
        }
    }

    #[test]
    fn each_address_comes_with_what_may_be_called_for_it() {
        let variables = BTreeMap::from([
            ("OLLAMA_URL".to_owned(), "http://127.0.0.1:11434".to_owned()),
            ("REDIS_URL".to_owned(), "redis://:secret@redis.example:6380/1".to_owned()),
            ("OPENAI_BASE_URL".to_owned(), "https://gateway.example:8443/openai/v1?x=1".to_owned()),
        ]);
        let given = given(&variables);
        assert_eq!(given["SPIN_VARIABLE_OLLAMA_HOST"], "http://127.0.0.1:11434");
        assert_eq!(given["SPIN_VARIABLE_OPENAI_HOST"], "https://gateway.example:8443");
        assert_eq!(given["SPIN_VARIABLE_OLLAMA_URL"], "http://127.0.0.1:11434");
        assert_eq!(given["SPIN_VARIABLE_REDIS_HOST"], "redis://redis.example:6380");
        assert_eq!(given.len(), 6);
    }
}
