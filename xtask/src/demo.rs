use std::io::{BufRead, BufReader, Write as _};
use std::time::{Duration, Instant};

use local_stack::Description;
use serde_json::{Value, json};

use crate::progress::{bold, dim};
use crate::state;

/// How long the usage row may take to appear: it is written after the answer.
const ROW_WITHIN: Duration = Duration::from_secs(10);

/// `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The question to ask.
    #[arg(default_value = "Why do teams put an edge in front of their LLM keys?")]
    question: String,
    /// The runtime to ask: `workerd`, `spin` or `native` [default: the first of them that runs].
    #[arg(long)]
    host: Option<String>,
}

/// Who is asked where nobody is named: first what ships.
const HOSTS: [&str; 3] = ["workerd", "spin", "native"];

/// Signs the demo user in, streams a chat completion through the edge, and shows the usage row it left in Postgres.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let stack = Description::read(&state().join("stack.json")).map_err(|error| error.to_string())?;
    let edge = match &arguments.host {
        Some(host) => stack.edges.get(host),
        None => HOSTS.into_iter().find_map(|host| stack.edges.get(host)),
    };
    let edge = edge.ok_or_else(|| {
        let running: Vec<_> = stack.edges.keys().map(String::as_str).collect();
        format!(
            "the stack has no edge on {}: it runs {}",
            arguments.host.as_deref().unwrap_or("any host"),
            running.join(", ")
        )
    })?;
    println!("{} POST {}/auth/login as {}", bold("1."), edge.url, stack.demo.email);
    let session = call(
        agent().post(format!("{}/auth/login", edge.url)),
        &json!({"email": stack.demo.email, "password": stack.demo.password}),
    )?;
    let token = session["access_token"].as_str().ok_or("the edge gave no access token")?;

    println!(
        "{} POST {}/v1/chat/completions with stream: true\n   {}\n",
        bold("2."),
        edge.url,
        dim(&arguments.question)
    );
    let before = requests(&edge.url, token)?;
    let request_id = stream(&edge.url, token, &arguments.question)?;

    println!("\n{} GET {}/v1/usage", bold("3."), edge.url);
    let usage = wait_for_row(&edge.url, token, before)?;
    println!("{}", table(&usage["data"]));
    println!("   {}", dim(&format!("request id {request_id}; the row is in public.llm_usage")));
    Ok(())
}

/// Prints the answer word by word as it arrives and returns the request id.
fn stream(edge: &str, token: &str, question: &str) -> Result<String, String> {
    let body = json!({"model": "default", "stream": true, "messages": [{"role": "user", "content": question}]});
    let (begun, mut first) = (Instant::now(), None);
    let response = agent()
        .post(format!("{edge}/v1/chat/completions"))
        .header("authorization", format!("Bearer {token}"))
        .send_json(&body)
        .map_err(|error| format!("the edge did not answer: {error}"))?;
    let header =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    let (status, request_id, provider, model) =
        (response.status(), header("x-request-id"), header("x-qlp-provider"), header("x-qlp-model"));
    let lines = BufReader::new(response.into_body().into_reader()).lines();
    print!("   ");
    let mut chunks = 0;
    for line in lines {
        let line = line.map_err(|error| format!("the stream broke: {error}"))?;
        let Some(data) = line.strip_prefix("data: ") else {
            if !status.is_success() {
                return Err(format!("{status}: {line}"));
            }
            continue;
        };
        if data == "[DONE]" {
            break;
        }
        let chunk: Value = serde_json::from_str(data).map_err(|error| format!("a chunk is not JSON: {error}"))?;
        if let Some(error) = chunk["error"]["message"].as_str() {
            return Err(error.to_owned());
        }
        if let Some(text) = chunk["choices"][0]["delta"]["content"].as_str() {
            first.get_or_insert_with(|| begun.elapsed());
            chunks += 1;
            print!("{text}");
            let _ = std::io::stdout().flush();
        }
    }
    let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let timing = format!(
        "{chunks} chunks from {provider} ({model}), first after {:.1} ms, all after {:.1} ms",
        millis(first.unwrap_or_default()),
        millis(begun.elapsed())
    );
    println!("\n\n   {}", dim(&timing));
    Ok(request_id)
}

/// Waits until one request more than `before` is counted.
fn wait_for_row(edge: &str, token: &str, before: u64) -> Result<Value, String> {
    let deadline = Instant::now() + ROW_WITHIN;
    loop {
        let usage = usage(edge, token)?;
        if usage["total"]["requests"].as_u64().unwrap_or(0) > before {
            return Ok(usage);
        }
        if Instant::now() > deadline {
            return Err("the usage row did not appear within 10 s; see .local/logs".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn requests(edge: &str, token: &str) -> Result<u64, String> {
    Ok(usage(edge, token)?["total"]["requests"].as_u64().unwrap_or(0))
}

fn usage(edge: &str, token: &str) -> Result<Value, String> {
    let request =
        agent().get(format!("{edge}/v1/usage?group_by=model")).header("authorization", format!("Bearer {token}"));
    answer(request.call())
}

fn table(rows: &Value) -> String {
    let line = |cells: [String; 6]| {
        let [model, requests, input, output, cost, latency] = cells;
        format!("   {model:<20} {requests:>8} {input:>10} {output:>10} {cost:>10} {latency:>8}")
    };
    let mut lines =
        vec![line(["model", "requests", "tokens in", "tokens out", "cost USD", "p50 ms"].map(str::to_owned))];
    for row in rows.as_array().into_iter().flatten() {
        let cost = row["cost_nano_usd"].as_f64().map_or("unknown".into(), |nano| format!("{:.6}", nano / 1e9));
        let model = row["group"].as_str().unwrap_or("-").to_owned();
        let [requests, input, output] = ["requests", "input_tokens", "output_tokens"].map(|name| row[name].to_string());
        lines.push(line([model, requests, input, output, cost, row["latency_ms"]["p50"].to_string()]));
    }
    lines.join("\n")
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_mins(2)))
        .build()
        .into()
}

fn call(request: ureq::RequestBuilder<ureq::typestate::WithBody>, body: &Value) -> Result<Value, String> {
    answer(request.send_json(body))
}

fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, String> {
    let mut response = result.map_err(|error| format!("the edge did not answer: {error}"))?;
    let status = response.status();
    let body: Value = response.body_mut().read_json().map_err(|error| format!("{status}: {error}"))?;
    if status.is_success() { Ok(body) } else { Err(format!("{status}: {body}")) }
}
