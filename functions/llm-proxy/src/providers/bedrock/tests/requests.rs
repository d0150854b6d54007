use problem::Dialect;

use super::*;

fn sent(completion: &Value) -> Value {
    serde_json::from_slice(&request::body(completion.to_string().as_bytes(), None).unwrap()).unwrap()
}

/// A request of one message, with these members beside it.
fn asking(members: &Value) -> Value {
    let mut completion = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    completion.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    completion
}

/// Where the fault is, and its sentence.
fn refused(completion: &Value) -> (String, String) {
    let problem = request::body(completion.to_string().as_bytes(), None).unwrap_err();
    let response = problem.into_response(Dialect::OpenAi, "request-1");
    assert_eq!(response.status(), 400);
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    let text = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
    (text("param"), text("message"))
}

#[test]
fn a_conversation_with_everything_in_it() {
    let completion = json!({
        "model": "default",
        "stream": true,
        "stream_options": {"include_usage": true},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Use tools."}]},
            {"role": "user", "name": "anna", "content": [
                {"type": "text", "text": "What is the weather, and what is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
            ]},
            {"role": "assistant", "content": "Let me see.", "reasoning_content": "Hm.", "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Ulm\"}"}},
                {"id": "call_2", "type": "function", "function": {"name": "look", "arguments": ""}},
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "a cat"}]},
            {"role": "user", "content": "And?"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "weather", "description": "Tells it.", "strict": true,
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}},
            {"type": "function", "function": {"name": "look"}},
        ],
        "tool_choice": "required",
        "parallel_tool_calls": true,
        "max_tokens": 9,
        "max_completion_tokens": 100,
        "temperature": 0.5,
        "top_p": 1,
        "stop": ["END", "\n\n"],
        "metadata": {"team": "red", "note": "{not for tags}"},
        "user": "u-1",
        "top_k": 40,
        "thinking": {"type": "enabled", "budget_tokens": 50},
    });
    let expected = json!({
        "system": [{"text": "Be brief."}, {"text": "Use tools."}],
        "messages": [
            {"role": "user", "content": [
                {"text": "What is the weather, and what is this?"},
                {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}},
            ]},
            {"role": "assistant", "content": [
                {"text": "Let me see."},
                {"toolUse": {"toolUseId": "call_1", "name": "weather", "input": {"city": "Ulm"}}},
                {"toolUse": {"toolUseId": "call_2", "name": "look", "input": {}}},
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "call_1", "content": [{"text": "rain"}]}},
                {"toolResult": {"toolUseId": "call_2", "content": [{"text": "a cat"}]}},
                {"text": "And?"},
            ]},
        ],
        "inferenceConfig": {"maxTokens": 100, "temperature": 0.5, "topP": 1, "stopSequences": ["END", "\n\n"]},
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "weather", "description": "Tells it.", "strict": true,
                    "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}}}},
                {"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
            ],
            "toolChoice": {"any": {}},
        },
        "requestMetadata": {"team": "red"},
        "additionalModelRequestFields": {"top_k": 40, "thinking": {"type": "enabled", "budget_tokens": 50}},
    });
    assert_eq!(sent(&completion), expected);
}

#[test]
fn the_least_request_says_no_more_than_it_was_told() {
    let expected = json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "inferenceConfig": {}});
    assert_eq!(sent(&asking(&json!({}))), expected);
    let nothing = json!({
        "n": 1, "logprobs": false, "top_logprobs": 0, "logit_bias": {}, "presence_penalty": 0, "frequency_penalty": 0,
        "parallel_tool_calls": true, "modalities": ["text"], "seed": null, "stop": null, "tools": [], "tool_choice": "auto",
        "response_format": {"type": "text"}, "store": true, "service_tier": "auto", "prompt_cache_key": "k",
        "safety_identifier": "s", "prediction": {"type": "content", "content": "x"}, "metadata": {},
    });
    assert_eq!(sent(&asking(&nothing)), expected);
}

#[test]
fn a_schema_keeps_the_order_of_its_properties() {
    let completion = br#"{"model":"m","messages":[{"role":"user","content":"Hi"}],
        "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"z":{},"a":{}}}}}],
        "response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"z":1,"a":2}}}}"#;
    let body = String::from_utf8(request::body(completion, None).unwrap()).unwrap();
    assert!(body.contains(r#"{"z":{},"a":{}}"#), "{body}");
    let schema = r#""outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"name":"n","schema":"{\"z\":1,\"a\":2}"}}}}"#;
    assert!(body.contains(schema), "{body}");
}

#[test]
fn each_choice_of_tools_has_its_word() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (choice, expected) in [
        (json!("auto"), json!({"auto": {}})),
        (json!("required"), json!({"any": {}})),
        (json!({"type": "function", "function": {"name": "f"}}), json!({"tool": {"name": "f"}})),
        (json!(null), json!(null)),
    ] {
        let sent = sent(&asking(&json!({"tools": tools, "tool_choice": choice})));
        assert_eq!(sent["toolConfig"]["toolChoice"], expected);
    }
    assert_eq!(sent(&asking(&json!({"tools": tools, "tool_choice": "none"})))["toolConfig"], json!(null));
}

#[test]
fn who_speaks_twice_goes_on_in_one_message() {
    let sent = sent(&json!({"model": "m", "messages": [
        {"role": "user", "content": "a"}, {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"}, {"role": "assistant", "content": [{"type": "refusal", "refusal": "d"}]},
    ]}));
    assert_eq!(
        sent["messages"],
        json!([
            {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
            {"role": "assistant", "content": [{"text": "c"}, {"text": "d"}]},
        ])
    );
}

#[test]
fn escapes_are_read_and_written() {
    let completion = br#"{"model":"m","messages":[{"role":"us\u0065r","content":"\u00e9\n\"x\""}]}"#;
    let body: Value = serde_json::from_slice(&request::body(completion, None).unwrap()).unwrap();
    assert_eq!(body["messages"][0]["content"][0]["text"], "é\n\"x\"");
    let image = br#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image\/jpeg;base64,\/9j\/"}}]}]}"#;
    let body: Value = serde_json::from_slice(&request::body(image, None).unwrap()).unwrap();
    assert_eq!(body["messages"][0]["content"][0]["image"], json!({"format": "jpeg", "source": {"bytes": "/9j/"}}));
}

#[test]
fn metadata_goes_as_far_as_amazon_takes_it() {
    let mut metadata = serde_json::Map::new();
    for number in 10..40 {
        metadata.insert(format!("k{number}"), "v".into());
    }
    for (name, value) in
        [("a b", "ok"), ("", "x"), ("c", "é"), ("d", "{}"), ("e", &"x".repeat(257)), ("f", &"x".repeat(256))]
    {
        metadata.insert(name.to_owned(), value.into());
    }
    metadata.insert("g".to_owned(), 7.into());
    let sent = sent(&asking(&json!({"metadata": metadata})));
    let tags = sent["requestMetadata"].as_object().unwrap();
    assert_eq!(tags.len(), 16);
    assert!(tags.contains_key("a b") && tags.contains_key("f"));
    assert!(["", "c", "d", "e", "g"].iter().all(|name| !tags.contains_key(*name)), "{tags:?}");
}

#[test]
fn what_converse_cannot_say_is_refused_where_it_stands() {
    for (member, value) in [
        ("n", json!(2)),
        ("logprobs", json!(true)),
        ("top_logprobs", json!(3)),
        ("logit_bias", json!({"5": 1})),
        ("presence_penalty", json!(0.5)),
        ("frequency_penalty", json!(-1)),
        ("parallel_tool_calls", json!(false)),
        ("verbosity", json!("low")),
        ("modalities", json!(["text", "audio"])),
        ("seed", json!(7)),
        ("audio", json!({"voice": "v"})),
        ("functions", json!([])),
        ("function_call", json!("auto")),
        ("web_search_options", json!({})),
        ("temperature", json!(1.1)),
        ("temperature", json!("warm")),
        ("top_p", json!(-0.1)),
        ("max_tokens", json!(0)),
        ("max_completion_tokens", json!(1.5)),
        ("stop", json!(7)),
        ("tools", json!({})),
        ("tool_choice", json!("sometimes")),
        ("tool_choice", json!("required")),
        ("metadata", json!("x")),
    ] {
        let (param, message) = refused(&asking(&json!({ member: value })));
        assert_eq!(param, member, "{value}: {message}");
    }
}

#[test]
fn what_is_wrong_inside_is_pointed_at_too() {
    let message = |message: Value| json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}, message]});
    let part = |part: Value| message(json!({"role": "user", "content": [{"type": "text", "text": "a"}, part]}));
    let image = |url: &str| part(json!({"type": "image_url", "image_url": {"url": url}}));
    let call = |call: Value| message(json!({"role": "assistant", "tool_calls": [call]}));
    let function = |arguments: Value| call(json!({"id": "c", "function": {"name": "f", "arguments": arguments}}));
    for (completion, expected) in [
        (message(json!({"role": "system", "content": "x"})), "messages[1].role"),
        (message(json!({"role": "function", "content": "x"})), "messages[1].role"),
        (message(json!({"content": "x"})), "messages[1].role"),
        (message(json!(7)), "messages[1]"),
        (message(json!({"role": "user", "content": ""})), "messages[1].content"),
        (message(json!({"role": "user", "content": " \n"})), "messages[1].content"),
        (message(json!({"role": "user", "content": null})), "messages[1].content"),
        (message(json!({"role": "user", "content": 7})), "messages[1].content"),
        (message(json!({"role": "assistant", "content": null})), "messages[1].role"),
        (message(json!({"role": "assistant", "function_call": {}})), "messages[1].function_call"),
        (message(json!({"role": "tool", "content": "x"})), "messages[1].tool_call_id"),
        (part(json!({"type": "input_audio"})), "messages[1].content[1].type"),
        (part(json!({"type": "text"})), "messages[1].content[1].text"),
        (image("https://a.test/cat.png"), "messages[1].content[1].image_url.url"),
        (image("data:image/tiff;base64,AAAA"), "messages[1].content[1].image_url.url"),
        (image("data:image/png;base64,"), "messages[1].content[1].image_url.url"),
        (image("data:image/png;base64,<a>"), "messages[1].content[1].image_url.url"),
        (call(json!({"id": "c"})), "messages[1].tool_calls[0].function"),
        (function(json!("{")), "messages[1].tool_calls[0].function.arguments"),
        (function(json!({})), "messages[1].tool_calls[0].function.arguments"),
        (asking(&json!({"tools": [{"type": "custom"}]})), "tools[0].type"),
        (asking(&json!({"tools": [{"type": "function", "function": {}}]})), "tools[0].function.name"),
        (asking(&json!({"tool_choice": {"type": "allowed_tools"}})), "tool_choice.type"),
        (asking(&json!({"response_format": {"type": "json_object"}})), "response_format.type"),
        (
            asking(&json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}})),
            "response_format.json_schema.schema",
        ),
        (json!({"model": "m", "messages": [{"role": "system", "content": "x"}]}), "messages"),
    ] {
        let (param, message) = refused(&completion);
        assert_eq!(param, expected, "{completion}: {message}");
    }
}

#[test]
fn tools_cannot_be_forbidden_once_they_were_called() {
    let (param, _) = refused(&json!({"model": "m", "tool_choice": "none",
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "messages": [{"role": "user", "content": "Hi"}, {"role": "tool", "tool_call_id": "c", "content": "x"}]}));
    assert_eq!(param, "tool_choice");
}
