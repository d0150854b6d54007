//! Reading a request with the place of each value at hand, so that what is wrong can be pointed at.

use std::borrow::Cow;

use problem::{Problem, kinds};
use serde_json::value::RawValue;

use crate::members::Members;

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
    /// The text, if it is a string.
    pub(super) fn text(&self) -> Result<Cow<'a, str>, Problem> {
        let raw = self.raw.get();
        match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            // Without escapes it is its own text.
            Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
            Some(_) => serde_json::from_str(raw).map(Cow::Owned).map_err(|_| self.problem("cannot be read")),
            None => Err(self.problem("must be a string")),
        }
    }

    pub(super) fn is_text(&self) -> bool {
        self.raw.get().starts_with('"')
    }

    pub(super) fn object(&self) -> Result<Object<'a>, Problem> {
        Object::parse(self.raw.get(), self.pointer.clone())
    }

    pub(super) fn items(&self) -> Result<Vec<Node<'a>>, Problem> {
        let items: Vec<&'a RawValue> =
            serde_json::from_str(self.raw.get()).map_err(|_| self.problem("must be an array"))?;
        let item = |(index, raw)| Node { raw, pointer: format!("{}/{index}", self.pointer) };
        Ok(items.into_iter().enumerate().map(item).collect())
    }

    /// That the value is wrong: `detail` goes on after its name.
    pub(super) fn problem(&self, detail: &str) -> Problem {
        let name = self.pointer.rsplit('/').find(|name| name.parse::<usize>().is_err()).unwrap_or_default();
        Problem::new(kinds::INVALID_REQUEST).at(self.pointer.clone(), format!("`{name}` {detail}."))
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
        let missing = || {
            let pointer = format!("{}/{name}", self.pointer);
            Problem::new(kinds::INVALID_REQUEST).at(pointer, format!("`{name}` is missing."))
        };
        self.get(name).ok_or_else(missing)
    }

    /// Every member that is not null, with its name.
    pub(super) fn into_members(self) -> impl Iterator<Item = (Cow<'a, str>, Node<'a>)> {
        let Self { members, pointer } = self;
        let present = members.0.into_iter().filter(|(_, raw)| raw.get() != "null");
        present.map(move |(name, raw)| {
            let node = Node { raw, pointer: format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")) };
            (name, node)
        })
    }

    fn parse(text: &'a str, pointer: String) -> Result<Self, Problem> {
        Ok(Self { members: Members::parse(text, &pointer)?, pointer })
    }

    fn node(&self, name: &str, raw: &'a RawValue) -> Node<'a> {
        Node { raw, pointer: format!("{}/{name}", self.pointer) }
    }
}
