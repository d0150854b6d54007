//! The LLM simulator as a program: `llm-simulator --listen 127.0.0.1:8790`.

use std::io::Write;
use std::process::ExitCode;

use llm_simulator::{Options, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const HELP: &str = "\
An LLM provider for development: OpenAI's wire format, Anthropic's and Bedrock's, deterministic tokens, faults on request.

usage: llm-simulator [--listen ADDRESS] [--api-key KEY]

  --listen ADDRESS  where to listen (default 127.0.0.1:0, any free port)
  --api-key KEY     the only key that is accepted (default: any)

Prints one line of JSON when it is ready, {\"url\":\"http://127.0.0.1:PORT\"}, and stops on SIGTERM or Ctrl-C.

  curl -s $URL/v1/chat/completions -H 'authorization: Bearer x' \\
    -d '{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],
         \"metadata\":{\"sim\":\"{\\\"interval_ms\\\":50,\\\"cut_after\\\":9}\"}}'
  curl -s $URL/__sim            # the control endpoints and the fault vocabulary
";
/// How many connections may wait to be accepted: a thousand callers may come at once.
const BACKLOG: i32 = 4096;

struct Arguments {
    listen: String,
    options: Options,
}

// One thread is enough for thousands of requests per second and costs the least per request.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(message) => return fail(&format!("{message}\n\n{HELP}")),
    };
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let Arguments { listen, options } = arguments;
    let failed = |error| format!("cannot listen on {listen}: {error}");
    let listener = TcpListener::bind(&listen).await.map_err(failed)?;
    rustix::net::listen(&listener, BACKLOG).map_err(|error| failed(error.into()))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    println!("{{\"url\":\"http://{address}\"}}");
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    tokio::select! {
        () = serve(listener, options) => {}
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    let mut arguments = Arguments { listen: "127.0.0.1:0".to_owned(), options: Options::default() };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--listen" => arguments.listen = value()?,
            "--api-key" => arguments.options.api_key = Some(value()?),
            "-h" | "--help" => return Ok(None),
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(Some(arguments))
}

fn fail(message: &str) -> ExitCode {
    eprintln!("llm-simulator: {message}");
    ExitCode::FAILURE
}
