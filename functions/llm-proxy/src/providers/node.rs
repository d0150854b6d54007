//! Reading a request with the place of each value at hand, so that what is wrong can be pointed at.

use std::borrow::Cow;

use problem::Problem;
use serde_json::value::RawValue;

use crate::members::{Members, below, invalid};

/// A value of the caller's request, and where it stands (RFC 6901).
pub(super) struct Node<'a> {
    pub(super) raw: &'a RawValue,
    pointer: String,
}

/// An object of the caller's request. A member that is null counts as absent.
pub(super) struct Object<'a> {
    members: Members<'a>,
    pointer: String,
}

impl<'a> Node<'a> {
    /// As it is written.
    pub(super) fn json(&self) -> &'a str {
        self.raw.get()
    }

    /// As it is written, if it is a string.
    pub(super) fn string(&self) -> Result<&'a str, Problem> {
        if self.is_text() { Ok(self.json()) } else { Err(self.problem("must be a string")) }
    }

    /// The text, if it is a string.
    pub(super) fn text(&self) -> Result<Cow<'a, str>, Problem> {
        let json = self.string()?;
        match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            // Without escapes it is its own text.
            Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
            _ => serde_json::from_str(json).map(Cow::Owned).map_err(|_| self.problem("must be text in Unicode")),
        }
    }

    pub(super) fn is_text(&self) -> bool {
        self.json().starts_with('"')
    }

    pub(super) fn object(&self) -> Result<Object<'a>, Problem> {
        Object::parse(self.json(), self.pointer.clone())
    }

    pub(super) fn items(&self) -> Result<Vec<Node<'a>>, Problem> {
        let items: Vec<&'a RawValue> =
            serde_json::from_str(self.json()).map_err(|_| self.problem("must be an array"))?;
        let item = |(index, raw)| Node { raw, pointer: format!("{}/{index}", self.pointer) };
        Ok(items.into_iter().enumerate().map(item).collect())
    }

    /// That the value is wrong: `detail` goes on after its name.
    pub(super) fn problem(&self, detail: &str) -> Problem {
        invalid(&self.pointer, detail)
    }
}

impl<'a> Object<'a> {
    /// The whole body.
    pub(super) fn root(body: &'a str) -> Result<Self, Problem> {
        Self::parse(body, String::new())
    }

    pub(super) fn get(&self, name: &str) -> Option<Node<'a>> {
        self.members.get(name).filter(|raw| raw.get() != "null").map(|raw| self.node(name, raw))
    }

    pub(super) fn require(&self, name: &str) -> Result<Node<'a>, Problem> {
        self.get(name).ok_or_else(|| invalid(&format!("{}/{name}", self.pointer), "is missing"))
    }

    /// Every member that is not null, with its name.
    pub(super) fn into_members(self) -> impl Iterator<Item = (Cow<'a, str>, Node<'a>)> {
        let Self { members, pointer } = self;
        let present = members.0.into_iter().filter(|(_, raw)| raw.get() != "null");
        present.map(move |(name, raw)| {
            let pointer = below(&pointer, &name);
            (name, Node { raw, pointer })
        })
    }

    fn parse(text: &'a str, pointer: String) -> Result<Self, Problem> {
        Ok(Self { members: Members::parse(text, &pointer)?, pointer })
    }

    fn node(&self, name: &str, raw: &'a RawValue) -> Node<'a> {
        Node { raw, pointer: format!("{}/{name}", self.pointer) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const REQUEST: &str = r#"{"messages": [{"role": "\u0075ser"}, {"role": 1, "name": null}], "a/b~": {}}"#;

    fn pointer(problem: &Problem) -> String {
        let body: Value = problem.body(problem::Dialect::ProblemJson, "r-1");
        body["errors"][0]["pointer"].as_str().unwrap().to_owned()
    }

    #[test]
    fn each_value_knows_where_it_stands() {
        let request = Object::root(REQUEST).unwrap();
        let messages = request.require("messages").unwrap().items().unwrap();
        let roles: Vec<_> = messages.iter().map(|message| message.object().unwrap().require("role").unwrap()).collect();
        assert_eq!(roles[0].text().unwrap(), "user");
        assert_eq!(pointer(&roles[1].text().unwrap_err()), "/messages/1/role");
        assert_eq!(pointer(&messages[0].items().err().unwrap()), "/messages/0");
        assert_eq!(pointer(&roles[1].object().err().unwrap()), "/messages/1/role");
        let strange = request.into_members().nth(1).unwrap();
        assert_eq!((&*strange.0, pointer(&strange.1.problem("is odd"))), ("a/b~", "/a~1b~0".to_owned()));
    }

    #[test]
    fn what_is_null_is_missing() {
        let message = r#"{"name": null}"#;
        let message = Object::root(message).unwrap();
        assert!(message.get("name").is_none());
        let missing = message.require("name").err().unwrap();
        assert_eq!((pointer(&missing), missing.message()), ("/name".to_owned(), "`name` is missing.".to_owned()));
    }

    #[test]
    fn a_string_is_told_as_it_is_written_or_as_what_it_says() {
        let texts = Object::root(r#"{"plain": "a", "escaped": "\"\u00e9", "half": "\ud800", "none": true}"#).unwrap();
        let node = |name| texts.require(name).unwrap();
        assert_eq!((node("plain").string().unwrap(), node("plain").text().unwrap()), (r#""a""#, "a".into()));
        assert_eq!(node("escaped").text().unwrap(), "\"é");
        assert_eq!(node("half").text().unwrap_err().message(), "`half` must be text in Unicode.");
        assert_eq!(node("none").string().unwrap_err().message(), "`none` must be a string.");
    }
}
