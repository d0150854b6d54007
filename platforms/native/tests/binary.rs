//! The binary as an operator runs it.

#![allow(clippy::unwrap_used)] // a test may fail this way

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn native(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_native"));
    command.env_clear().envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn says_where_it_listens_serves_and_stops_on_sigterm() {
    let mut server = Running(native(&[("LISTEN", "127.0.0.1:0")]).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = ready["url"].as_str().unwrap().strip_prefix("http://").unwrap();
    let mut caller = TcpStream::connect(address).unwrap();
    caller.write_all(b"GET /healthz HTTP/1.1\r\nhost: edge.test\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    kill_process(Pid::from_child(&server.0), Signal::TERM).unwrap();
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
}

#[test]
fn says_in_one_line_what_is_wrong_with_its_variables() {
    let output = native(&[("LISTEN", "everywhere"), ("LOG_LEVEL", "loud")]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1));
    assert!(error.contains("LISTEN") && error.contains("LOG_LEVEL"), "{error}");
}

fn ready(server: &mut Running) {
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"url\":"), "{line}");
}

#[test]
fn refuses_a_ledger_that_another_one_has_and_one_that_is_damaged() {
    let folder = tempfile::TempDir::new().unwrap();
    let variables = [("LISTEN", "127.0.0.1:0"), ("LEDGER_DIR", folder.path().to_str().unwrap())];
    let mut first = Running(native(&variables).spawn().unwrap());
    ready(&mut first);
    let refused = |reason: &str| {
        let output = native(&variables).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
        assert!(error.contains("LEDGER_DIR") && error.contains(reason), "{error}");
    };
    refused("another process has it open");
    drop(first);
    let mut second = Running(native(&variables).spawn().unwrap());
    ready(&mut second);
    drop(second);
    let mut journal = std::fs::OpenOptions::new().append(true).open(folder.path().join("journal")).unwrap();
    journal.write_all(b"01234567 {}\n").unwrap();
    refused("the line at byte 18: its checksum is another");
}

#[test]
fn warns_of_a_ledger_that_is_forgotten() {
    let mut server = Running(native(&[("LISTEN", "127.0.0.1:0")]).spawn().unwrap());
    ready(&mut server);
    kill_process(Pid::from_child(&server.0), Signal::TERM).unwrap();
    let mut log = String::new();
    server.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("LEDGER_DIR is not set")).count(), 1, "{log}");
}

#[test]
fn refuses_an_argument_it_does_not_know_and_explains_itself() {
    let refused = native(&[]).arg("--fast").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let help = native(&[]).arg("--help").output().unwrap();
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(text.contains("LISTEN") && text.contains("LOG_LEVEL"), "{text}");
}
