use super::*;

fn parse_at(endpoint: Endpoint, json: &str) -> Result<ModelRequest, Problem> {
    ModelRequest::parse(endpoint, Bytes::copy_from_slice(json.as_bytes()))
}

fn parse(json: &str) -> Result<ModelRequest, Problem> {
    parse_at(Endpoint::ChatCompletions, json)
}

fn sent(json: &str) -> String {
    String::from_utf8(parse(json).unwrap().body_for("meta/llama").to_vec()).unwrap()
}

fn refused(json: &str) -> (&'static str, String) {
    let problem = parse(json).unwrap_err();
    (problem.kind().slug, problem.openai_body())
}

#[test]
fn everything_but_the_model_is_the_callers_bytes() {
    let json = "{ \"zeta\" : 1.0e+2,\t\"model\":\"default\",\n\"messages\":[{\"role\":\"user\",\"content\":\"\\u00e9 é\"}],\"logit_bias\":{\"1\":-0},\"n\":1 }\n";
    assert_eq!(sent(json), json.replace("\"default\"", "\"meta/llama\""));
}

#[test]
fn a_stream_is_asked_for_usage_wherever_the_options_are() {
    let cases = [
        (
            r#"{"stream":true,"model":"m","messages":[1]}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true},"model":"meta/llama","messages":[1]}"#,
        ),
        (
            r#"{"model":"m","stream_options":{},"messages":[1],"stream":true}"#,
            r#"{"model":"meta/llama","stream_options":{"include_usage":true},"messages":[1],"stream":true}"#,
        ),
        (
            r#"{"stream_options":{ "x":1},"model":"m","messages":[1],"stream":true}"#,
            r#"{"stream_options":{"include_usage":true, "x":1},"model":"meta/llama","messages":[1],"stream":true}"#,
        ),
        (
            r#"{"stream_options":{"x":1,"include_usage": false},"model":"m","messages":[1],"stream":true}"#,
            r#"{"stream_options":{"x":1,"include_usage": true},"model":"meta/llama","messages":[1],"stream":true}"#,
        ),
        (
            r#"{"stream_options":null,"model":"m","messages":[1],"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"model":"meta/llama","messages":[1],"stream":true}"#,
        ),
    ];
    for (json, expected) in cases {
        assert_eq!(sent(json), expected);
        assert!(!parse(json).unwrap().wants_usage);
    }
}

#[test]
fn a_caller_that_asks_for_usage_is_passed_on_unchanged() {
    let json = r#"{"model":"meta/llama","messages":[1],"stream":true,"stream_options":{"include_usage":true}}"#;
    assert!(parse(json).unwrap().wants_usage);
    assert_eq!(sent(json), json);
}

fn limited(json: &str, most: u64, member: &'static str) -> Result<String, String> {
    let mut request = parse(json).unwrap();
    request.limit_output(most).map_err(|problem| problem.openai_body())?;
    assert!(request.max_tokens.unwrap() <= most);
    let body = request.for_route(&Route::to("p", "m"), member).body_for("m");
    assert!(serde_json::from_slice::<serde_json::Value>(&body).unwrap().is_object());
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn an_answer_that_nobody_limits_is_held_to_what_is_allowed_and_every_other_byte_stays() {
    for (json, member, sent) in [
        (r#" { "model":"m","messages":[1]}"#, "max_tokens", r#" {"max_tokens":50, "model":"m","messages":[1]}"#),
        (
            r#"{"model":"m","messages":[1]}"#,
            "max_completion_tokens",
            r#"{"max_completion_tokens":50,"model":"m","messages":[1]}"#,
        ),
        (
            r#"{"max_tokens": null,"model":"m","messages":[1]}"#,
            "max_tokens",
            r#"{"max_tokens": 50,"model":"m","messages":[1]}"#,
        ),
        (
            r#"{"max_tokens":null,"model":"m","messages":[1]}"#,
            "max_completion_tokens",
            r#"{"max_completion_tokens":50,"max_tokens":null,"model":"m","messages":[1]}"#,
        ),
    ] {
        assert_eq!(limited(json, 50, member).as_deref(), Ok(sent));
    }
    for members in
        [r#""max_tokens":50"#, r#""max_completion_tokens":1"#, r#""max_tokens":null,"max_completion_tokens":7"#]
    {
        let json = format!(r#"{{{members},"model":"m","messages":[1]}}"#);
        assert_eq!(limited(&json, 50, "max_tokens").as_ref(), Ok(&json), "the caller says it itself");
    }
    let stream = r#"{"model":"m","messages":[1],"stream":true}"#;
    let sent = r#"{"max_tokens":9,"model":"m","messages":[1],"stream":true,"stream_options":{"include_usage":true}}"#;
    assert_eq!(limited(stream, 9, "max_tokens").as_deref(), Ok(sent));
}

#[test]
fn a_longer_answer_than_is_allowed_is_refused_with_the_member_that_wants_it() {
    for (members, param) in [
        (r#""max_tokens":51"#, "max_tokens"),
        (r#""max_completion_tokens":51"#, "max_completion_tokens"),
        (r#""max_completion_tokens":5,"max_tokens":51"#, "max_tokens"),
        (r#""max_tokens":1e9"#, "max_tokens"),
        (r#""max_tokens":"51""#, "max_tokens"),
        (r#""max_tokens":-1"#, "max_tokens"),
    ] {
        let refused = limited(&format!(r#"{{{members},"model":"m","messages":[1]}}"#), 50, "max_tokens").unwrap_err();
        assert!(refused.contains(&format!(r#""param":"{param}""#)), "{members}: {refused}");
    }
}

#[test]
fn a_model_whose_answers_are_shorter_is_told_no_limit() {
    let mut request = parse(r#"{"model":"m","messages":[1]}"#).unwrap();
    request.limit_output(50).unwrap();
    let says = |longest| {
        let route = Route { max_output_tokens: longest, ..Route::to("p", "m") };
        request.for_route(&route, "max_tokens").body_for("m").starts_with(br#"{"max_tokens":50,"#)
    };
    assert_eq!([says(None), says(Some(51)), says(Some(50)), says(Some(1))], [true, true, false, false]);
}

#[test]
fn without_a_stream_the_options_stay_as_they_are() {
    let json = r#"{"model":"meta/llama","messages":[1],"stream":false,"stream_options":{}}"#;
    assert_eq!(sent(json), json);
    assert!(!parse(r#"{"model":"m","messages":[1],"stream":null}"#).unwrap().stream);
}

#[test]
fn a_model_name_is_found_behind_escapes_and_written_as_json() {
    let request = parse(r#"{"mod\u0065l":"a\"b","messages":[1]}"#).unwrap();
    assert_eq!(request.model, "a\"b");
    assert_eq!(request.body_for("c\"d"), r#"{"mod\u0065l":"c\"d","messages":[1]}"#);
}

#[test]
fn each_wrong_value_is_pointed_at() {
    let cases = [
        (r#"{"messages":[1]}"#, "model"),
        (r#"{"model":7,"messages":[1]}"#, "model"),
        (r#"{"model":"","messages":[1]}"#, "model"),
        (r#"{"model":null,"messages":[1]}"#, "model"),
        (r#"{"model":"m"}"#, "messages"),
        (r#"{"model":"m","messages":[ ]}"#, "messages"),
        (r#"{"model":"m","messages":"hi"}"#, "messages"),
        (r#"{"model":"m","messages":[1],"stream":"yes"}"#, "stream"),
        (r#"{"model":"m","messages":[1],"stream":1}"#, "stream"),
        (r#"{"model":"m","messages":[1],"stream_options":[]}"#, "stream_options"),
        (r#"{"model":"m","messages":[1],"stream_options":{"include_usage":1}}"#, "stream_options.include_usage"),
        (r#"{"model":"m","messages":[1],"model":"n"}"#, "model"),
        (r#"{"model":"m","messages":[1],"mod\u0065l":"n"}"#, "model"),
        (r#"{"model":"m","messages":[1],"a/b":1,"a/b":2}"#, "a~1b"),
        (r#"{"model":"m","messages":[1],"stream_options":{"x":1,"x":2}}"#, "stream_options.x"),
        ("[]", ""),
        ("\"model\"", ""),
    ];
    for (json, param) in cases {
        let (slug, body) = refused(json);
        assert_eq!(slug, "invalid-request", "{json}");
        assert!(body.contains(&format!(r#""param":"{param}""#)), "{json}: {body}");
    }
}

#[test]
fn says_where_a_document_stops_being_json() {
    for (json, place) in [
        ("", "line 1, column 0"),
        ("{\n\"model\": tru}", "line 2, column"),
        (r#"{"model":"m","messages":[1]} x"#, "column 30"),
        (r#"{"model":"m","messages":[1"#, "too early"),
        (r#"{"model":"m","messages":[1],}"#, "column 29"),
    ] {
        let (slug, body) = refused(json);
        assert_eq!(slug, "malformed-body", "{json}");
        assert!(body.contains(place), "{json}: {body}");
    }
}

#[test]
fn at_the_other_endpoints_only_the_model_is_edited() {
    for (endpoint, json) in [
        (Endpoint::Embeddings, r#"{"input":[[1,2]],"model":"m","stream":"x","n":2}"#),
        (
            Endpoint::Responses,
            r#"{"stream":true,"model":"m","input":"hi","stream_options":{"include_obfuscation":false}}"#,
        ),
        (Endpoint::Messages, r#"{"model":"m","stream":true,"max_tokens":9,"messages":[1],"stream_options":7}"#),
    ] {
        let request = parse_at(endpoint, json).unwrap();
        let sent = request.body_for("theirs");
        assert_eq!(sent, json.replace("\"m\"", "\"theirs\""));
        assert!(request.wants_usage);
        assert_eq!((request.stream, request.choices), (endpoint != Endpoint::Embeddings, 1));
    }
}

#[test]
fn each_endpoint_has_its_own_prompt_and_longest_answer() {
    for (endpoint, json, most, max_tokens) in [
        (Endpoint::Embeddings, r#"{"model":"m","input":["four","4"],"user":"nobody"}"#, 5, Some(0)),
        (Endpoint::Embeddings, r#"{"model":"m","input":[[11,2],[333]]}"#, 3, Some(0)),
        (Endpoint::Responses, r#"{"model":"m","input":"four","instructions":"in","max_output_tokens":9}"#, 6, Some(9)),
        (Endpoint::Responses, r#"{"model":"m","input":"four","max_tokens":9}"#, 4, None),
        (Endpoint::Messages, r#"{"model":"m","messages":["four"],"system":"sys","max_tokens":7}"#, 7, Some(7)),
    ] {
        let request = parse_at(endpoint, json).unwrap();
        assert_eq!((request.prompt.most_tokens(), request.max_tokens), (most, max_tokens), "{json}");
    }
    let prompt = parse_at(Endpoint::Embeddings, r#"{"model":"m","input":["fourfive",1,2]}"#).unwrap().prompt;
    assert_eq!(prompt.estimated_tokens(), 4);
}

#[test]
fn what_is_wrong_at_the_other_endpoints_is_pointed_at() {
    for (endpoint, json, param) in [
        (Endpoint::Embeddings, r#"{"model":"m"}"#, "input"),
        (Endpoint::Embeddings, r#"{"model":"m","input":null}"#, "input"),
        (Endpoint::Responses, r#"{"input":"x"}"#, "model"),
        (Endpoint::Responses, r#"{"model":"m","stream":1}"#, "stream"),
        (Endpoint::Responses, r#"{"model":"m","previous_response_id":"resp_1"}"#, "previous_response_id"),
        (Endpoint::Responses, r#"{"model":"m","conversation":{"id":"c"}}"#, "conversation"),
        (Endpoint::Responses, r#"{"model":"m","background":true}"#, "background"),
        (Endpoint::Messages, r#"{"model":"m","messages":[]}"#, "messages"),
    ] {
        let body = parse_at(endpoint, json).unwrap_err().openai_body();
        assert!(body.contains(&format!(r#""param":"{param}""#)), "{json}: {body}");
    }
    let none = r#"{"model":"m","input":"x","previous_response_id":null,"background":false,"conversation":null}"#;
    assert!(parse_at(Endpoint::Responses, none).is_ok());
}

#[test]
fn refuses_a_document_that_is_nested_too_deep() {
    let nested =
        |depth: usize| format!(r#"{{"model":"m","messages":{}1{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(refused(&nested(MAX_DEPTH + 1)).0, "malformed-body");
    assert_eq!(refused(&"[".repeat(4_000_000)).0, "malformed-body");
}
