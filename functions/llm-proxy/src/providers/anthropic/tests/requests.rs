use super::*;

fn translated(request: &Value, route: &Value) -> Result<Value, Problem> {
    let completion = ModelRequest::parse(Endpoint::ChatCompletions, request.to_string().into())?;
    let route = serde_json::from_value(route.clone()).unwrap();
    let body = request::body(&completion, &route)?;
    Ok(serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
}

/// The body for `members` beside a short message.
fn with(members: Value) -> Result<Value, Problem> {
    let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    translated(&request, &json!({"provider": "anthropic", "model": "claude"}))
}

/// The messages and the system of `messages`.
fn conversation(messages: Value) -> (Value, Value) {
    let body = with(json!({"messages": messages})).unwrap();
    (body["messages"].clone(), body["system"].clone())
}

/// The place that a refusal of `members` names.
fn param(members: Value) -> String {
    let problem = with(members.clone()).err().unwrap_or_else(|| panic!("{members} was accepted"));
    assert_eq!(problem.kind(), kinds::INVALID_REQUEST);
    let body: Value = serde_json::from_str(&problem.openai_body()).unwrap();
    body["error"]["param"].as_str().unwrap().to_owned()
}

#[test]
fn a_whole_conversation_with_parallel_tools() {
    let request = json!({
        "model": "default",
        "stream": true,
        "stream_options": {"include_usage": true},
        "max_completion_tokens": 300,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["\n\n", "END"],
        "user": "u-1",
        "seed": 7,
        "store": false,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Use tools.", "cache_control": {"type": "ephemeral"}}]},
            {"role": "user", "name": "Ann", "content": [
                {"type": "text", "text": "Weather “here” and\nthere?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://images.test/a.jpg"}}]},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"at\": [1, 2.50]}"}},
                {"id": "call_2", "type": "function", "function": {"name": "time", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "noon"}]},
            {"role": "user", "content": "Well?"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "weather", "description": "Tells it.", "strict": true,
                "parameters": {"type": "object", "properties": {"at": {"type": "array"}}}}},
            {"type": "function", "function": {"name": "time"}}],
        "tool_choice": "required",
        "parallel_tool_calls": false,
    });
    let expected = json!({
        "model": "claude-sonnet",
        "max_tokens": 300,
        "system": [
            {"type": "text", "text": "Be brief."},
            {"type": "text", "text": "Use tools.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "Weather “here” and\nthere?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
                {"type": "image", "source": {"type": "url", "url": "https://images.test/a.jpg"}}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"at": [1, 2.5]}},
                {"type": "tool_use", "id": "call_2", "name": "time", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "sunny"}]},
                {"type": "tool_result", "tool_use_id": "call_2", "content": [{"type": "text", "text": "noon"}]},
                {"type": "text", "text": "Well?"}]}],
        "stream": true,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["\n\n", "END"],
        "tools": [
            {"name": "weather", "description": "Tells it.", "strict": true,
                "input_schema": {"type": "object", "properties": {"at": {"type": "array"}}}},
            {"name": "time", "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "metadata": {"user_id": "u-1"},
    });
    let route = json!({"provider": "anthropic", "model": "claude-sonnet"});
    assert_eq!(translated(&request, &route).unwrap(), expected);
}

#[test]
fn an_answer_is_as_long_as_the_caller_the_model_or_we_say() {
    let longest = |members: Value, of_model: Value| {
        let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let route = json!({"provider": "anthropic", "model": "claude", "max_output_tokens": of_model});
        translated(&request, &route).unwrap()["max_tokens"].as_u64().unwrap()
    };
    assert_eq!(longest(json!({}), json!(8_192)), 8_192);
    assert_eq!(longest(json!({}), Value::Null), 16_384);
    assert_eq!(longest(json!({"max_tokens": 5}), json!(8_192)), 5);
    assert_eq!(longest(json!({"max_tokens": 5, "max_completion_tokens": 6}), Value::Null), 6);
    assert_eq!(longest(json!({"max_tokens": 100_000}), json!(8_192)), 8_192);
    for wrong in [json!("many"), json!(-1), json!(1.5)] {
        assert_eq!(param(json!({"max_tokens": wrong})), "max_tokens");
    }
}

#[test]
fn messages_of_one_side_are_one_turn_and_empty_ones_are_none() {
    let (messages, system) = conversation(json!([
        {"role": "user", "content": "a"},
        {"role": "system", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": null},
        {"role": "assistant", "content": null, "refusal": "no"},
        {"role": "user", "content": "c"},
    ]));
    assert_eq!(system, Value::Null);
    let text = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(
        messages,
        json!([
            {"role": "user", "content": [text("a"), text("b")]},
            {"role": "assistant", "content": [text("no")]},
            {"role": "user", "content": [text("c")]},
        ])
    );
}

#[test]
fn texts_and_schemas_are_the_callers_bytes() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"\u00e9 é \/"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"z":1.0e+2,"a":{}}}}]}"#;
    let completion = ModelRequest::parse(Endpoint::ChatCompletions, Bytes::from_static(body.as_bytes())).unwrap();
    let sent = request::body(&completion, &Route::to("anthropic", "claude")).unwrap();
    assert!(sent.contains(r#""text":"\u00e9 é \/""#), "{sent}");
    assert!(sent.contains(r#""input_schema":{"z":1.0e+2,"a":{}}"#), "{sent}");
}

#[test]
fn every_choice_of_tools() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let choice = |choice: Value, parallel: Value| {
        let members = json!({"tools": tools, "tool_choice": choice, "parallel_tool_calls": parallel});
        with(members).unwrap().get("tool_choice").cloned()
    };
    assert_eq!(choice(Value::Null, Value::Null), None);
    assert_eq!(choice(Value::Null, json!(true)), None);
    assert_eq!(choice(Value::Null, json!(false)).unwrap(), json!({"type": "auto", "disable_parallel_tool_use": true}));
    assert_eq!(choice(json!("auto"), Value::Null).unwrap(), json!({"type": "auto"}));
    assert_eq!(choice(json!("none"), json!(false)).unwrap(), json!({"type": "none"}));
    assert_eq!(choice(json!("required"), json!(true)).unwrap(), json!({"type": "any"}));
    let one = json!({"type": "function", "function": {"name": "f"}});
    let expected = json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true});
    assert_eq!(choice(one, json!(false)).unwrap(), expected);
    let without = with(json!({"tools": [], "tool_choice": "auto", "parallel_tool_calls": false})).unwrap();
    assert_eq!((without.get("tools"), without.get("tool_choice")), (None, None));
}

#[test]
fn output_config_has_the_schema_and_the_effort() {
    let schema = json!({"type": "object", "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}});
    let config = |members: Value| with(members).unwrap().get("output_config").cloned();
    let expected = json!({"format": {"type": "json_schema", "schema": schema}, "effort": "high"});
    assert_eq!(config(json!({"response_format": format, "reasoning_effort": "high"})).unwrap(), expected);
    assert_eq!(config(json!({"reasoning_effort": "minimal"})).unwrap(), json!({"effort": "low"}));
    assert_eq!(config(json!({"response_format": {"type": "text"}, "reasoning_effort": "none"})), None);
}

#[test]
fn a_user_is_told_under_whichever_name() {
    for members in [
        json!({"user": "u", "safety_identifier": "s"}),
        json!({"safety_identifier": "u"}),
        json!({"metadata": {"user_id": "u", "session": "x"}}),
    ] {
        assert_eq!(with(members).unwrap()["metadata"], json!({"user_id": "u"}));
    }
    assert_eq!(with(json!({"metadata": {"session": "x"}})).unwrap().get("metadata"), None);
}

#[test]
fn what_cannot_be_expressed_is_refused_by_name_unless_it_asks_for_nothing() {
    for (name, wrong, neutral) in [
        ("n", json!(2), json!(1)),
        ("logprobs", json!(true), json!(false)),
        ("top_logprobs", json!(3), json!(0)),
        ("logit_bias", json!({"50256": -100}), json!({})),
        ("frequency_penalty", json!(0.5), json!(0)),
        ("presence_penalty", json!(-1), json!(0.0)),
        ("modalities", json!(["text", "audio"]), json!(["text"])),
        ("audio", json!({"voice": "x"}), Value::Null),
        ("web_search_options", json!({}), Value::Null),
        ("functions", json!([{"name": "f"}]), json!([])),
        ("function_call", json!("auto"), Value::Null),
        ("temperature", json!(1.5), json!(1)),
    ] {
        assert_eq!(param(json!({name: wrong})), name);
        assert!(with(json!({name: neutral})).is_ok(), "{name}");
    }
}

#[test]
fn each_wrong_value_is_pointed_at() {
    let message = |message: Value| json!({"messages": [{"role": "user", "content": "Hi"}, message]});
    let call = |call: Value| message(json!({"role": "assistant", "tool_calls": [call]}));
    let function = |arguments: Value| call(json!({"id": "c", "function": {"name": "f", "arguments": arguments}}));
    for (members, expected) in [
        (message(json!("Hi")), "messages[1]"),
        (message(json!({"content": "Hi"})), "messages[1].role"),
        (message(json!({"role": "function", "content": "Hi"})), "messages[1].role"),
        (message(json!({"role": "user", "content": 7})), "messages[1].content"),
        (message(json!({"role": "user", "content": ["Hi"]})), "messages[1].content[0]"),
        (message(json!({"role": "user", "content": [{"type": "input_audio"}]})), "messages[1].content[0].type"),
        (message(json!({"role": "user", "content": [{"type": "text"}]})), "messages[1].content[0].text"),
        (message(json!({"role": "user", "content": [{"type": "image_url"}]})), "messages[1].content[0].image_url"),
        (
            message(
                json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png,x"}}]}),
            ),
            "messages[1].content[0].image_url.url",
        ),
        (message(json!({"role": "tool", "content": "x"})), "messages[1].tool_call_id"),
        (message(json!({"role": "assistant", "tool_calls": {}})), "messages[1].tool_calls"),
        (call(json!({"id": "c"})), "messages[1].tool_calls[0].function"),
        (call(json!({"function": {"name": "f", "arguments": "{}"}})), "messages[1].tool_calls[0].id"),
        (function(json!({})), "messages[1].tool_calls[0].function.arguments"),
        (function(json!("[1]")), "messages[1].tool_calls[0].function.arguments"),
        (function(json!("{\"a\":")), "messages[1].tool_calls[0].function.arguments"),
        (json!({"messages": [{"role": "system", "content": "Be brief."}]}), "messages"),
        (json!({"tools": [{"type": "custom", "custom": {}}]}), "tools[0].type"),
        (json!({"tools": [{"type": "function", "function": {}}]}), "tools[0].function.name"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"tool_choice": "sometimes"}), "tool_choice"),
        (json!({"tool_choice": {"type": "allowed_tools"}}), "tool_choice"),
        (json!({"response_format": {"type": "json_object"}}), "response_format.type"),
        (json!({"response_format": {"type": "json_schema"}}), "response_format.json_schema"),
        (json!({"user": 7}), "user"),
    ] {
        assert_eq!(param(members), expected);
    }
}
