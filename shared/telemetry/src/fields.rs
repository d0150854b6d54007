use std::error::Error;
use std::fmt::{self, Write as _};
use std::ops::Range;

use tracing::field::{Field, Visit};

/// Named values of one event or span, written as JSON. The last value of a name counts.
#[derive(Default)]
pub(crate) struct Fields {
    text: String,
    values: Vec<(&'static str, Range<usize>)>,
}

/// In bytes, before escaping.
const MAX_VALUE: usize = 4096;
const CUT: &str = "…";

impl Fields {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.values.iter().map(|(name, place)| (*name, self.text.get(place.clone()).unwrap_or("null")))
    }

    fn put(&mut self, field: &Field, write: impl FnOnce(&mut String)) {
        let start = self.text.len();
        write(&mut self.text);
        self.values.retain(|(name, _)| *name != field.name());
        self.values.push((field.name(), start..self.text.len()));
    }

    /// A number or a truth value is the same text in JSON.
    fn put_plain(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.put(field, |text| {
            let _ = text.write_fmt(value); // writing to a string cannot fail
        });
    }

    fn put_text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.put(field, |text| {
            text.push('"');
            if (Bounded { text, room: MAX_VALUE }).write_fmt(value).is_err() {
                text.push_str(CUT);
            }
            text.push('"');
        });
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_plain(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put_plain(field, format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.put_plain(field, format_args!("{value:?}"));
        } else {
            self.put_plain(field, format_args!("null"));
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put_plain(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put_text(field, format_args!("{}", Chain(value)));
    }
}

/// The inside of a JSON string (RFC 8259 section 7). Stops whoever writes as soon as there is enough.
struct Bounded<'a> {
    text: &'a mut String,
    room: usize,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = text.split_at(text.floor_char_boundary(self.room)).0;
        self.room -= fits.len();
        escape(fits, self.text);
        if fits.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

fn escape(mut text: &str, to: &mut String) {
    while let Some(place) = text.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (plain, rest) = text.split_at(place);
        to.push_str(plain);
        let mut rest = rest.chars();
        match rest.next() {
            Some(mark @ ('"' | '\\')) => to.extend(['\\', mark]),
            Some('\n') => to.push_str("\\n"),
            Some(control) => {
                let _ = write!(to, "\\u{:04x}", u32::from(control));
            }
            None => (),
        }
        text = rest.as_str();
    }
    to.push_str(text);
}

/// An error with its causes.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    proptest! {
        #[test]
        fn any_text_reads_as_itself(parts in proptest::collection::vec("\\PC{0,9}|[\\x00-\\x1f\"\\\\]{0,9}|.{0,9}", 0..9)) {
            let mut text = String::from('"');
            let mut bounded = Bounded { text: &mut text, room: MAX_VALUE };
            for part in &parts {
                bounded.write_str(part).unwrap();
            }
            text.push('"');
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), Value::from(parts.concat()));
        }

        #[test]
        fn what_is_too_long_is_cut_between_characters(text in ".{0,40}", room in 0usize..40) {
            let mut written = String::new();
            let complete = Bounded { text: &mut written, room }.write_str(&text).is_ok();
            prop_assert_eq!(complete, text.len() <= room);
            let read: Value = serde_json::from_str(&format!("\"{written}\"")).unwrap();
            prop_assert!(text.starts_with(read.as_str().unwrap()));
        }
    }
}
