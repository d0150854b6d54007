//! One text for all requests that ask the same.

use serde_json::value::RawValue;

use crate::endpoint::Endpoint;
use crate::members::Members;

/// Larger requests are not cached.
const LARGEST: usize = 256 * 1024;
/// Members that say how an answer is delivered or labelled, not what is asked.
const DELIVERY: [&str; 3] = ["stream", "stream_options", "metadata"];
/// Members by which an answer has effects, or depends on more than the request.
const EFFECTS: [&str; 6] = ["tools", "functions", "web_search_options", "audio", "plugins", "store"];

/// The request in its canonical form, if it is one whose answers may be kept: for embeddings, or for one completion with a
/// stated `temperature`, without tools or anything else that does or fetches something.
///
/// As RFC 8785: members in the order of their names, no blanks, strings and numbers in one spelling each. Unlike there,
/// numbers keep all of their digits.
pub(crate) fn of(endpoint: Endpoint, body: &[u8]) -> Option<String> {
    if body.len() > LARGEST || !matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Embeddings) {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    let mut members = Members::parse(text, "").ok()?;
    if endpoint == Endpoint::ChatCompletions && !is_repeatable(&members) {
        return None;
    }
    members.0.retain(|(name, _)| !DELIVERY.contains(&&**name));
    let mut canonical = String::with_capacity(text.len());
    write_object(members, &mut canonical)?;
    Some(canonical)
}

fn is_repeatable(members: &Members<'_>) -> bool {
    let said = |name: &str| members.get(name).map(RawValue::get).filter(|raw| *raw != "null");
    let has_temperature =
        said("temperature").is_some_and(|raw| raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()));
    let one_answer = matches!(said("n"), None | Some("1"));
    has_temperature && one_answer && EFFECTS.iter().all(|name| matches!(said(name), None | Some("false")))
}

/// Nothing if an object names a member twice, or a string is no Unicode.
fn write(raw: &str, to: &mut String) -> Option<()> {
    match raw.as_bytes().first()? {
        b'{' => write_object(Members::parse(raw, "").ok()?, to)?,
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
            to.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    to.push(',');
                }
                write(item.get(), to)?;
            }
            to.push(']');
        }
        b'"' => write_string(&serde_json::from_str::<String>(raw).ok()?, to)?,
        b't' | b'f' | b'n' => to.push_str(raw),
        _ => write_number(raw, to),
    }
    Some(())
}

fn write_object(mut members: Members<'_>, to: &mut String) -> Option<()> {
    members.0.sort_by(|(one, _), (other, _)| one.cmp(other));
    to.push('{');
    for (index, (name, value)) in members.0.iter().enumerate() {
        if index > 0 {
            to.push(',');
        }
        write_string(name, to)?;
        to.push(':');
        write(value.get(), to)?;
    }
    to.push('}');
    Some(())
}

fn write_string(text: &str, to: &mut String) -> Option<()> {
    to.push_str(&serde_json::to_string(text).ok()?);
    Some(())
}

/// All of the digits, and the power of ten behind them: `1.50` and `15e-1` are one number.
fn write_number(raw: &str, to: &mut String) {
    let (sign, rest) = raw.strip_prefix('-').map_or(("", raw), |rest| ("-", rest));
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        return to.push('0');
    }
    let shift = i64::try_from(digits.len() - kept.len()).ok().zip(i64::try_from(fraction.len()).ok());
    let exponent = exponent.parse::<i64>().ok().zip(shift);
    match exponent.and_then(|(exponent, (zeros, places))| exponent.checked_add(zeros)?.checked_sub(places)) {
        Some(0) => to.extend([sign, kept]),
        Some(exponent) => to.extend([sign, kept, "e", &exponent.to_string()]),
        None => to.push_str(raw),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn canonical(body: &str) -> Option<String> {
        of(Endpoint::ChatCompletions, body.as_bytes())
    }

    fn with(members: &str) -> String {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"é"}}],"temperature":0{members}}}"#)
    }

    #[test]
    fn the_same_question_has_one_form_however_it_is_written_and_delivered() {
        let plain = canonical(&with("")).unwrap();
        assert_eq!(plain, r#"{"messages":[{"content":"é","role":"user"}],"model":"m","temperature":0}"#);
        for same in [
            with(r#","stream":true,"stream_options":{"include_usage":true}"#),
            with(r#","metadata":{"a":"b"},"stream":false"#),
            r#" { "temperature" : 0.0, "messages":[ {"content":"\u00e9" , "role":"user"}],"mod\u0065l":"m" } "#
                .to_owned(),
            with("").replace(":0}", ":-0.0e5}"),
        ] {
            assert_eq!(canonical(&same).as_ref(), Some(&plain), "{same}");
        }
    }

    #[test]
    fn another_question_has_another_form() {
        let plain = canonical(&with(""));
        for other in [
            with("").replace('é', "e"),
            with("").replace("\"m\"", "\"n\""),
            with("").replace(":0}", ":0.1}"),
            with(r#","seed":1"#),
            with(r#","user":"u-1""#),
            with(r#","max_tokens":5"#),
            with(r#","x_new":null"#),
        ] {
            assert_ne!(canonical(&other), plain, "{other}");
        }
        // More digits than a double has.
        let seed = |digits: &str| canonical(&with(&format!(r#","seed":{digits}"#)));
        assert_ne!(seed("12345678901234567890123"), seed("12345678901234567890124"));
        assert_ne!(seed("9007199254740993"), seed("9007199254740992"));
        assert_eq!(seed("1.50"), seed("15e-1"));
        assert_eq!(seed("1e2"), seed("100"));
        assert_eq!(seed("-0.000120E+5"), seed("-12"));
        assert_eq!(seed("0e99999999999999999999"), seed("-0"));
        assert_ne!(seed("1e99999999999999999999"), seed("1e99999999999999999998"));
        assert_ne!(seed("12"), seed("-12"));
    }

    #[test]
    fn what_is_not_repeatable_has_none() {
        for body in [
            r#"{"model":"m","messages":[1]}"#.to_owned(),
            r#"{"model":"m","messages":[1],"temperature":null}"#.to_owned(),
            r#"{"model":"m","messages":[1],"temperature":"0"}"#.to_owned(),
            with(r#","tools":[]"#),
            with(r#","functions":[{"name":"f"}]"#),
            with(r#","web_search_options":{}"#),
            with(r#","store":true"#),
            with(r#","n":2"#),
            with(r#","x":{"a":1,"a":2}"#),
            with(r#","x":"\ud800""#),
            with(&format!(r#","x":"{}""#, "y".repeat(LARGEST))),
        ] {
            assert_eq!(canonical(&body), None, "{}", &body[..body.len().min(100)]);
        }
        for body in [with(r#","tools":null,"store":false,"n":1"#), with(r#","n":null"#)] {
            assert!(canonical(&body).is_some());
        }
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<i32>().prop_map(|eighths| json!(f64::from(eighths) / 8.0)),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-d]{1,2}", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        /// What is written is the same document again, and two documents are written alike only if they are the same.
        #[test]
        fn nothing_is_lost(one in documents(), other in documents()) {
            let form = |document: &Value| {
                canonical(&json!({"model": "m", "messages": [1], "temperature": 1, "x": document}).to_string()).unwrap()
            };
            let read: Value = serde_json::from_str(&form(&one)).unwrap();
            prop_assert_eq!(as_doubles(&read["x"]), as_doubles(&one));
            prop_assert_eq!(form(&one) == form(&other), as_doubles(&one) == as_doubles(&other));
        }
    }

    /// Whole numbers that were written as doubles are read as integers.
    fn as_doubles(value: &Value) -> Value {
        match value {
            Value::Number(number) => match number.to_string().strip_suffix(".0") {
                Some("-0") => json!(0),
                Some(whole) => json!(whole.parse::<i64>().unwrap()),
                None => value.clone(),
            },
            Value::Array(items) => items.iter().map(as_doubles).collect(),
            Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), as_doubles(value))).collect(),
            other => other.clone(),
        }
    }
}
