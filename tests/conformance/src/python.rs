//! Python with the clients that the suite tries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Python's interpreter with the packages of `tests/clients/requirements.txt`, which are installed on first use.
///
/// # Panics
/// If there is no Python 3.10 or later with `venv`, or a package cannot be had: it is part of the set-up of the tests.
pub fn interpreter() -> &'static Path {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    INTERPRETER.get_or_init(install)
}

fn install() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let wanted = root.join("tests/clients/requirements.txt");
    let folder = root.join("target/python");
    let (interpreter, installed) = (folder.join("bin/python"), folder.join("installed.txt"));
    if fs::read(&installed).ok() != Some(fs::read(&wanted).unwrap()) {
        println!("  Python's LLM clients, for the first time");
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"];
        run(Command::new(&interpreter).args(install).args(["--only-binary", ":all:", "--requirement"]).arg(&wanted));
        fs::copy(&wanted, &installed).unwrap();
    }
    interpreter
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status();
    let success = status.as_ref().is_ok_and(std::process::ExitStatus::success);
    assert!(success, "the tests need Python 3.10 or later with `venv` and `pip`: {command:?}: {status:?}");
}
