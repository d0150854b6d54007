//! API keys by their prefixes, JSON Web Tokens, credentials behind their scheme, private keys.

use super::{Found, run_end};

/// Remembers the last run of a key's letters, so that none is walked twice.
#[derive(Default)]
pub(super) struct Scan {
    run_from: usize,
    run_to: usize,
}

/// How keys of well-known services begin, and how long they are at least behind that.
const PREFIXES: [(&str, usize); 33] = [
    ("AGE-SECRET-KEY-", 20),
    ("AIza", 20),
    ("bedrock-api-key-", 16),
    ("dop_v1_", 20),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("gsk_", 20),
    ("hf_", 20),
    ("npm_", 20),
    ("pplx-", 20),
    ("pypi-", 20),
    ("qlp_", 16),
    ("r8_", 20),
    ("rk_live_", 10),
    ("rk_test_", 10),
    ("sb_secret_", 10),
    ("sbp_", 20),
    ("sk-", 16),
    ("sk_live_", 10),
    ("sk_test_", 10),
    ("tgp_v1_", 20),
    ("whsec_", 16),
    ("xai-", 20),
    ("xapp-", 10),
    ("xoxa-", 10),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxs-", 10),
];
/// Of AWS access keys, which have 16 more letters or digits.
const AWS: [&str; 2] = ["AKIA", "ASIA"];
const AWS_REST: usize = 16;
const SCHEMES: [&str; 2] = ["bearer", "basic"];
/// The shortest credential behind a scheme, and from which length on it needs no digit or capital to be one.
const CREDENTIAL: usize = 8;
const LONG_CREDENTIAL: usize = 24;
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// The longest name of a kind of key.
const KIND: usize = 40;

impl Scan {
    /// What begins with the word at `at`.
    pub(super) fn at(&mut self, text: &str, at: usize) -> Option<Found> {
        let rest = text.as_bytes().get(at..)?;
        let found = self.prefixed(text, rest, at).or_else(|| aws(text, rest, at)).map(|end| (at, end, "[key]"));
        let found = found.or_else(|| self.jwt(text, rest, at).map(|end| (at, end, "[token]")));
        let found = found.or_else(|| credential(text, at).map(|(start, end)| (start, end, "[credential]")));
        found.map(|(start, end, label)| Found { at: start..end, label })
    }

    fn prefixed(&mut self, text: &str, rest: &[u8], at: usize) -> Option<usize> {
        let (prefix, least) = PREFIXES.iter().find(|(prefix, _)| rest.starts_with(prefix.as_bytes()))?;
        let end = self.run_end(text, at);
        (end >= at + prefix.len() + least).then(|| run_end(text, end, is_base64))
    }

    /// Two JSON objects in base64url, and a signature, which may be empty.
    fn jwt(&mut self, text: &str, rest: &[u8], at: usize) -> Option<usize> {
        if !rest.starts_with(b"eyJ") {
            return None;
        }
        let header = self.run_end(text, at);
        if !text.as_bytes().get(header..)?.starts_with(b".eyJ") {
            return None;
        }
        let payload = run_end(text, header + 1, is_key);
        let has_signature = text.as_bytes().get(payload) == Some(&b'.');
        Some(if has_signature { run_end(text, payload + 1, is_key) } else { payload })
    }

    fn run_end(&mut self, text: &str, at: usize) -> usize {
        if !(self.run_from..self.run_to).contains(&at) {
            (self.run_from, self.run_to) = (at, run_end(text, at, is_key));
        }
        self.run_to
    }
}

fn aws(text: &str, rest: &[u8], at: usize) -> Option<usize> {
    let prefix = AWS.iter().find(|prefix| rest.starts_with(prefix.as_bytes()))?;
    let end = at + prefix.len() + AWS_REST;
    let letters = text.as_bytes().get(at..end)?;
    let goes_on = text.as_bytes().get(end).is_some_and(u8::is_ascii_alphanumeric);
    let fits = letters.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    (fits && !goes_on).then_some(end)
}

/// What follows `Bearer` or `Basic`, if it is no ordinary word.
fn credential(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = text.as_bytes().get(at..)?;
    let names =
        |scheme: &&&str| rest.get(..scheme.len()).is_some_and(|word| word.eq_ignore_ascii_case(scheme.as_bytes()));
    let scheme = SCHEMES.iter().find(names)?;
    let start = at + scheme.len() + 1;
    if !matches!(text.as_bytes().get(start - 1), Some(b' ' | b':' | b'\t')) {
        return None;
    }
    let end = run_end(text, start, |byte| is_base64(byte) || matches!(byte, b'.' | b'~'));
    let word = text.as_bytes().get(start..end)?;
    let is_odd = word.iter().skip(1).any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    (word.len() >= CREDENTIAL && (is_odd || word.len() >= LONG_CREDENTIAL)).then_some((start, end))
}

/// A private key in PEM (RFC 7468) that begins at `at`; to the end of the text if it does not end.
pub(super) fn private_key(text: &str, at: usize) -> Option<Found> {
    let kind = text.get(at..)?.strip_prefix(BEGIN)?;
    let shown = kind.as_bytes().get(..KIND.min(kind.len()))?;
    let shown = shown.split(|byte| *byte == b'\n').next()?;
    if !shown.windows(DASHES.len() + "PRIVATE KEY".len()).any(|word| word == b"PRIVATE KEY-----") {
        return None;
    }
    let end = text.get(at + BEGIN.len()..)?.find(END).and_then(|found| {
        let label = at + BEGIN.len() + found + END.len();
        Some(label + text.get(label..)?.find(DASHES)? + DASHES.len())
    });
    Some(Found { at: at..end.unwrap_or(text.len()), label: "[private key]" })
}

fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn is_base64(byte: u8) -> bool {
    is_key(byte) || matches!(byte, b'+' | b'/' | b'=')
}
