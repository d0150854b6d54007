use std::fmt::Write as _;

use platform::Timestamp;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::Level;
use crate::fields::Fields;

/// Logs every event of the process at `level` and above: `write` is given one JSON object per event, without a line
/// break and at most 16 KiB long. A second call changes nothing.
pub fn install(
    level: Level,
    now: impl Fn() -> Timestamp + Send + Sync + 'static,
    write: impl Fn(&str) + Send + Sync + 'static,
) {
    // It fails only when a subscriber is there already.
    let _ = tracing::subscriber::set_global_default(subscriber(level, now, write));
}

/// What [`install`] installs, for tests that watch the log of one scope with `tracing::subscriber::with_default`.
pub fn subscriber(
    level: Level,
    now: impl Fn() -> Timestamp + Send + Sync + 'static,
    write: impl Fn(&str) + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync {
    Registry::default().with(JsonLines { now, write }).with(level)
}

struct JsonLines<N, W> {
    now: N,
    write: W,
}

impl<S, N, W> Layer<S> for JsonLines<N, W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: Fn() -> Timestamp + 'static,
    W: Fn(&str) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = Line::begin((self.now)(), event.metadata().level().as_str(), event.metadata().target());
        line.add(&fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.add(fields);
            }
        }
        (self.write)(&line.end());
    }
}

/// One line in the making. Of two fields with one name the first added stays: the event's before its span's, the inner
/// span's before the outer's.
struct Line {
    text: String,
    names: Vec<&'static str>,
    complete: bool,
}

const MAX_LINE: usize = 16 * 1024;
const TRUNCATED: &str = r#","truncated":true}"#;
/// Names that the line itself uses; a field of such a name is written with a prefix.
const OWN: [&str; 4] = ["ts", "level", "target", "truncated"];

impl Line {
    fn begin(now: Timestamp, level: &str, target: &str) -> Self {
        let mut text = String::with_capacity(1024);
        // Writing to a string cannot fail. Levels and targets are module paths and constants of the source code, which
        // need no escapes.
        let _ = write!(text, r#"{{"ts":"{now:.3}","level":"{level}","target":"{target}""#);
        Self { text, names: Vec::new(), complete: true }
    }

    fn add(&mut self, fields: &Fields) {
        for (name, value) in fields.iter() {
            if !self.names.contains(&name) {
                self.names.push(name);
                self.add_one(name, value);
            }
        }
    }

    fn add_one(&mut self, name: &str, value: &str) {
        let prefix = if OWN.contains(&name) { "field." } else { "" };
        let parts = [",\"", prefix, name, "\":", value];
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.text.len() + length + TRUNCATED.len() > MAX_LINE {
            self.complete = false;
        } else {
            self.text.extend(parts);
        }
    }

    fn end(mut self) -> String {
        self.text.push_str(if self.complete { "}" } else { TRUNCATED });
        self.text
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use secrecy::SecretString;
    use serde_json::{Value, json};
    use tracing::{debug, error, error_span, field, info, warn};

    use super::*;

    fn logged(level: &str, scope: impl FnOnce()) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sink, now) = (Arc::clone(&lines), "2026-01-02T03:04:05.0067Z".parse().unwrap());
        let write = move |line: &str| sink.lock().unwrap().push(line.to_owned());
        tracing::subscriber::with_default(subscriber(level.parse().unwrap(), move || now, write), scope);
        Arc::try_unwrap(lines).unwrap().into_inner().unwrap()
    }

    fn only(lines: &[String]) -> Value {
        let [line] = lines else { panic!("not one line: {lines:?}") };
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn a_line_has_time_level_target_message_and_the_fields_of_event_and_spans() {
        let lines = logged("info", || {
            let outer = error_span!("request", request_id = "r-1", trace_id = field::Empty, route = "outer");
            outer.record("trace_id", "t-1");
            let _outer = outer.entered();
            let _inner = error_span!("upstream", route = "inner").entered();
            info!(target: "edge", attempts = 2, cached = false, cost = 0.5, negative = -1, "answered");
        });
        assert_eq!(
            only(&lines),
            json!({"ts": "2026-01-02T03:04:05.006Z", "level": "INFO", "target": "edge", "message": "answered",
                   "attempts": 2, "cached": false, "cost": 0.5, "negative": -1,
                   "request_id": "r-1", "trace_id": "t-1", "route": "inner"})
        );
    }

    #[test]
    fn less_severe_events_are_not_logged() {
        let emit = || {
            error!("e");
            warn!("w");
            info!("i");
            debug!("d");
        };
        let counts = ["off", "error", "warn", "info", "debug"].map(|level| logged(level, emit).len());
        assert_eq!(counts, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        let outer = std::io::Error::other(platform::SendError::Unreachable("no route".into()));
        let lines = logged("info", || error!(error = &outer as &dyn std::error::Error, "failed"));
        assert_eq!(only(&lines)["error"], "no response: no route");
    }

    #[test]
    fn a_secret_stays_secret() {
        let secret = SecretString::from("hunter2");
        let lines = logged("info", || info!(?secret, "configured"));
        assert!(!lines[0].contains("hunter2") && lines[0].contains("REDACTED"), "{lines:?}");
    }

    #[test]
    fn whatever_a_value_contains_an_event_stays_one_line_of_json() {
        let nasty = "\r\n\"}{\u{1b}[31m\0\u{2028}\\";
        let lines = logged("info", || info!(nasty, level = "fake", ts = 1, "{nasty}"));
        assert!(!lines[0].contains(['\n', '\r', '\u{1b}', '\0']));
        let line = only(&lines);
        assert_eq!((&line["nasty"], &line["message"]), (&json!(nasty), &json!(nasty)));
        assert_eq!((&line["level"], &line["field.level"]), (&json!("INFO"), &json!("fake")));
    }

    #[test]
    fn long_values_and_many_fields_do_not_make_a_long_line() {
        let long = "é\n".repeat(100_000);
        let lines =
            logged("info", || info!(a = long, b = %long, c = ?long, d = long, e = long, f = long, z = 1, "{long}"));
        assert!(lines[0].len() <= MAX_LINE, "{}", lines[0].len());
        let line = only(&lines);
        assert_eq!((&line["truncated"], &line["z"]), (&json!(true), &json!(1)));
        assert!(line["message"].as_str().unwrap().ends_with('…'));
    }
}
