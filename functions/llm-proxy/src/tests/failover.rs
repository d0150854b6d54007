mod hedging;

use std::collections::VecDeque;
use std::time::Duration;

use platform::fakes::StreamHandle;

use super::*;

const REQUEST: &str = r#"{"model":"default","messages":[{"role":"user","content":"Hi"}],"max_tokens":10}"#;
const STREAM: &str = r#"{"model":"default","messages":[{"role":"user","content":"Hi"}],"max_tokens":10,"stream":true}"#;
const ROLE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const HELLO: &str = "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// How a provider answers one try.
enum Try {
    Whole,
    Status(u16, &'static [(&'static str, &'static str)], &'static str),
    Unreachable,
    Silent,
    Stream(Body),
    /// The head of a JSON answer, and this.
    Begun(Body),
    /// What comes after so long.
    Late(Duration, Box<Try>),
}

/// The primary (together) and the fallback (simulator), each with its answers in order.
fn scene(primary: Vec<Try>, fallback: Vec<Try>) -> Scene {
    scene_with(&[], primary, fallback)
}

fn scene_with(variables: &[(&str, &str)], primary: Vec<Try>, fallback: Vec<Try>) -> Scene {
    let mut all = vec![("TOGETHER_API_KEY", "t-key"), ("TOGETHER_BASE_URL", "https://together.test/v1")];
    all.extend(variables);
    let scene = Scene::with(&all);
    let (database, clock) = (Arc::clone(&scene.database), scene.host.context().clock);
    let answers = Mutex::new([VecDeque::from(primary), VecDeque::from(fallback)]);
    scene.host.http.handle(move |request| {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let answer = match host.as_str() {
            "project.test" => Some((Duration::ZERO, database.lock().unwrap().answer(request))),
            "together.test" => {
                answers.lock().unwrap()[0].pop_front().expect("no further try of the primary").answer("m-1")
            }
            _ => answers.lock().unwrap()[1].pop_front().expect("no further try of the fallback").answer("m-2"),
        };
        let clock = Arc::clone(&clock);
        async move {
            let Some((after, answer)) = answer else { return std::future::pending().await };
            clock.sleep(after).await;
            answer
        }
    });
    scene
}

impl Try {
    /// The answer, and after how long; nothing if there never is one.
    fn answer(self, model: &str) -> Option<(Duration, Result<Response, SendError>)> {
        let whole = format!(
            r#"{{"model":"{model}","choices":[{{"message":{{"content":"Hi."}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":4,"completion_tokens":2}}}}"#
        );
        let answer = match self {
            Self::Whole => Ok(response(200, "application/json", whole)),
            Self::Status(status, headers, body) => {
                let mut answer = response(status, "application/json", body);
                for (name, value) in headers {
                    answer.headers_mut().insert(*name, value.parse().unwrap());
                }
                Ok(answer)
            }
            Self::Unreachable => Err(SendError::Unreachable("reset".into())),
            Self::Silent => return None,
            Self::Stream(body) => {
                Ok(http::Response::builder().header(CONTENT_TYPE, "text/event-stream").body(body).unwrap())
            }
            Self::Begun(body) => {
                Ok(http::Response::builder().header(CONTENT_TYPE, "application/json").body(body).unwrap())
            }
            Self::Late(after, answer) => {
                return answer.answer(model).map(|(later, answer)| (after + later, answer));
            }
        };
        Some((Duration::ZERO, answer))
    }
}

/// A stream of which these parts come, and then its end, or nothing.
fn stream(parts: &[&str], ends: bool) -> (Try, Option<StreamHandle>) {
    let (handle, body) = streamed_body();
    for part in parts {
        handle.send((*part).to_owned());
    }
    if ends {
        handle.finish();
        return (Try::Stream(body), None);
    }
    (Try::Stream(body), Some(handle))
}

fn whole_stream() -> Try {
    stream(&[ROLE, HELLO, STOP, DONE], true).0
}

fn header(answer: &Response, name: &str) -> String {
    answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// Who answered, at which try.
fn answered(answer: &Response) -> (String, String) {
    (header(answer, "x-qlp-provider"), header(answer, "x-qlp-attempts"))
}

fn by(provider: &str, attempts: u32) -> (String, String) {
    (provider.to_owned(), attempts.to_string())
}

fn seconds(scene: &Scene, since: platform::Timestamp) -> u64 {
    scene.host.clock.now().duration_since(since).as_secs()
}

#[test]
fn s01_too_many_requests_are_waited_for_as_told() {
    let scene = scene(vec![Try::Status(429, &[("retry-after", "3")], "{}"), Try::Whole], vec![]);
    let started = scene.host.clock.now();
    assert_eq!(answered(&scene.complete(REQUEST).unwrap()), by("together", 2));
    assert_eq!(seconds(&scene, started), 3);
    assert_eq!(scene.event()["attempts"], 2);
}

#[test]
fn s01_a_longer_wait_than_makes_sense_is_the_next_routes_turn() {
    let scene = scene(vec![Try::Status(429, &[("retry-after", "60")], "{}")], vec![Try::Whole]);
    let started = scene.host.clock.now();
    assert_eq!(answered(&scene.complete(REQUEST).unwrap()), by("simulator", 2));
    assert_eq!(seconds(&scene, started), 0);
}

#[test]
fn s02_too_many_requests_for_good_end_in_a_429_as_the_last_provider_says_it() {
    let body = r#"{"error":{"message":"org-1 is over","type":"requests","code":"rate_limit_exceeded"}}"#;
    let many = || Try::Status(429, &[("retry-after", "1")], body);
    let scene = scene(vec![many(), many()], vec![many(), many()]);
    let answer = scene.complete(REQUEST).unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "retry-after")), (429, "1".to_owned()));
    assert_eq!(answered(&answer), by("simulator", 4));
    assert!(text(&scene, answer).contains("rate_limit_exceeded"));
    assert_eq!(scene.event()["cost_nano_usd"], 0);
}

#[test]
fn s02_too_many_requests_are_a_429_also_where_a_stream_says_so_before_its_first_text() {
    for (events, kind) in [
        (
            "data: {\"error\":{\"message\":\"org-1 is over\",\"type\":\"requests\",\"code\":\"rate_limit_exceeded\"}}\n\n",
            "requests",
        ),
        ("data: {\"error\":{\"message\":\"org-1 is over\",\"type\":\"rate_limit_error\"}}\n\n", "rate_limit_error"),
    ] {
        let many = || stream(&[ROLE, events], true).0;
        let scene =
            scene_with(&[("LLM_BREAKER_FAILURES", "1")], vec![many(), many(), whole_stream()], vec![many(), many()]);
        let answer = scene.complete(STREAM).unwrap();
        assert_eq!((answer.status().as_u16(), answered(&answer)), (429, by("simulator", 4)));
        assert_eq!(header(&answer, "content-type"), "application/json");
        let body: Value = serde_json::from_str(&text(&scene, answer)).unwrap();
        assert_eq!(body["error"]["type"], kind);
        assert!(!body.to_string().contains("org-1"), "{body}");
        let event = scene.event();
        assert_eq!((&event["status"], &event["http_status"]), (&json!("upstream_error"), &json!(429)));
        assert_eq!(answered(&scene.complete(STREAM).unwrap()), by("together", 1), "no route is left alone");
    }
}

#[test]
fn a_request_that_a_stream_calls_wrong_before_its_first_text_is_a_400_and_is_sent_once() {
    let events = "data: {\"error\":{\"message\":\"Too many tokens.\",\"type\":\"invalid_request_error\",\"code\":\"context_length_exceeded\"}}\n\n";
    let scene =
        scene_with(&[("LLM_BREAKER_FAILURES", "1")], vec![stream(&[ROLE, events], true).0], vec![whole_stream()]);
    let answer = scene.complete(STREAM).unwrap();
    assert_eq!((answer.status().as_u16(), answered(&answer)), (400, by("together", 1)));
    let body: Value = serde_json::from_str(&text(&scene, answer)).unwrap();
    let error = &body["error"];
    assert_eq!((&error["code"], &error["message"]), (&json!("context_length_exceeded"), &json!("Too many tokens.")));
    let event = scene.event();
    assert_eq!((&event["status"], &event["http_status"]), (&json!("upstream_error"), &json!(400)));
}

#[test]
fn s03_a_single_500_is_tried_again_and_leaves_one_row() {
    let scene = scene(vec![Try::Status(500, &[], "{}"), Try::Whole], vec![]);
    assert_eq!(answered(&scene.complete(REQUEST).unwrap()), by("together", 2));
    let event = scene.event();
    assert_eq!((&event["status"], &event["attempts"]), (&json!("success"), &json!(2)));
}

#[test]
fn s04_503_for_good_goes_to_the_next_route() {
    let scene = scene(vec![Try::Status(503, &[], "{}"), Try::Status(503, &[], "{}")], vec![Try::Whole]);
    assert_eq!(answered(&scene.complete(REQUEST).unwrap()), by("simulator", 3));
}

#[test]
fn s05_a_connection_that_is_reset_is_tried_again_and_then_elsewhere() {
    let scene = scene(vec![Try::Unreachable, Try::Unreachable], vec![Try::Whole]);
    assert_eq!(answered(&scene.complete(REQUEST).unwrap()), by("simulator", 3));
}

#[test]
fn s06_who_does_not_answer_at_all_is_left_for_the_next_route() {
    let variables = [("LLM_HEADERS_TIMEOUT_MS", "2000"), ("LLM_ANSWER_TIMEOUT_MS", "2000")];
    for (request, fallback) in [(STREAM, whole_stream()), (REQUEST, Try::Whole)] {
        let scene = scene_with(&variables, vec![Try::Silent], vec![fallback]);
        let started = scene.host.clock.now();
        assert_eq!(answered(&scene.complete(request).unwrap()), by("simulator", 2), "{request}");
        assert_eq!(seconds(&scene, started), 2);
    }
}

#[test]
fn s07_a_first_token_that_is_slow_is_left_for_the_next_route() {
    for parts in [&[][..], &[ROLE]] {
        let (primary, handle) = stream(parts, false);
        let scene = scene_with(&[("LLM_FIRST_TOKEN_TIMEOUT_MS", "2000")], vec![primary], vec![whole_stream()]);
        let answer = scene.complete(STREAM).unwrap();
        assert_eq!(answered(&answer), by("simulator", 2));
        assert!(handle.unwrap().is_dropped(), "the slow answer is cancelled");
        assert_eq!(text(&scene, answer), [ROLE, HELLO, STOP, DONE].concat());
    }
}

#[test]
fn a_stream_that_dies_after_its_role_is_answered_by_the_next_try() {
    let dead = || stream(&[ROLE], true).0;
    let scene = scene(vec![dead(), dead()], vec![whole_stream()]);
    let answer = scene.complete(STREAM).unwrap();
    assert_eq!(answered(&answer), by("simulator", 3));
    assert_eq!(text(&scene, answer), [ROLE, HELLO, STOP, DONE].concat());
    assert_eq!(scene.event()["model"], "m-1", "as the answer says, not as the failed ones did");
}

#[test]
fn s08_s14_after_the_first_text_nothing_is_tried_again() {
    let (cut, handle) = stream(&[ROLE, HELLO], false);
    let scene = scene(vec![cut], vec![]);
    let answer = scene.complete(STREAM).unwrap();
    drop(handle); // the connection breaks
    let text = text(&scene, answer);
    assert!(text.contains("\"error\"") && !text.contains("[DONE]"), "{text}");
    assert_eq!(scene.event()["status"], "truncated");
}

#[test]
fn s10_a_malformed_event_before_the_first_text_is_tried_again() {
    let scene = scene(vec![stream(&["data: {\n\n"], true).0, whole_stream()], vec![]);
    assert_eq!(answered(&scene.complete(STREAM).unwrap()), by("together", 2));
}

#[test]
fn s12_s13_a_wrong_request_is_sent_once() {
    for code in ["context_length_exceeded", "content_filter"] {
        let body = match code {
            "content_filter" => r#"{"error":{"message":"filtered","code":"content_filter"}}"#,
            _ => r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#,
        };
        let scene = scene(vec![Try::Status(400, &[], body)], vec![]);
        let answer = scene.complete(REQUEST).unwrap();
        assert_eq!((answer.status().as_u16(), answered(&answer)), (400, by("together", 1)));
        assert!(text(&scene, answer).contains(code));
    }
}

#[test]
fn a_credential_that_is_refused_is_left_alone_and_others_are_not() {
    let scene = scene(vec![Try::Status(401, &[], "{}"), Try::Whole], vec![Try::Whole, Try::Whole]);
    assert_eq!(answered(&scene.complete(REQUEST).unwrap()), by("simulator", 2));
    assert_eq!(answered(&scene.complete(REQUEST).unwrap()), by("simulator", 1));
    scene.host.clock.advance(Duration::from_mins(1));
    assert_eq!(answered(&scene.complete(REQUEST).unwrap()), by("together", 1));
}

#[test]
fn s15_a_route_that_keeps_failing_is_left_alone_and_tried_by_one_at_a_time() {
    let failing = || Try::Status(500, &[], "{}");
    let (primary, fallback) = ((0..6).map(|_| failing()).chain([Try::Whole, Try::Whole]), (0..8).map(|_| Try::Whole));
    let scene = scene(primary.collect(), fallback.collect());
    let call = || answered(&scene.complete(REQUEST).unwrap());
    assert_eq!([call(), call()], [by("simulator", 3), by("simulator", 3)]);
    assert_eq!(call(), by("simulator", 2), "the fifth failure opens the breaker");
    assert_eq!([call(), call()], [by("simulator", 1), by("simulator", 1)], "nobody goes there");
    scene.host.clock.advance(Duration::from_secs(5));
    assert_eq!(call(), by("simulator", 2), "one tries, in vain");
    assert_eq!(call(), by("simulator", 1));
    scene.host.clock.advance(Duration::from_secs(5));
    assert_eq!(call(), by("simulator", 1), "it cools for longer each time");
    scene.host.clock.advance(Duration::from_secs(5));
    assert_eq!([call(), call()], [by("together", 1), by("together", 1)], "it works again");
}

#[test]
fn when_all_routes_are_left_alone_the_caller_is_told_when_to_come_back() {
    let failing = |count: usize| (0..count).map(|_| Try::Status(500, &[], "{}")).collect();
    let scene = scene(failing(6), failing(6));
    for _ in 0..3 {
        assert_eq!(refused(scene.complete(REQUEST).unwrap_err()).0, 502);
    }
    let (status, headers, error) = refused(scene.complete(REQUEST).unwrap_err());
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (503, "5"));
    assert!(error["message"].as_str().unwrap().contains("left alone"));
}

#[test]
fn s16_a_call_that_was_answered_by_the_fallback_is_its_and_billed_once() {
    let scene = scene(vec![Try::Unreachable, Try::Unreachable], vec![Try::Whole]);
    let answer = scene.complete(REQUEST).unwrap();
    assert_eq!((header(&answer, "x-qlp-model"), header(&answer, "x-qlp-provider")), ("m-2".into(), "simulator".into()));
    let event = scene.event();
    assert_eq!(
        (&event["model"], &event["provider"], &event["attempts"]),
        (&json!("m-2"), &json!("simulator"), &json!(3))
    );
    assert_eq!(event["cost_nano_usd"], 4 * 150 + 2 * 600);
}

#[test]
fn a_client_that_tries_again_itself_is_not_multiplied() {
    let failing = || Try::Status(500, &[], "{}");
    let scene = scene(vec![failing()], vec![failing()]);
    let mut request = post(REQUEST);
    request.headers_mut().insert("x-stainless-retry-count", "1".parse().unwrap());
    assert_eq!(refused(scene.call(request).unwrap_err()).0, 502);
    assert_eq!(scene.event()["attempts"], 2);
}

#[test]
fn all_tries_have_one_deadline() {
    let variables = [("LLM_ANSWER_TIMEOUT_MS", "5000"), ("LLM_STREAM_TIMEOUT_MS", "5000")];
    let scene = scene_with(&variables, vec![Try::Status(429, &[("retry-after", "4")], "{}"), Try::Silent], vec![]);
    let started = scene.host.clock.now();
    assert_eq!(refused(scene.complete(REQUEST).unwrap_err()).0, 504);
    assert_eq!(seconds(&scene, started), 9, "the last try begins before the deadline and has its own time");
}
