//! E-mail addresses (RFC 5321), by their `@`.

use super::{Found, run_end};

const LONGEST_LOCAL_PART: usize = 64;
const LONGEST_DOMAIN: usize = 253;

/// The address around the `@` at `at`; what lies before `from` has been dealt with.
pub(super) fn around(text: &str, from: usize, at: usize) -> Option<Found> {
    let start = local_part(text, from, at)?;
    let end = domain(text, at + 1)?;
    Some(Found { at: start..end, label: "[e-mail]" })
}

fn local_part(text: &str, from: usize, at: usize) -> Option<usize> {
    let from = from.max(at.saturating_sub(LONGEST_LOCAL_PART));
    let before = text.as_bytes().get(from..at)?;
    let length = before.iter().rev().take_while(|byte| is_local(**byte)).count();
    let mut start = at - length;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    (start < at).then_some(start)
}

/// At least two labels, the last of letters.
fn domain(text: &str, from: usize) -> Option<usize> {
    let longest = text.len().min(from + LONGEST_DOMAIN);
    let mut end = run_end(text, from, is_domain).min(longest);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let domain = text.get(from..end)?.trim_end_matches(['.', '-']);
    let (rest, last) = domain.rsplit_once('.')?;
    let is_letters = last.len() >= 2 && last.bytes().all(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii());
    (is_letters && !rest.is_empty()).then_some(from + domain.len())
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || b".!#$%&*+^_~-".contains(&byte)
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || matches!(byte, b'.' | b'-')
}
