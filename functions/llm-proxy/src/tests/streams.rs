use std::time::Duration;

use futures_util::FutureExt;
use platform::ByteStream;

use super::*;
use crate::relay::LONGEST_EVENT;

const REQUEST: &str = r#"{"model":"default","messages":[{"role":"user","content":"hello there"}],"stream":true}"#;
const WANTS_USAGE: &str = r#"{"model":"default","messages":[{"role":"user","content":"hello there"}],"stream":true,"stream_options":{"include_usage":true}}"#;

const ROLE: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"sim/large-0613\",\"system_fingerprint\":null,\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";
const HELLO: &str = "data: {\"id\":\"c\",\"model\":\"sim/large-0613\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello é🦀\"},\"finish_reason\":null}],\"usage\":null}\n\n";
const TOOL: &str = "data: {\"id\":\"c\",\"model\":\"sim/large-0613\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"t\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]},\"finish_reason\":null}]}\n\n";
const STOP: &str = "data: {\"id\":\"c\",\"model\":\"sim/large-0613\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n";
const USAGE: &str = "data: {\"id\":\"c\",\"model\":\"sim/large-0613\",\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2,\"total_tokens\":12,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const AZURE: &str = "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\"prompt_filter_results\":[{\"prompt_index\":0}]}\n\ndata: {\"choices\":[{\"content_filter_offsets\":{\"start\":1},\"content_filter_results\":{},\"finish_reason\":null,\"index\":0}],\"id\":\"\"}\n\n";

/// Sends `parts` as one chunk each and then ends the provider's body; returns what the caller gets.
fn relayed(request: &str, parts: &[&str]) -> (Vec<String>, Value) {
    let scene = Scene::new();
    let provider = scene.provider_stream();
    send(&provider, parts);
    provider.finish();
    let pieces = pieces(&scene, scene.complete(request).unwrap());
    (pieces, scene.event())
}

fn send(provider: &StreamHandle, parts: &[&str]) {
    for part in parts {
        provider.send(part.as_bytes().to_vec());
    }
}

fn end(provider: StreamHandle, cut: bool) {
    if cut {
        provider.cut();
    } else {
        provider.finish();
    }
}

/// The error event at the end of a stream.
fn error_of(pieces: &[String]) -> Value {
    let last = pieces.last().unwrap();
    assert!(!pieces.concat().contains("[DONE]"));
    let body: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
    body["error"].clone()
}

fn body(response: Response) -> ByteStream {
    response.into_body().into_stream()
}

fn next(stream: &mut ByteStream) -> Option<String> {
    let piece = stream.next().now_or_never().expect("nothing is ready")?;
    Some(String::from_utf8(piece.unwrap().to_vec()).unwrap())
}

fn fields<const N: usize>(event: &Value, names: [&str; N]) -> [Value; N] {
    names.map(|name| event[name].clone())
}

#[test]
fn a_stream_passes_as_it_comes_without_the_usage_nobody_asked_for() {
    let (pieces, event) = relayed(REQUEST, &[ROLE, HELLO, TOOL, STOP, USAGE, DONE]);
    assert_eq!(pieces, [ROLE, HELLO, TOOL, STOP, DONE]);
    assert_eq!(
        fields(
            &event,
            [
                "status",
                "http_status",
                "finish_reason",
                "input_tokens",
                "output_tokens",
                "cached_input_tokens",
                "usage_source",
                "cost_nano_usd",
                "model",
                "stream"
            ]
        ),
        [
            json!("success"),
            json!(200),
            json!("stop"),
            json!(10),
            json!(2),
            json!(4),
            json!("provider"),
            json!(2_400),
            json!("sim/large-0613"),
            json!(true)
        ]
    );
}

#[test]
fn the_provider_is_asked_for_usage_and_a_caller_that_asked_gets_it() {
    let (pieces, _) = relayed(WANTS_USAGE, &[ROLE, HELLO, STOP, USAGE, DONE]);
    assert_eq!(pieces, [ROLE, HELLO, STOP, USAGE, DONE]);
    let scene = Scene::new();
    scene.provider_stream().send(DONE);
    scene.complete(REQUEST).unwrap();
    let sent = scene.sent();
    assert!(sent.text().ends_with(r#""stream":true,"stream_options":{"include_usage":true}}"#));
    assert_eq!(sent.header("accept"), Some("text/event-stream"));
}

#[test]
fn wherever_the_network_splits_a_stream_the_same_bytes_and_usage_come_out() {
    let streams = [
        [ROLE, HELLO, TOOL, STOP, USAGE, DONE].concat(),
        [AZURE, HELLO, STOP, USAGE, DONE].concat(),
        [": comment\n\n", HELLO, "event: x\ndata: {\"choices\":\ndata: []}\n\n", STOP, USAGE, DONE].concat(),
        [ROLE, HELLO, STOP, USAGE, DONE].concat().replace('\n', "\r\n"),
        [ROLE, HELLO, STOP, USAGE, DONE].concat().replace("data: ", "data:"),
    ];
    for stream in &streams {
        let whole = relayed(REQUEST, &[stream]);
        let usage = [USAGE.to_owned(), USAGE.replace('\n', "\r\n"), USAGE.replace("data: ", "data:")];
        let expected = usage.iter().fold(stream.clone(), |stream, usage| stream.replace(usage, ""));
        assert_eq!(whole.0.concat(), expected);
        for at in (0..=stream.len()).filter(|at| at % 3 != 1 || *at > stream.len() - 40) {
            let (head, tail) = stream.as_bytes().split_at(at);
            let scene = Scene::new();
            let provider = scene.provider_stream();
            provider.send(head.to_vec());
            provider.send(tail.to_vec());
            provider.finish();
            let answer = scene.complete(REQUEST).unwrap();
            assert_eq!(text(&scene, answer), expected, "split at {at}");
            let names = ["status", "input_tokens", "output_tokens", "finish_reason", "usage_source"];
            assert_eq!(fields(&scene.event(), names), fields(&whole.1, names), "split at {at}");
        }
    }
}

#[test]
fn each_event_goes_on_at_once_and_none_waits_for_another() {
    let scene = Scene::new();
    let provider = scene.provider_stream();
    provider.send(ROLE);
    provider.send(HELLO);
    let mut stream = body(scene.complete(REQUEST).unwrap());
    assert_eq!(next(&mut stream).as_deref(), Some(ROLE));
    assert_eq!(next(&mut stream).as_deref(), Some(HELLO));
    for event in [HELLO, TOOL, STOP] {
        assert!(stream.next().now_or_never().is_none());
        provider.send(event);
        assert_eq!(next(&mut stream).as_deref(), Some(event));
    }
    let (head, tail) = HELLO.split_at(40);
    provider.send(head);
    assert!(stream.next().now_or_never().is_none());
    provider.send(tail);
    assert_eq!(next(&mut stream).as_deref(), Some(HELLO));
}

#[test]
fn the_head_says_what_kind_of_answer_it_is_and_who_gives_it() {
    let scene = Scene::new();
    scene.provider(|| {
        let mut answer = response(200, "text/event-stream", [ROLE, DONE].concat());
        answer.headers_mut().insert("content-encoding", "identity".parse().unwrap());
        answer.headers_mut().insert("content-length", "9".parse().unwrap());
        Ok(answer)
    });
    let answer = scene.complete(REQUEST).unwrap();
    let mut headers: Vec<_> =
        answer.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    headers.sort();
    assert_eq!(
        headers,
        [
            "cache-control: no-store, no-transform",
            "content-type: text/event-stream",
            r#"ratelimit-policy: "user";q=100;w=3600"#,
            r#"ratelimit: "user";r=99;t=36"#,
            "x-qlp-attempts: 1",
            "x-qlp-model: sim/large-0613",
            "x-qlp-provider: simulator",
            "x-ratelimit-limit-requests: 100",
            "x-ratelimit-remaining-requests: 99",
            "x-ratelimit-reset-requests: 36s",
        ]
    );
}

#[test]
fn an_end_without_done_is_success_if_the_answer_had_ended() {
    for cut in [false, true] {
        let scene = Scene::new();
        let provider = scene.provider_stream();
        provider.send([ROLE, HELLO, STOP].concat());
        end(provider, cut);
        let pieces = pieces(&scene, scene.complete(REQUEST).unwrap());
        assert_eq!(pieces.concat(), [ROLE, HELLO, STOP].concat());
        assert_eq!(fields(&scene.event(), ["status", "usage_source"]), [json!("success"), json!("estimated")]);
    }
}

#[test]
fn a_cut_answer_ends_with_an_error_and_never_with_done() {
    for (cut, parts) in [
        (true, vec![ROLE, HELLO]),
        (false, vec![ROLE, HELLO]),
        (false, vec![ROLE, HELLO, &STOP[..50]]),
        (false, vec![ROLE, HELLO, "data: "]),
    ] {
        let scene = Scene::new();
        let provider = scene.provider_stream();
        send(&provider, &parts);
        end(provider, cut);
        let pieces = pieces(&scene, scene.complete(REQUEST).unwrap());
        assert_eq!(pieces[..2], [ROLE, HELLO]);
        assert_eq!(error_of(&pieces)["code"], "upstream_failed");
        let event = scene.event();
        assert_eq!(
            fields(&event, ["status", "http_status", "finish_reason", "usage_source"]),
            [json!("truncated"), json!(200), Value::Null, json!("estimated")]
        );
    }
}

#[test]
fn a_stalled_stream_is_cancelled_and_said_to_be() {
    let scene = Scene::with(&[("LLM_IDLE_TIMEOUT_MS", "5000")]);
    let provider = scene.provider_stream();
    provider.send(HELLO);
    let pieces = pieces(&scene, scene.complete(REQUEST).unwrap());
    assert_eq!(error_of(&pieces)["code"], "upstream_timeout");
    assert!(provider.is_dropped());
    assert_eq!(fields(&scene.event(), ["status", "latency_ms"]), [json!("timeout"), json!(5000)]);
}

#[test]
fn a_stream_that_goes_silent_after_its_answer_is_success() {
    let scene = Scene::new();
    let provider = scene.provider_stream();
    provider.send([HELLO, STOP].concat());
    let pieces = pieces(&scene, scene.complete(REQUEST).unwrap());
    assert!(!pieces.concat().contains("error"));
    assert_eq!(scene.event()["status"], "success");
}

#[test]
fn a_trickling_stream_ends_at_its_deadline() {
    let scene = Scene::with(&[("LLM_STREAM_TIMEOUT_MS", "20000")]);
    let provider = scene.provider_stream();
    provider.send(HELLO);
    let mut stream = body(scene.complete(REQUEST).unwrap());
    assert_eq!(next(&mut stream).as_deref(), Some(HELLO));
    scene.host.clock.advance(Duration::from_secs(19));
    provider.send(HELLO);
    assert_eq!(next(&mut stream).as_deref(), Some(HELLO));
    scene.host.clock.advance(Duration::from_secs(1));
    provider.send(HELLO);
    let error = next(&mut stream).unwrap();
    assert!(error.contains("upstream_timeout"), "{error}");
    assert_eq!(next(&mut stream), None);
    assert_eq!(scene.event()["status"], "timeout");
}

#[test]
fn a_caller_that_reads_slowly_does_not_make_the_provider_silent() {
    let scene = Scene::new();
    let provider = scene.provider_stream();
    provider.send(HELLO);
    let mut stream = body(scene.complete(REQUEST).unwrap());
    assert_eq!(next(&mut stream).as_deref(), Some(HELLO));
    assert!(stream.next().now_or_never().is_none());
    provider.send(HELLO);
    assert_eq!(next(&mut stream).as_deref(), Some(HELLO));
    scene.host.clock.advance(Duration::from_secs(90));
    assert_eq!(next(&mut stream).as_deref(), Some(": keep-alive\n\n"));
    provider.send([STOP, DONE].concat());
    assert_eq!(next(&mut stream), Some([STOP, DONE].concat()));
}

#[test]
fn a_caller_that_waits_long_gets_signs_of_life_between_events() {
    let scene = Scene::new();
    let provider = scene.provider_stream();
    provider.send(HELLO);
    let mut stream = body(scene.complete(REQUEST).unwrap());
    assert_eq!(next(&mut stream).as_deref(), Some(HELLO));
    assert!(stream.next().now_or_never().is_none());
    provider.send(&HELLO[..30]);
    for _ in 0..3 {
        scene.host.clock.advance(Duration::from_secs(15));
        assert_eq!(next(&mut stream).as_deref(), Some(": keep-alive\n\n"));
        assert!(stream.next().now_or_never().is_none());
    }
    provider.send(&HELLO[30..]);
    assert_eq!(next(&mut stream).as_deref(), Some(HELLO));
}

#[test]
fn what_is_no_json_or_too_long_is_not_passed_on() {
    let long = format!("data: \"{}\"\n\n", "x".repeat(LONGEST_EVENT));
    for bad in ["data: {\"choices\":[{]\n\n", "data: <html>\n\n", long.as_str(), long.trim_end()] {
        for parts in [vec![HELLO, bad, HELLO], vec![HELLO, &bad[..7], &bad[7..], HELLO]] {
            let scene = Scene::new();
            let provider = scene.provider_stream();
            send(&provider, &parts);
            let pieces = pieces(&scene, scene.complete(REQUEST).unwrap());
            assert_eq!((pieces.len(), pieces[0].as_str()), (2, HELLO));
            assert_eq!(error_of(&pieces)["code"], "upstream_failed");
            assert!(provider.is_dropped());
            assert_eq!(
                fields(&scene.event(), ["status", "usage_source"]),
                [json!("upstream_error"), json!("estimated")]
            );
        }
    }
}

#[test]
fn an_event_without_end_is_given_up_as_soon_as_it_is_too_long() {
    let scene = Scene::new();
    let provider = scene.provider_stream();
    provider.send(HELLO);
    let mut stream = body(scene.complete(REQUEST).unwrap());
    next(&mut stream);
    provider.send("x".repeat(LONGEST_EVENT));
    assert!(stream.next().now_or_never().is_none());
    provider.send("x");
    assert!(next(&mut stream).unwrap().contains("upstream_failed"));
    assert!(provider.is_dropped());
}

#[test]
fn after_the_first_event_the_idle_limit_counts_from_the_start() {
    let scene = Scene::with(&[("LLM_IDLE_TIMEOUT_MS", "5000"), ("LLM_FIRST_TOKEN_TIMEOUT_MS", "60000")]);
    let provider = scene.provider_stream();
    let context = scene.host.context();
    scene.call(get("https://edge.test/v1/models")).unwrap();
    let mut call = Box::pin(scene.proxy.route(post(REQUEST), caller(), &context));
    assert!((&mut call).now_or_never().is_none());
    scene.admit();
    assert!((&mut call).now_or_never().is_none());
    provider.send(HELLO);
    let mut stream = body(call.now_or_never().unwrap().unwrap());
    next(&mut stream);
    assert!(stream.next().now_or_never().is_none());
    scene.host.clock.advance(Duration::from_secs(5));
    assert!(next(&mut stream).unwrap().contains("upstream_timeout"));
}

#[test]
fn good_events_before_a_bad_one_in_the_same_chunk_are_passed_on() {
    let (pieces, _) = relayed(REQUEST, &[&[ROLE, HELLO, "data: {\n\n", HELLO].concat()]);
    assert_eq!(pieces[0], [ROLE, HELLO].concat());
    assert_eq!(error_of(&pieces)["code"], "upstream_failed");
}

#[test]
fn an_error_of_the_provider_in_the_stream_keeps_code_and_type_without_its_sentence() {
    let error = "data: {\"error\":{\"message\":\"secret\",\"type\":\"tokens\",\"param\":null,\"code\":\"rate_limit_exceeded\"}}\n\n";
    let (pieces, event) = relayed(REQUEST, &[HELLO, error, DONE]);
    let error = error_of(&pieces);
    assert_eq!((&error["type"], &error["code"]), (&json!("tokens"), &json!("rate_limit_exceeded")));
    assert!(!error.to_string().contains("secret"));
    assert_eq!(event["status"], "upstream_error");
}

#[test]
fn a_failure_before_the_first_event_is_an_error_status() {
    for (parts, cut, status) in [
        (vec![], false, 502),
        (vec![], true, 502),
        (vec![&HELLO[..20]], true, 502),
        (vec!["data: {\n\n"], false, 502),
        (vec!["data: {\"error\":{\"message\":\"secret\"}}\n\n"], false, 502),
    ] {
        let scene = Scene::new();
        let provider = scene.provider_stream();
        send(&provider, &parts);
        end(provider, cut);
        let (actual, _, error) = refused(scene.complete(REQUEST).unwrap_err());
        assert_eq!((actual, error["code"].as_str()), (status, Some("upstream_failed")));
        let event = scene.event();
        assert_eq!(
            fields(&event, ["status", "http_status", "usage_source"]),
            [json!("upstream_error"), json!(502), json!("none")]
        );
    }
}

#[test]
fn a_first_token_that_does_not_come_is_504() {
    let scene = Scene::with(&[("LLM_FIRST_TOKEN_TIMEOUT_MS", "2000")]);
    let provider = scene.provider_stream();
    assert_eq!(refused(scene.complete(REQUEST).unwrap_err()).0, 504);
    assert!(provider.is_dropped());
    assert_eq!(
        fields(&scene.event(), ["status", "latency_ms", "cost_nano_usd"]),
        [json!("timeout"), json!(2000), json!(0)]
    );
}

#[test]
fn a_caller_that_hangs_up_cancels_the_provider_and_leaves_one_event() {
    for (parts, output, source) in [
        (vec![ROLE, HELLO], 3, "estimated"),
        (vec![ROLE, HELLO, HELLO], 6, "estimated"),
        (vec![HELLO, USAGE], 2, "provider"),
    ] {
        let scene = Scene::new();
        let provider = scene.provider_stream();
        provider.send(parts.concat());
        let mut stream = body(scene.complete(REQUEST).unwrap());
        next(&mut stream);
        drop(stream);
        assert!(provider.is_dropped());
        let event = scene.event();
        assert_eq!(
            fields(&event, ["status", "http_status", "output_tokens", "usage_source"]),
            [json!("client_closed"), json!(200), json!(output), json!(source)]
        );
    }
}

#[test]
fn an_answer_that_nobody_reads_leaves_one_event_too() {
    let scene = Scene::new();
    scene.provider_stream().send(HELLO);
    drop(scene.complete(REQUEST).unwrap());
    assert_eq!(scene.event()["status"], "client_closed");
}

#[test]
fn hanging_up_right_after_done_is_success() {
    let scene = Scene::new();
    let provider = scene.provider_stream();
    provider.send([ROLE, HELLO, STOP].concat());
    let mut stream = body(scene.complete(REQUEST).unwrap());
    next(&mut stream);
    provider.send([USAGE, DONE].concat());
    assert_eq!(next(&mut stream).as_deref(), Some(DONE));
    drop(stream);
    assert_eq!(
        fields(&scene.event(), ["status", "output_tokens", "usage_source"]),
        [json!("success"), json!(2), json!("provider")]
    );
}

#[test]
fn the_stream_ends_soon_after_done_whatever_the_provider_does() {
    let scene = Scene::new();
    let provider = scene.provider_stream();
    provider.send([HELLO, STOP, DONE, "data: more\n\n"].concat());
    let started = scene.host.clock.now();
    let pieces = pieces(&scene, scene.complete(REQUEST).unwrap());
    assert_eq!(pieces.concat(), [HELLO, STOP, DONE].concat());
    assert_eq!(scene.host.clock.now().duration_since(started).as_secs(), 1);
    assert_eq!(fields(&scene.event(), ["status", "latency_ms"]), [json!("success"), json!(0)]);
}

#[test]
fn explicit_zero_usage_is_zero() {
    let zero =
        USAGE.replace("\"prompt_tokens\":10,\"completion_tokens\":2", "\"prompt_tokens\":0,\"completion_tokens\":0");
    let (_, event) = relayed(REQUEST, &[HELLO, STOP, &zero, DONE]);
    assert_eq!(
        fields(&event, ["input_tokens", "output_tokens", "usage_source"]),
        [json!(0), json!(0), json!("provider")]
    );
}

#[test]
fn usage_on_the_last_choice_counts_and_stays() {
    let stop = STOP.replace("\"usage\":null", "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}");
    let (pieces, event) = relayed(REQUEST, &[HELLO, &stop, DONE]);
    assert_eq!(pieces, [HELLO, &stop, DONE]);
    assert_eq!(fields(&event, ["input_tokens", "output_tokens"]), [json!(3), json!(4)]);
}

#[test]
fn the_first_token_is_the_first_text_not_the_role() {
    let scene = Scene::new();
    let provider = scene.provider_stream();
    let context = scene.host.context();
    scene.call(get("https://edge.test/v1/models")).unwrap();
    let mut call = Box::pin(scene.proxy.route(post(REQUEST), caller(), &context));
    assert!((&mut call).now_or_never().is_none());
    scene.admit();
    provider.send(ROLE);
    assert!((&mut call).now_or_never().is_none(), "a role alone is held back");
    scene.host.clock.advance(Duration::from_millis(250));
    provider.send([HELLO, STOP, DONE].concat());
    let mut stream = body(call.now_or_never().unwrap().unwrap());
    assert_eq!(next(&mut stream).as_deref(), Some(ROLE));
    next(&mut stream);
    assert_eq!(fields(&scene.event(), ["time_to_first_token_ms", "latency_ms"]), [json!(250), json!(250)]);
}
