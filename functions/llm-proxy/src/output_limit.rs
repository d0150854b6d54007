//! How long the answer to a request may become, said in its body where the caller has not.

use std::ops::Range;

use problem::{Problem, kinds};

use crate::endpoint::Endpoint;
use crate::members::{Members, span};

/// What a body says of its answer's length, member by member.
#[derive(Debug, Clone)]
pub(crate) struct OutputLimit {
    said: Vec<(&'static str, Said)>,
    /// Where another member can be put: behind the brace that opens the body.
    start: usize,
    /// The longest answer that the caller may have, where it has said nothing itself.
    pub(crate) most: Option<u64>,
    /// Which member says it then.
    pub(crate) member: &'static str,
}

/// What is written for one member.
#[derive(Debug, Clone)]
enum Said {
    Nothing,
    /// `null`, which is as good as nothing, and its place.
    Null(Range<usize>),
    Tokens(u64),
    /// No whole number. The provider judges, unless we have to.
    Other,
}

impl OutputLimit {
    /// Of a body for `endpoint`: `text` with `members`.
    pub(crate) fn of(endpoint: Endpoint, text: &str, members: &Members) -> Self {
        let names = endpoint.limit_members();
        let said = names.iter().map(|name| {
            let said = match members.get(name) {
                None => Said::Nothing,
                Some(raw) if raw.get() == "null" => Said::Null(span(text, raw)),
                Some(raw) => raw.get().parse().map_or(Said::Other, Said::Tokens),
            };
            (*name, said)
        });
        let start = text.find('{').map_or(0, |brace| brace + 1);
        Self { said: said.collect(), start, most: None, member: names.first().copied().unwrap_or_default() }
    }

    /// What the caller has said, if it is a number.
    pub(crate) fn tokens(&self) -> Option<u64> {
        self.said.iter().find_map(|(_, said)| if let Said::Tokens(tokens) = said { Some(*tokens) } else { None })
    }

    /// Holds the answer to `most` tokens: 400 with the member that says more. Where no member says it, there is nothing to
    /// hold.
    pub(crate) fn hold_to(&mut self, most: u64) -> Result<(), Problem> {
        for (name, said) in &self.said {
            let within = match said {
                Said::Nothing | Said::Null(_) => true,
                Said::Tokens(tokens) => *tokens <= most,
                Said::Other => false,
            };
            if !within {
                let detail = format!("`{name}` may be a whole number of at most {most} here.");
                return Err(Problem::new(kinds::INVALID_REQUEST).at(format!("/{name}"), detail));
            }
        }
        self.most = (!self.said.is_empty() && self.tokens().is_none()).then_some(most);
        Ok(())
    }

    /// The text by which the body says it, and what that takes the place of. Nothing if the caller has said it.
    pub(crate) fn edit(&self) -> Option<(Range<usize>, String)> {
        let most = self.most?;
        let said = self.said.iter().find(|(member, _)| *member == self.member);
        Some(match said {
            Some((_, Said::Null(at))) => (at.clone(), most.to_string()),
            _ => (self.start..self.start, format!(r#""{}":{most},"#, self.member)),
        })
    }
}
