//! Objects that are read member by member, and written so.

use problem::{Problem, kinds};
use serde_json::value::RawValue;

use crate::members::Members;

/// The members of an object that a provider sent. `None` if it is none.
pub(super) fn members(json: &str) -> Option<Members<'_>> {
    serde_json::from_str(json).ok()
}

/// An object of a request, and where it stands. A member that is `null` is absent.
pub(super) struct Object<'a> {
    members: Members<'a>,
    /// A JSON pointer (RFC 6901); empty for the whole request.
    at: String,
}

impl<'a> Object<'a> {
    /// Reads the object that `json` is.
    pub(super) fn parse(json: &'a str, at: String) -> Result<Self, Problem> {
        Ok(Self { members: Members::parse(json, &at)?, at })
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.members.get(name).filter(|raw| raw.get() != "null")
    }

    /// A member that is an object.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, Problem> {
        self.get(name).map(|raw| Self::parse(raw.get(), self.pointer(name))).transpose()
    }

    /// A member that is an array of objects; none if it is absent.
    pub(super) fn objects(&self, name: &str) -> Result<Vec<Self>, Problem> {
        let Some(raw) = self.get(name) else { return Ok(Vec::new()) };
        let elements: Vec<&RawValue> =
            serde_json::from_str(raw.get()).map_err(|_| self.wrong(name, "must be an array"))?;
        let parse =
            |(index, raw): (usize, &'a RawValue)| Self::parse(raw.get(), format!("{}/{index}", self.pointer(name)));
        elements.into_iter().enumerate().map(parse).collect()
    }

    /// A member that is a string, as it is written.
    pub(super) fn string(&self, name: &str) -> Result<Option<&'a RawValue>, Problem> {
        match self.get(name) {
            Some(raw) if !raw.get().starts_with('"') => Err(self.wrong(name, "must be a string")),
            found => Ok(found),
        }
    }

    /// A string that must be there, as it is written.
    pub(super) fn needed(&self, name: &str) -> Result<&'a RawValue, Problem> {
        self.string(name)?.ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// A string that must be there.
    pub(super) fn text(&self, name: &str) -> Result<String, Problem> {
        let raw = self.needed(name)?;
        serde_json::from_str(raw.get()).map_err(|_| self.wrong(name, "must be text in Unicode"))
    }

    /// 400: `name` here is wrong.
    pub(super) fn wrong(&self, name: &str, detail: &str) -> Problem {
        let pointer = self.pointer(name);
        let detail = format!("`{}` {detail}.", pointer.trim_start_matches('/'));
        Problem::new(kinds::INVALID_REQUEST).at(pointer, detail)
    }

    fn pointer(&self, name: &str) -> String {
        format!("{}/{name}", self.at)
    }
}

/// An object that is being written.
#[derive(Default)]
pub(super) struct Writer(String);

impl Writer {
    /// Adds a member that is given as JSON.
    pub(super) fn member(&mut self, name: &str, json: &str) {
        let comma = if self.0.is_empty() { "" } else { "," };
        for part in [comma, "\"", name, "\":", json] {
            self.0.push_str(part);
        }
    }

    /// Adds a member as it is written elsewhere, if it is.
    pub(super) fn copy(&mut self, name: &str, json: Option<&RawValue>) {
        if let Some(json) = json {
            self.member(name, json.get());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn finish(self) -> String {
        format!("{{{}}}", self.0)
    }
}

/// The elements, which are JSON, as an array.
pub(super) fn array(elements: &[String]) -> String {
    format!("[{}]", elements.join(","))
}
