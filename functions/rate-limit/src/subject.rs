use std::fmt;

use limits::Level;
use percent_encoding::percent_decode_str;
use problem::{Problem, kinds};
use uuid::Uuid;

/// For whom an organization sets limits. It is written as in the path: `org`, `user:<id>`, `key:<id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The organization as a whole.
    Org,
    /// A member.
    User(Uuid),
    /// An API key.
    Key(Uuid),
}

impl Subject {
    /// The subject in a path, where `:` may be encoded. What is none names nothing: 404.
    pub fn parse(segment: &str) -> Result<Self, Problem> {
        let text = percent_decode_str(segment).decode_utf8().map_err(|_| kinds::NOT_FOUND)?;
        let subject = match text.split_once(':') {
            None if text == "org" => Some(Self::Org),
            Some(("user", id)) => id.parse().ok().map(Self::User),
            Some(("key", id)) => id.parse().ok().map(Self::Key),
            _ => None,
        };
        // One form of an id, so that each subject has one name.
        subject.filter(|subject| subject.to_string() == *text).ok_or_else(|| kinds::NOT_FOUND.into())
    }

    /// At which level it is counted.
    pub fn level(self) -> Level {
        match self {
            Self::Org => Level::Org,
            Self::User(_) => Level::User,
            Self::Key(_) => Level::Key,
        }
    }

    /// What the ledger calls it in the account of `org`.
    pub fn name_in(self, org: Uuid) -> String {
        match self {
            Self::Org => format!("org:{org}"),
            Self::User(_) | Self::Key(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Org => f.write_str("org"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Key(id) => write!(f, "key:{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_one_name_and_everything_else_is_not_found() {
        let id = Uuid::from_u128(0xab);
        assert_eq!(Subject::parse("org").unwrap(), Subject::Org);
        for (segment, expected) in [
            (format!("user:{id}"), Subject::User(id)),
            (format!("user%3A{id}"), Subject::User(id)),
            (format!("key%3a{id}"), Subject::Key(id)),
        ] {
            assert_eq!(Subject::parse(&segment).unwrap(), expected, "{segment}");
        }
        for segment in [
            "",
            "orgs",
            "org:",
            "user",
            "user:",
            "user:1",
            "team:00000000-0000-0000-0000-0000000000ab",
            "user:00000000-0000-0000-0000-0000000000AB",
            "user:000000000000000000000000000000ab",
            "user:{00000000-0000-0000-0000-0000000000ab}",
            "user:urn:uuid:00000000-0000-0000-0000-0000000000ab",
            "user:00000000-0000-0000-0000-0000000000ab:usage",
            "%ff",
        ] {
            assert_eq!(Subject::parse(segment).unwrap_err().kind(), kinds::NOT_FOUND, "{segment}");
        }
    }
}
