use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::guest;
use crate::running::manifest;
use crate::wire::Call;

const ONE: &str = r#"
    [variables]
    given = { required = true }
    ambient = { default = "" }
    [[trigger.http]]
    route = "/..."
    component = "one"
    [component.one]
    source = $WASM
    variables = { given = "{{ given }}", ambient = "{{ ambient }}" }
"#;

/// The program with the manifest `text`, which is written to `folder`.
fn program(folder: &Path, text: &str) -> Command {
    let path = folder.join("spin.toml");
    std::fs::write(&path, manifest(text)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_spin-host"));
    command.args(["--listen", "127.0.0.1:0", "--manifest"]).arg(path);
    command.arg("--cache").arg(cache()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn cache() -> PathBuf {
    guest::wasm().with_file_name(".spin-host")
}

/// What a program that has ended has printed to standard error.
fn errors(program: &mut Child) -> String {
    let mut text = String::new();
    program.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_program_says_where_it_listens_passes_on_what_is_printed_and_stops_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path(), ONE);
    command.args(["--variable", "given=1", "--env", "COLOUR=red"]).env("SPIN_VARIABLE_AMBIENT", "2");
    let mut program = command.env("SPIN_VARIABLE_GIVEN", "over").spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let address = ready.strip_prefix("listening on http://").unwrap().trim_end().parse().unwrap();
    let text = |target: &str| Call::get(address, target).answer();
    assert_eq!(text("/variable/given"), (200, r#"Ok("1")"#.into()));
    assert_eq!(text("/variable/ambient"), (200, r#"Ok("2")"#.into()));
    assert_eq!(text("/environment/COLOUR"), (200, "red".into()));
    assert_eq!(text("/print"), (200, String::new()));
    assert_eq!(text("/panic"), (500, String::new()));
    kill_process(Pid::from_child(&program), Signal::TERM).unwrap();
    assert!(program.wait().unwrap().success());
    let errors = errors(&mut program);
    assert_eq!(errors.matches("has failed").count(), 1, "{errors}");
    for line in ["[one] half a line, and its end", "[one] no end", "asked to", "an instance of one has failed: "] {
        assert!(errors.contains(line), "{line:?} is not in {errors}");
    }
}

#[test]
fn the_program_names_what_is_wrong_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let mut failed = program(folder.path(), ONE).spawn().unwrap();
    assert_eq!(failed.wait().unwrap().code(), Some(1));
    assert_eq!(
        errors(&mut failed),
        "spin-host: the application cannot run:\n  the variable given: it is required: give it by SPIN_VARIABLE_GIVEN or --variable given=…\n"
    );
    let mut failed = program(folder.path(), "[trigger]\nhttp = 1\n").spawn().unwrap();
    assert_eq!(failed.wait().unwrap().code(), Some(1));
    let errors = errors(&mut failed);
    assert!(errors.contains("spin.toml: ") && errors.contains("line 5, "), "{errors}");
}
