//! The command line.

/// What `--help` prints.
pub const HELP: &str = "\
Measures an edge beside its provider called directly, in turns within one run.

usage: bench [--stack FILE] [options]            every edge of a running stack (default .local/stack.json)
       bench --edge URL --edge-pid PID --direct URL --token JWT [--host workerd|native|spin] [options]
       bench --only ledger | --ledger-sql | --ledger-redis | --wasm FILE | --boot COMMAND --boot-url URL      alone need no edge

  --reference          also a plain JavaScript worker on bare workerd: `new Response(\"ok\")` and a forwarder
  --workerd FILE       its binary (default: the one in node_modules)
  --wasm FILE          size of a module or Spin component, raw and gzipped; may come several times
  --boot COMMAND --boot-url URL
                       milliseconds from starting COMMAND to the first 200 at URL; COMMAND must stay in the foreground
  --ledger-sql         calls per second of the ledger in Postgres over 8 connections, and microseconds of CPU of the
                       server for each: takes of a user and an organization, and calls that begin and end
  --ledger-redis       the same of the ledger in Redis
  --direct-token KEY   the provider's key (default: bench); --direct-pid PID for its CPU time
  --only LIST          of trivial,json,short,sse,paced,many,identity,memory,ledger,hop
  --rounds N           turns of each target (default 5); --seconds S per turn (default 1; for paced three, for many eight times that)
  --json FILE          the same figures for programs

What the rows are
  trivial  GET /healthz
  json     POST /v1/chat/completions, a small prompt, 24 tokens
  short    the same as a stream of 23 frames, as fast as they come; sse is one of 50 frames
  paced    the same as a stream: first token after 100 ms, then 40 tokens 10 ms apart
  each in a closed loop over 1 and over 16 kept-alive connections
  many     only on request: 512 streams at once, each of 25 tokens 250 ms apart; one after the other they begin within 4 s
  identity is a table of its own: CPU of GET /auth/session over 16 connections, less that of the trivial route in the
           same round. A token at first sight was never used before on that host, the other credentials just before (a
           Spin component may have got another instance since). It needs a stack, whose user signs in for the tokens
  ledger   nanoseconds of an account's operations within this process, and through the native host's ledger, whose journal
           is in the folder for temporary files (TMPDIR). `--only ledger` needs no edge
  hop      is a table of its own, only on request: CPU of a hop to the ledger's Durable Object over 16 connections, less that
           of the same route without it in the same round; --reference has a counter in JavaScript. The Worker must have
           the feature `probe`, as the example `serve` of local-workerd starts it with the arguments `0 probe`: give its URL
           as --edge and --direct, its process as --edge-pid, and --host workerd --token none

What the columns are
  rps, /direct         requests per second, and their ratio to calling the provider directly
  cpu us               CPU time per request of the whole process (threads and children, background work included), from
                       the scheduler's nanosecond counts in /proc; needs Linux and the same user or root
  p50, +p50, +p99      milliseconds to the end of the answer; + is what the edge adds to the direct call: the median over
                       the rounds of the difference of the two percentiles
  +first               milliseconds added to the first frame, median
  frames               frames per stream, how many did not come, and how many of the paced ones came less than 1 ms after
                       the frame before them although they were sent 10 ms apart, or 250; of all streams
  gap99                99th percentile of the pause between two paced frames, edge / direct (10 ms were sent, or 250);
                       the limit of many is on the difference of the two, the median over the rounds: a frame that is
                       late has a longer pause before it. What all frames are late by is in +first
  limit                what the row should keep, with `over` where it does not

On a busy machine trust the CPU column and ratios, not single latencies: run it again, or give it more --rounds.
";

/// What is to be measured.
#[derive(Debug)]
pub struct Arguments {
    pub stack: Option<String>,
    pub edge: Option<String>,
    pub edge_pid: Option<u32>,
    pub direct: Option<String>,
    pub token: Option<String>,
    pub host: String,
    pub direct_token: String,
    pub direct_pid: Option<u32>,
    pub reference: bool,
    pub workerd: Option<String>,
    pub wasm: Vec<String>,
    /// The command and the URL that it answers at.
    pub boot: Option<(String, String)>,
    pub ledger_sql: bool,
    pub ledger_redis: bool,
    pub only: Vec<String>,
    pub rounds: usize,
    pub seconds: f64,
    pub json: Option<String>,
}

const ROWS: [&str; 10] = ["trivial", "json", "short", "sse", "paced", "many", "identity", "memory", "ledger", "hop"];

impl Arguments {
    /// Reads the command line; nothing when help was asked for.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut arguments = Self::default();
        let (mut boot, mut boot_url) = (None, None);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value; --help explains"));
            match word.as_str() {
                "--stack" => arguments.stack = Some(value()?),
                "--edge" => arguments.edge = Some(value()?),
                "--edge-pid" => arguments.edge_pid = Some(number(&word, &value()?)?),
                "--direct" => arguments.direct = Some(value()?),
                "--token" => arguments.token = Some(value()?),
                "--host" => arguments.host = value()?,
                "--ledger-sql" => arguments.ledger_sql = true,
                "--ledger-redis" => arguments.ledger_redis = true,
                "--direct-token" => arguments.direct_token = value()?,
                "--direct-pid" => arguments.direct_pid = Some(number(&word, &value()?)?),
                "--reference" => arguments.reference = true,
                "--workerd" => arguments.workerd = Some(value()?),
                "--wasm" => arguments.wasm.push(value()?),
                "--boot" => boot = Some(value()?),
                "--boot-url" => boot_url = Some(value()?),
                "--only" => arguments.only = rows(&value()?)?,
                "--rounds" => arguments.rounds = number::<usize>(&word, &value()?)?.max(1),
                "--seconds" => arguments.seconds = number::<f64>(&word, &value()?)?.clamp(0.05, 600.0),
                "--json" => arguments.json = Some(value()?),
                "-h" | "--help" => return Ok(None),
                other => return Err(format!("unknown argument {other}; --help explains")),
            }
        }
        arguments.boot = match (boot, boot_url) {
            (None, None) => None,
            (Some(command), Some(url)) => Some((command, url)),
            _ => return Err("--boot and --boot-url come together".to_owned()),
        };
        Ok(Some(arguments))
    }

    /// Whether the row of this name is to be measured.
    pub fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.asks_for(row)
    }

    /// Whether the row of this name was named.
    pub fn asks_for(&self, row: &str) -> bool {
        self.only.iter().any(|wanted| wanted == row)
    }

    /// Whether nothing is asked for that needs an edge.
    pub fn needs_no_edge(&self) -> bool {
        self.stack.is_none()
            && !self.reference
            && (!self.wasm.is_empty()
                || self.boot.is_some()
                || self.ledger_sql
                || self.ledger_redis
                || self.only == ["ledger"])
    }
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            stack: None,
            edge: None,
            edge_pid: None,
            direct: None,
            token: None,
            host: "edge".to_owned(),
            direct_token: "bench".to_owned(),
            direct_pid: None,
            reference: false,
            workerd: None,
            wasm: Vec::new(),
            boot: None,
            ledger_sql: false,
            ledger_redis: false,
            only: Vec::new(),
            rounds: 5,
            seconds: 1.0,
            json: None,
        }
    }
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name}: {text} is not a number"))
}

fn rows(list: &str) -> Result<Vec<String>, String> {
    let rows: Vec<String> = list.split(',').map(|row| row.trim().to_owned()).collect();
    match rows.iter().find(|row| !ROWS.contains(&row.as_str())) {
        Some(unknown) => Err(format!("--only: there is no row {unknown}, only {}", ROWS.join(", "))),
        None => Ok(rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_the_rows_there_are() {
        let list = HELP.lines().find_map(|line| line.trim().strip_prefix("--only LIST")).unwrap();
        assert_eq!(list.trim().strip_prefix("of ").unwrap(), ROWS.join(","));
    }

    fn parse(line: &str) -> Result<Option<Arguments>, String> {
        Arguments::parse(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn reads_every_option_that_the_help_names() {
        let options: Vec<&str> = HELP
            .split(|c: char| c.is_whitespace() || "[],;()|.".contains(c))
            .filter(|word| word.starts_with("--"))
            .collect();
        assert!(options.len() > 15);
        for option in options {
            let error = parse(&format!("{option} 1")).err().unwrap_or_default();
            assert!(!error.contains("unknown argument --"), "{option}: {error}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(parse("--rounds x").unwrap_err(), "--rounds: x is not a number");
        assert!(parse("--only json,cpu").unwrap_err().contains("no row cpu"));
        assert!(parse("--boot true").unwrap_err().contains("come together"));
    }
}
