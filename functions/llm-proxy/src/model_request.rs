//! The body of a request to a model: what the proxy needs from it, and the same bytes again for the provider.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use problem::{Problem, kinds};

use crate::catalog::Route;
use crate::endpoint::Endpoint;
use crate::measure::Measure;
use crate::members::{Members, count, flag, invalid, span};
use crate::observation::name;
use crate::output_limit::OutputLimit;
use crate::tokens::Tokens;

const MAX_DEPTH: usize = 100;
const ASK_FOR_USAGE: &str = r#"{"include_usage":true}"#;

/// A checked request. Members that the proxy does not know are never read: the provider gets their very bytes.
#[derive(Debug, Clone)]
pub(crate) struct ModelRequest {
    pub(crate) endpoint: Endpoint,
    /// The alias that the caller wants.
    pub(crate) model: String,
    /// Whether the answer is to be a stream of events.
    pub(crate) stream: bool,
    /// Whether the caller is to see a stream's usage: it asked for it itself, or the endpoint always tells it.
    pub(crate) wants_usage: bool,
    pub(crate) prompt: Prompt,
    /// How long each answer may become in tokens, if the caller says so or is held to something.
    pub(crate) max_tokens: Option<u64>,
    /// In which of the provider's service tiers, if the caller says so.
    pub(crate) service_tier: Option<String>,
    /// How many answers are wanted.
    pub(crate) choices: u64,
    body: Bytes,
    model_at: Range<usize>,
    usage_edit: Option<Edit>,
    output_limit: OutputLimit,
}

/// How much the model reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// No tokenizer makes more tokens of a text than it has bytes.
    text_bytes: u64,
    /// What is there in tokens already, as embeddings may be asked for.
    tokens: u64,
}

/// A text that takes the place of a part of the body.
#[derive(Debug, Clone)]
struct Edit {
    at: Range<usize>,
    text: Cow<'static, str>,
}

impl ModelRequest {
    /// Checks `body`, which is UTF-8: 400 with the place of the first fault.
    pub(crate) fn parse(endpoint: Endpoint, body: Bytes) -> Result<Self, Problem> {
        let text = std::str::from_utf8(&body).map_err(|_| kinds::MALFORMED_BODY)?;
        if Measure::of(&body).depth > MAX_DEPTH {
            let detail = format!("The JSON document may be nested at most {MAX_DEPTH} levels deep.");
            return Err(Problem::new(kinds::MALFORMED_BODY).detail(detail));
        }
        let members = Members::parse(text, "")?;
        let (model_at, model) = model(text, &members)?;
        check(endpoint, &members)?;
        let stream = endpoint != Endpoint::Embeddings && flag(members.get("stream"), "/stream")?;
        let is_chat = endpoint == Endpoint::ChatCompletions;
        let (wants_usage, usage_edit) = if is_chat { usage_edit(text, &members, stream)? } else { (true, None) };
        let choices = members.get("n").filter(|_| is_chat);
        let output_limit = OutputLimit::of(endpoint, text, &members);
        Ok(Self {
            endpoint,
            model,
            stream,
            wants_usage,
            prompt: Prompt::of(endpoint, &members),
            max_tokens: if endpoint == Endpoint::Embeddings { Some(0) } else { output_limit.tokens() },
            service_tier: members.get("service_tier").and_then(name),
            choices: count(choices).unwrap_or(1).max(1),
            body,
            model_at,
            usage_edit,
            output_limit,
        })
    }

    /// The body as the caller wrote it, for a protocol that translates it.
    pub(crate) fn json(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// The body as the caller sent it.
    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }

    /// To how many tokens each answer is held that the caller has not limited itself.
    pub(crate) fn held_to(&self) -> Option<u64> {
        self.output_limit.most
    }

    /// Holds each answer to `most` tokens: 400 if the caller wants a longer one.
    pub(crate) fn limit_output(&mut self, most: u64) -> Result<(), Problem> {
        self.output_limit.hold_to(most)?;
        self.max_tokens = self.max_tokens.or(Some(most));
        Ok(())
    }

    /// The same for the model of `route`, from a provider that calls the limit of a chat completion `member`. What a
    /// model cannot exceed need not be said, and a provider would refuse it.
    pub(crate) fn for_route(&self, route: &Route, member: &'static str) -> Cow<'_, Self> {
        let Some(most) = self.output_limit.most else { return Cow::Borrowed(self) };
        let mut request = self.clone();
        request.output_limit.most = Some(most).filter(|most| route.max_output_tokens.is_none_or(|own| own > *most));
        if self.endpoint == Endpoint::ChatCompletions {
            request.output_limit.member = member;
        }
        Cow::Owned(request)
    }

    /// The body for a provider that knows the model as `model`. In a stream it is asked for usage, and an answer that is
    /// held to a length to keep to it; otherwise every byte but those of the model's name is the caller's.
    pub(crate) fn body_for(&self, model: &str) -> Bytes {
        let model = serde_json::Value::from(model).to_string();
        let limit = self.output_limit.edit();
        let mut edits = vec![(self.model_at.clone(), model.as_str())];
        edits.extend(self.usage_edit.as_ref().map(|edit| (edit.at.clone(), &*edit.text)));
        edits.extend(limit.as_ref().map(|edit| (edit.0.clone(), edit.1.as_str())));
        edits.sort_by_key(|(at, _)| at.start);
        let mut edited = Vec::with_capacity(self.body.len() + model.len() + 64);
        let mut from = 0;
        for (at, text) in edits {
            edited.extend_from_slice(self.body.get(from..at.start).unwrap_or_default());
            edited.extend_from_slice(text.as_bytes());
            from = at.end;
        }
        edited.extend_from_slice(self.body.get(from..).unwrap_or_default());
        edited.into()
    }
}

fn model(text: &str, members: &Members) -> Result<(Range<usize>, String), Problem> {
    let raw = members.get("model").ok_or_else(|| invalid("/model", "is missing: name a model"))?;
    match serde_json::from_str::<String>(raw.get()) {
        Ok(model) if !model.is_empty() => Ok((span(text, raw), model)),
        _ => Err(invalid("/model", "must be a string that is not empty")),
    }
}

/// What is judged here and not by the provider: that there is anything to answer, and that it is all there.
fn check(endpoint: Endpoint, members: &Members) -> Result<(), Problem> {
    match endpoint {
        Endpoint::ChatCompletions | Endpoint::Messages => require_messages(members),
        Endpoint::Embeddings => require_input(members),
        Endpoint::Responses => refuse_state(members),
    }
}

fn require_messages(members: &Members) -> Result<(), Problem> {
    let raw = members.get("messages").ok_or_else(|| invalid("/messages", "is missing: send an array of messages"))?;
    let inside = raw.get().strip_prefix('[').map(str::trim_start);
    if inside.is_none_or(|inside| inside.starts_with(']')) {
        return Err(invalid("/messages", "must be an array that is not empty"));
    }
    Ok(())
}

fn require_input(members: &Members) -> Result<(), Problem> {
    match members.get("input") {
        Some(raw) if raw.get().starts_with(['"', '[']) => Ok(()),
        Some(_) => Err(invalid("/input", "must be a text or an array")),
        None => Err(invalid("/input", "is missing: send what is to be embedded")),
    }
}

/// What a provider keeps for us it keeps for all callers alike, and nobody could say beforehand what it costs to read it.
fn refuse_state(members: &Members) -> Result<(), Problem> {
    for name in ["previous_response_id", "conversation"] {
        if members.get(name).is_some_and(|raw| raw.get() != "null") {
            return Err(invalid(&format!("/{name}"), "is not supported: send the earlier items in `input`"));
        }
    }
    if flag(members.get("background"), "/background")? {
        return Err(invalid("/background", "is not supported: wait for the answer, or stream it"));
    }
    Ok(())
}

impl Prompt {
    fn of(endpoint: Endpoint, members: &Members) -> Self {
        let names: &[&str] = match endpoint {
            Endpoint::ChatCompletions => &["messages", "tools", "functions", "response_format"],
            Endpoint::Embeddings => &["input"],
            Endpoint::Responses => &["input", "instructions", "tools", "text", "prompt"],
            Endpoint::Messages => &["messages", "system", "tools", "output_config", "output_format"],
        };
        let parts = names.iter().filter_map(|name| members.get(name));
        parts.map(|raw| Measure::of(raw.get().as_bytes())).fold(Self::default(), |sum, part| Self {
            text_bytes: sum.text_bytes.saturating_add(part.text_bytes),
            tokens: if endpoint == Endpoint::Embeddings { part.numbers } else { 0 },
        })
    }

    /// No model reads more.
    pub(crate) fn most_tokens(self) -> u64 {
        self.text_bytes.saturating_add(self.tokens)
    }

    /// What a model probably reads.
    pub(crate) fn estimated_tokens(self) -> u64 {
        Tokens::estimated(self.text_bytes).saturating_add(self.tokens)
    }
}

/// Whether the caller asked for usage, and what to change so that the provider is asked in any case.
fn usage_edit(text: &str, members: &Members, stream: bool) -> Result<(bool, Option<Edit>), Problem> {
    let options = members.get("stream_options").filter(|raw| raw.get() != "null");
    if let Some(raw) = options {
        let inner = Members::parse(raw.get(), "/stream_options")?;
        let asked = inner.get("include_usage");
        if flag(asked, "/stream_options/include_usage")? {
            return Ok((true, None));
        }
        let edit = if let Some(asked) = asked {
            Edit { at: span(text, asked), text: "true".into() }
        } else {
            let after_brace = span(text, raw).start + 1;
            let comma = if inner.is_empty() { "" } else { "," };
            Edit { at: after_brace..after_brace, text: format!(r#""include_usage":true{comma}"#).into() }
        };
        return Ok((false, stream.then_some(edit)));
    }
    let edit = match (members.get("stream_options"), members.get("stream")) {
        (Some(null), _) => Some(Edit { at: span(text, null), text: ASK_FOR_USAGE.into() }),
        (None, Some(flag)) => {
            let end = span(text, flag).end;
            Some(Edit { at: end..end, text: format!(r#","stream_options":{ASK_FOR_USAGE}"#).into() })
        }
        (None, None) => None,
    };
    Ok((false, edit.filter(|_| stream)))
}

#[cfg(test)]
mod tests {
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
        let sent =
            r#"{"max_tokens":9,"model":"m","messages":[1],"stream":true,"stream_options":{"include_usage":true}}"#;
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
            let refused =
                limited(&format!(r#"{{{members},"model":"m","messages":[1]}}"#), 50, "max_tokens").unwrap_err();
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
            (
                Endpoint::Responses,
                r#"{"model":"m","input":"four","instructions":"in","max_output_tokens":9}"#,
                6,
                Some(9),
            ),
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
}
