//! What can be told about a JSON document without reading it: how deep it is nested and how much text is in it.

use memchr::memchr2;

/// One pass over a JSON document. The figures mean nothing if it is not one, but there are always some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measure {
    /// The deepest nesting of objects and arrays.
    pub(crate) depth: usize,
    /// The bytes of all strings, member names included. An inline `data:` URL counts as at most [`INLINE_DATA`].
    pub(crate) text_bytes: u64,
}

/// An inline image costs about a thousand tokens, however long its base64 text is.
const INLINE_DATA: usize = 4_000;

impl Measure {
    pub(crate) fn of(json: &[u8]) -> Self {
        let (mut depth, mut deepest, mut text_bytes) = (0_usize, 0, 0_u64);
        let mut rest = json;
        while let [byte, tail @ ..] = rest {
            rest = tail;
            match byte {
                b'{' | b'[' => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                b'"' => {
                    let length = string_length(tail);
                    let inline = tail.starts_with(b"data:");
                    text_bytes += if inline { length.min(INLINE_DATA) } else { length } as u64;
                    rest = tail.get(length + 1..).unwrap_or_default();
                }
                _ => (),
            }
        }
        Self { depth: deepest, text_bytes }
    }
}

/// The bytes up to the closing quote, or to the end if there is none.
fn string_length(text: &[u8]) -> usize {
    let mut position = 0;
    while let Some(found) = text.get(position..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        let at = position + found;
        if text.get(at) == Some(&b'"') {
            return at;
        }
        position = at + 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_nesting_outside_strings_only() {
        assert_eq!(Measure::of(br#"{"a":[[1],"}]]]{{{"]}"#), Measure { depth: 3, text_bytes: 8 });
        assert_eq!(Measure::of(br#"["\\","\"[[[["]"#).depth, 1);
    }

    #[test]
    fn an_inline_image_counts_as_a_fixed_amount() {
        let image = format!(r#"["data:image/png;base64,{}"]"#, "A".repeat(1_000_000));
        assert_eq!(Measure::of(image.as_bytes()).text_bytes, 4_000);
    }

    #[test]
    fn broken_documents_are_measured_too() {
        for text in ["", "\"", "\"\\", "]]]", "{\"a"] {
            Measure::of(text.as_bytes());
        }
    }
}
