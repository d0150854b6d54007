//! The cluster on disk: made once, reused ever after.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Error;
use crate::account::Account;
use crate::binaries::Binaries;
use crate::place::Place;

/// The name of the superuser, as everywhere.
pub(crate) const SUPERUSER: &str = "postgres";

/// Makes the cluster unless it is there, and returns its superuser's password.
pub(crate) fn ensure(
    place: &Place,
    binaries: &Binaries,
    account: Option<Account>,
    durable: bool,
) -> Result<String, Error> {
    match fs::read_to_string(place.data().join("PG_VERSION")) {
        Ok(version) => check_version(version.trim(), binaries, place)?,
        Err(_) => create(place, binaries, account, durable)?,
    }
    fs::read_to_string(place.password()).map_err(Error::io(format!("read {}", place.password().display())))
}

/// A command that runs `program` as the right account, in a folder and with an environment that suit it.
pub(crate) fn command(program: &str, place: &Place, binaries: &Binaries, account: Option<Account>) -> Command {
    let mut command = binaries.command(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").current_dir(&place.folder).stdin(Stdio::null());
    if let Some(account) = account {
        account.run(&mut command);
    }
    command
}

/// Makes the cluster under another name first: what is called `data` is always complete.
fn create(place: &Place, binaries: &Binaries, account: Option<Account>, durable: bool) -> Result<(), Error> {
    let fresh = place.folder.join("data.new");
    for unfinished in [&fresh, &place.data()] {
        if unfinished.exists() {
            fs::remove_dir_all(unfinished).map_err(Error::io(format!("delete {}", unfinished.display())))?;
        }
    }
    write_password(&place.password(), account)?;
    let mut initdb = command("initdb", place, binaries, account);
    initdb.arg("-D").arg(&fresh).arg("--pwfile").arg(place.password());
    initdb.args(["-U", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8", locale()]);
    if !durable {
        initdb.arg("--no-sync");
    }
    let output = initdb.output().map_err(Error::io("run initdb"))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        return Err(Error::Program { program: "initdb", reason, log: place.log() });
    }
    fs::rename(&fresh, place.data()).map_err(Error::io(format!("create {}", place.data().display())))
}

fn write_password(path: &Path, account: Option<Account>) -> Result<(), Error> {
    let step = || Error::io(format!("write {}", path.display()));
    let mut random = [0; 16];
    fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut random)).map_err(step())?;
    let password = format!("{:032x}", u128::from_le_bytes(random));
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).map_err(step())?;
    file.write_all(password.as_bytes()).map_err(step())?;
    account.map_or(Ok(()), |account| account.own(path))
}

fn locale() -> &'static str {
    if cfg!(target_os = "macos") { "--locale=en_US.UTF-8" } else { "--locale=C.UTF-8" }
}

fn check_version(made_by: &str, binaries: &Binaries, place: &Place) -> Result<(), Error> {
    if made_by == binaries.major.to_string() {
        return Ok(());
    }
    Err(Error::OtherVersion { folder: place.data(), made_by: made_by.to_owned(), found: binaries.major })
}
