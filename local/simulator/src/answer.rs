//! What is answered: text in tokens, tool calls, a finish reason and the counts.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::behaviour::Behaviour;
use crate::chat::{ChatRequest, Tool};
use crate::schema;
use crate::usage::Counts;

/// The content of one completion, before it takes the form of JSON or of a stream.
pub struct Answer {
    pub reasoning: Tokens,
    pub text: Tokens,
    pub refusal: Option<Tokens>,
    pub tool_calls: Vec<ToolCall>,
    pub finish_reason: String,
    pub counts: Counts,
}

/// A call of one of the request's tools.
pub struct ToolCall {
    pub id: String,
    pub name: String,
    pub arguments: Tokens,
}

/// A text, cut into tokens.
#[derive(Default)]
pub struct Tokens {
    text: String,
    ends: Vec<usize>,
}

/// In a prompt, asks for a call of each tool that the request offers.
pub const TOOLS_MARKER: &str = "#tools";

const DEFAULT_TOKENS: usize = 48;
/// No token is longer, so that JSON without spaces streams in more than one piece.
const LONGEST_TOKEN: usize = 12;

const WORDS: [&str; 64] = [
    "amber", "anchor", "apple", "arrow", "autumn", "bamboo", "basket", "beacon", "blossom", "breeze", "bridge",
    "candle", "canyon", "cedar", "circle", "cloud", "copper", "coral", "cotton", "crystal", "dawn", "desert",
    "dolphin", "ember", "falcon", "feather", "fern", "forest", "garden", "glacier", "harbor", "harvest", "horizon",
    "island", "ivory", "jasmine", "kettle", "lantern", "lemon", "linen", "maple", "meadow", "mirror", "morning",
    "mountain", "ocean", "olive", "orchard", "paper", "pebble", "pepper", "planet", "prairie", "quartz", "river",
    "saffron", "shadow", "silver", "spruce", "stone", "summer", "thunder", "valley", "willow",
];

impl Answer {
    /// The answer to `request`; a pure function of its last user message, its tools and `behaviour`.
    pub fn to(request: &ChatRequest<'_>, behaviour: &Behaviour) -> Self {
        let prompt = request.prompt();
        let counts = Counts { prompt: request.prompt_tokens(), ..Counts::default() };
        let mut answer = Self {
            reasoning: Tokens::default(),
            text: Tokens::default(),
            refusal: None,
            tool_calls: tool_calls(request, behaviour, &prompt),
            finish_reason: "stop".to_owned(),
            counts,
        };
        if behaviour.reasoning > 0 {
            answer.reasoning = Tokens::of(&sentences(hash(&prompt) ^ 1, behaviour.reasoning), behaviour.reasoning);
        }
        if let Some(refusal) = &behaviour.refusal {
            answer.refusal = Some(Tokens::of(refusal, usize::MAX));
        } else if answer.tool_calls.is_empty() {
            answer.text = text(request, behaviour, &prompt);
        } else {
            "tool_calls".clone_into(&mut answer.finish_reason);
        }
        answer.shorten(request.limit());
        answer.count();
        if let Some(reason) = &behaviour.finish_reason {
            answer.finish_reason.clone_from(reason);
        }
        answer
    }

    /// Keeps the first `limit` tokens of the text; tool calls are not cut.
    fn shorten(&mut self, limit: usize) {
        let room = limit.saturating_sub(self.reasoning.len());
        let text = self.refusal.as_mut().unwrap_or(&mut self.text);
        if text.len() > room || self.reasoning.len() > limit {
            text.truncate(room);
            self.reasoning.truncate(limit);
            "length".clone_into(&mut self.finish_reason);
        }
    }

    fn count(&mut self) {
        let called: usize = self.tool_calls.iter().map(|call| 1 + call.arguments.len()).sum();
        self.counts.reasoning = self.reasoning.len();
        self.counts.completion =
            self.reasoning.len() + self.text.len() + self.refusal.as_ref().map_or(0, Tokens::len) + called;
    }
}

impl Tokens {
    /// Cuts `text` before each space and after [`LONGEST_TOKEN`] bytes; keeps the first `limit` tokens.
    pub fn of(text: &str, limit: usize) -> Self {
        let mut ends = Vec::with_capacity(text.len() / 6);
        let mut start = 0;
        for (at, character) in text.char_indices() {
            if at > start && (character == ' ' || at - start >= LONGEST_TOKEN) {
                ends.push(at);
                start = at;
            }
        }
        if start < text.len() {
            ends.push(text.len());
        }
        let mut tokens = Self { text: text.to_owned(), ends };
        tokens.truncate(limit);
        tokens
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.text.get(start..*end).unwrap_or_default())
    }

    /// Puts one token of `size` bytes in front.
    fn after(mut self, size: usize) -> Self {
        if size > 0 {
            self.text.insert_str(0, &"x".repeat(size));
            self.ends = std::iter::once(size).chain(self.ends.iter().map(|end| end + size)).collect();
        }
        self
    }

    fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.text.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

fn text(request: &ChatRequest<'_>, behaviour: &Behaviour, prompt: &str) -> Tokens {
    if let Some(text) = &behaviour.text {
        return Tokens::of(text, usize::MAX);
    }
    if let Some(json) = request.response_format.and_then(structured) {
        return Tokens::of(&json, usize::MAX);
    }
    let count = behaviour.tokens.unwrap_or(DEFAULT_TOKENS);
    let mut text = opening(prompt);
    text.push_str(&sentences(hash(prompt), count));
    Tokens::of(&text, count).after(behaviour.body_mb << 20)
}

/// The text of structured output: an example of the schema that the request gives.
fn structured(format: &RawValue) -> Option<String> {
    let format: Value = serde_json::from_str(format.get()).ok()?;
    match format.get("type")?.as_str()? {
        "json_schema" => Some(schema::example(format.pointer("/json_schema/schema")?).to_string()),
        "json_object" => Some(r#"{"answer": "example"}"#.to_owned()),
        _ => None,
    }
}

/// The calls that are asked for: by the behaviour, by `tool_choice`, or by [`TOOLS_MARKER`] in the prompt.
fn tool_calls(request: &ChatRequest<'_>, behaviour: &Behaviour, prompt: &str) -> Vec<ToolCall> {
    let tools = request.tools.as_deref().unwrap_or_default();
    let choice = request.tool_choice.map_or("null", RawValue::get);
    let named: Option<Value> = serde_json::from_str(choice).ok();
    let named = named.as_ref().and_then(|choice| choice.pointer("/function/name")?.as_str());
    let wanted: Vec<&Tool<'_>> = match named {
        Some(name) => tools.iter().filter(|tool| tool.function.name == name).collect(),
        None => tools.iter().collect(),
    };
    let count = if behaviour.tool_calls > 0 {
        behaviour.tool_calls
    } else if choice == "\"none\"" {
        0
    } else if prompt.contains(TOOLS_MARKER) {
        if request.parallel_tool_calls == Some(false) { 1 } else { wanted.len() }
    } else {
        usize::from(named.is_some() || choice == "\"required\"")
    };
    let seed = hash(prompt);
    wanted
        .iter()
        .cycle()
        .take(count)
        .enumerate()
        .map(|(index, tool)| call(tool, seed.wrapping_add(index as u64)))
        .collect()
}

fn call(tool: &Tool<'_>, seed: u64) -> ToolCall {
    let parameters: Option<Value> = tool.function.parameters.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let arguments = parameters.map_or_else(|| "{}".to_owned(), |schema| schema::example(&schema).to_string());
    ToolCall {
        id: format!("call_{:016x}", mix(seed)),
        name: tool.function.name.clone().into_owned(),
        arguments: Tokens::of(&arguments, usize::MAX),
    }
}

fn opening(prompt: &str) -> String {
    let words: Vec<&str> = prompt.split_whitespace().take(6).collect();
    let quoted = words.join(" ");
    let quoted = quoted.get(..quoted.char_indices().nth(60).map_or(quoted.len(), |(at, _)| at)).unwrap_or_default();
    format!(
        "You wrote “{quoted}”. I am a simulator: no model was asked and nothing was paid. The words that follow were \
         drawn by a hash of your message."
    )
}

/// At least `count` words in sentences, each with a leading space; the same for the same seed.
fn sentences(seed: u64, count: usize) -> String {
    let mut text = String::with_capacity(count * 8);
    let mut left_in_sentence = 0;
    let mut state = seed;
    for _ in 0..count {
        state = mix(state);
        let index = usize::try_from(state % 64).unwrap_or(0);
        let word = WORDS.get(index).copied().unwrap_or("word");
        text.push(' ');
        if left_in_sentence == 0 {
            left_in_sentence = 4 + (state >> 32) % 5;
            text.push_str(word.get(..1).unwrap_or_default().to_ascii_uppercase().as_str());
            text.push_str(word.get(1..).unwrap_or_default());
        } else {
            text.push_str(word);
        }
        left_in_sentence -= 1;
        if left_in_sentence == 0 {
            text.push('.');
        }
    }
    text
}

/// FNV-1a.
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One step of SplitMix64.
pub fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str, behaviour: &str) -> Answer {
        let request = ChatRequest::parse(body.as_bytes()).ok().unwrap();
        Answer::to(&request, &serde_json::from_str(behaviour).unwrap())
    }

    const HELLO: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello there"}]}"#;

    #[test]
    fn has_as_many_tokens_as_asked_for_and_mentions_the_prompt() {
        for count in [0, 1, 7, 48, 1000] {
            let answer = answer(HELLO, &format!("{{\"tokens\":{count}}}"));
            assert_eq!((answer.text.len(), answer.counts.completion), (count, count));
            assert_eq!(answer.text.iter().collect::<String>(), answer.text.text());
        }
        assert!(answer(HELLO, "{}").text.text().contains("“Hello there”"));
    }

    #[test]
    fn stops_at_the_limit_with_length() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"Hello"}],"max_tokens":5}"#;
        let answer = answer(body, "{}");
        assert_eq!((answer.text.len(), answer.finish_reason.as_str()), (5, "length"));
    }

    #[test]
    fn tokens_never_cut_a_character() {
        let text = "žluťoučký🙂🙂🙂🙂🙂kůň pěl";
        assert_eq!(Tokens::of(text, usize::MAX).iter().collect::<String>(), text);
    }

    #[test]
    fn calls_every_tool_when_the_prompt_has_the_marker() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"Weather #tools"}],"tools":[
            {"type":"function","function":{"name":"a","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}},
            {"type":"function","function":{"name":"b"}}]}"#;
        let answer = answer(body, "{}");
        let names: Vec<_> = answer.tool_calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!((names, answer.finish_reason.as_str()), (vec!["a", "b"], "tool_calls"));
        assert_eq!(answer.tool_calls[0].arguments.text(), r#"{"city":"example"}"#);
        assert_ne!(answer.tool_calls[0].id, answer.tool_calls[1].id);
    }
}
