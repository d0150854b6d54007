//! What can be told about a JSON document without reading it: how deep it is nested and how much text is in it.

use memchr::memchr2;

/// One pass over a JSON document. The figures mean nothing if it is not one, but there are always some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measure {
    /// The deepest nesting of objects and arrays.
    pub(crate) depth: usize,
    /// The bytes of all strings, member names included. An inline `data:` URL, or the text of a member `data`, counts as at
    /// most [`INLINE_DATA`].
    pub(crate) text_bytes: u64,
    /// How many numbers there are.
    pub(crate) numbers: u64,
}

/// An inline image costs about a thousand tokens, however long its base64 text is.
const INLINE_DATA: usize = 4_000;

impl Measure {
    pub(crate) fn of(json: &[u8]) -> Self {
        let mut measure = Self { depth: 0, text_bytes: 0, numbers: 0 };
        let (mut depth, mut in_number, mut is_data) = (0_usize, false, false);
        let mut rest = json;
        while let [byte, tail @ ..] = rest {
            rest = tail;
            let (was_in_number, was_data) = (in_number, is_data);
            (in_number, is_data) = (false, false);
            match byte {
                b'{' | b'[' => {
                    depth += 1;
                    measure.depth = measure.depth.max(depth);
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                b'"' => {
                    let length = string_length(tail);
                    let inline = was_data || tail.starts_with(b"data:");
                    measure.text_bytes += if inline { length.min(INLINE_DATA) } else { length } as u64;
                    rest = tail.get(length + 1..).unwrap_or_default();
                    is_data = !was_data && tail.starts_with(b"data\"");
                }
                b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E' => {
                    let begins = !was_in_number && (byte.is_ascii_digit() || *byte == b'-');
                    measure.numbers += u64::from(begins);
                    in_number = was_in_number || begins;
                }
                b':' | b' ' | b'\n' | b'\r' | b'\t' => is_data = was_data,
                _ => (),
            }
        }
        measure
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
        assert_eq!(Measure::of(br#"{"a":[[1],"}]]]{{{"]}"#), Measure { depth: 3, text_bytes: 8, numbers: 1 });
        assert_eq!(Measure::of(br#"["\\","\"[[[["]"#).depth, 1);
    }

    #[test]
    fn an_inline_image_counts_as_a_fixed_amount() {
        let image = format!(r#"["data:image/png;base64,{}"]"#, "A".repeat(1_000_000));
        assert_eq!(Measure::of(image.as_bytes()).text_bytes, 4_000);
    }

    #[test]
    fn so_do_the_bytes_of_an_image_or_a_file_in_a_member_of_their_own() {
        let long = "A".repeat(1_000_000);
        let bytes = |json: String| Measure::of(json.as_bytes()).text_bytes;
        assert_eq!(bytes(format!(r#"{{"data" : "{long}"}}"#)), 4_004);
        for text in [
            format!(r#"{{"data":1,"x":"{long}"}}"#),
            format!(r#"{{"datum":"{long}"}}"#),
            format!(r#"["data","{long}"]"#),
        ] {
            assert!(bytes(text) > 1_000_000);
        }
    }

    #[test]
    fn counts_numbers() {
        for (json, numbers) in [("[1, -22,3.5e+7 ,[0],\"8\",true,null,false]", 4), ("{\"a\":1}", 1), ("[]", 0)] {
            assert_eq!(Measure::of(json.as_bytes()).numbers, numbers, "{json}");
        }
    }

    #[test]
    fn broken_documents_are_measured_too() {
        for text in ["", "\"", "\"\\", "]]]", "{\"a"] {
            Measure::of(text.as_bytes());
        }
    }
}
