//! The lines of the journal: a CRC-32 (ISO 3309) in eight hexadecimal digits, a space, JSON without line breaks.

use std::collections::BTreeMap;
use std::io;

use quota::account::Record;
use serde::{Deserialize, Serialize};

/// What one line says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// A row for the accounts that the database does not have yet, by its number. It counts when a line of another
    /// kind follows, which was written together with it.
    Row(u64, String),
    /// What has changed in an account: binding and fleeting.
    Changed(String, Texts, Texts),
    /// All of an account, in place of what earlier lines said of it.
    Whole(String, Vec<Record>),
    /// The database has every row up to this number.
    Delivered(u64),
}

/// Texts by name; `None` forgets one.
pub(super) type Texts = BTreeMap<String, Option<String>>;

/// Digits and a space.
const PREFIX: usize = 9;

impl Entry {
    /// Appends the line to `batch`; its length.
    pub(super) fn write(&self, batch: &mut Vec<u8>) -> io::Result<usize> {
        let start = batch.len();
        batch.extend_from_slice(&[b' '; PREFIX]);
        serde_json::to_writer(&mut *batch, self)?;
        let sum = crc32fast::hash(batch.get(start + PREFIX..).unwrap_or_default());
        let digits = format!("{sum:08x}");
        if let Some(prefix) = batch.get_mut(start..start + digits.len()) {
            prefix.copy_from_slice(digits.as_bytes());
        }
        batch.push(b'\n');
        Ok(batch.len() - start)
    }

    /// Reads a line without its line break. What is wrong with it otherwise.
    pub(super) fn read(line: &[u8]) -> Result<Self, &'static str> {
        let (prefix, json) = line.split_at_checked(PREFIX).ok_or("it is too short")?;
        let digits = prefix.strip_suffix(b" ").and_then(|digits| std::str::from_utf8(digits).ok());
        let sum = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or("it has no checksum")?;
        if sum != crc32fast::hash(json) {
            return Err("its checksum is another");
        }
        serde_json::from_slice(json).map_err(|_| "it is of a kind that is not known here")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_and_no_other_byte_passes_for_it() {
        let texts = Texts::from([("call \"1\"\n".into(), Some("{\"ü\":1}".into())), ("seen".into(), None)]);
        let entry = Entry::Changed("org 1".into(), texts.clone(), texts);
        let mut batch = Vec::new();
        assert_eq!(entry.write(&mut batch).unwrap(), batch.len());
        let line = batch.strip_suffix(b"\n").unwrap();
        assert!(!line.contains(&b'\n'));
        assert_eq!(Entry::read(line), Ok(entry));
        for index in 0..line.len() {
            let mut wrong = line.to_vec();
            wrong[index] ^= 1;
            assert!(Entry::read(&wrong).is_err(), "with another byte {index}");
            assert!(Entry::read(&line[..index]).is_err(), "cut at {index}");
        }
    }
}
