//! The members of a JSON object, found without reading their values, and what may be wrong with them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use problem::{Problem, kinds};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The members of one object, in order, each named once.
#[derive(Default)]
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// 400 if `text`, which stands at `pointer`, is no object, or names a member twice.
    pub(crate) fn parse(text: &'a str, pointer: &str) -> Result<Self, Problem> {
        let members: Self = serde_json::from_str(text).map_err(|error| unreadable(&error, pointer))?;
        let mut names = BTreeSet::new();
        match members.0.iter().find(|(name, _)| !names.insert(name)) {
            Some((name, _)) => Err(Problem::new(kinds::INVALID_REQUEST)
                .at(below(pointer, name), "The member is there twice: name it once.")),
            None => Ok(members),
        }
    }

    /// The members of what a provider sent, if that is an object.
    pub(crate) fn of(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

/// Where the member `name` of the object at `pointer` stands (RFC 6901).
pub(crate) fn below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn unreadable(error: &serde_json::Error, pointer: &str) -> Problem {
    let place = format!("line {}, column {}", error.line(), error.column());
    if error.is_data() {
        Problem::new(kinds::INVALID_REQUEST).at(pointer, "A JSON object is expected here.")
    } else if error.is_eof() {
        Problem::new(kinds::MALFORMED_BODY).detail(format!("The JSON document ends too early ({place})."))
    } else {
        Problem::new(kinds::MALFORMED_BODY).detail(format!("The body is not JSON: reading stopped at {place}."))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object).map(Self)
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A flag that is false unless it is there.
pub(crate) fn flag(raw: Option<&RawValue>, pointer: &str) -> Result<bool, Problem> {
    match raw.map(RawValue::get) {
        Some("true") => Ok(true),
        None | Some("false" | "null") => Ok(false),
        Some(_) => Err(invalid(pointer, "must be true or false")),
    }
}

/// A count, if it is one; what else is written there the provider judges.
pub(crate) fn count(raw: Option<&RawValue>) -> Option<u64> {
    raw?.get().parse().ok()
}

/// 400 with the place of the fault.
pub(crate) fn invalid(pointer: &str, detail: &str) -> Problem {
    Problem::new(kinds::INVALID_REQUEST).at(pointer, format!("`{}` {detail}.", pointer.trim_start_matches('/')))
}

/// Where `raw`, a part of `text`, lies in it.
pub(crate) fn span(text: &str, raw: &RawValue) -> Range<usize> {
    let start = raw.get().as_ptr().addr() - text.as_ptr().addr();
    start..start + raw.get().len()
}
