//! Takes out of a text what looks like a secret, an e-mail address or a card number.
//!
//! One pass, in time linear in the text: whatever is read twice is bounded, or skipped afterwards.

mod cards;
mod emails;
mod keys;

use std::ops::Range;

/// What is found: where, and what stands there instead.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    at: Range<usize>,
    label: &'static str,
}

/// `text` with labels such as `[key]` in the place of what nobody should read there.
pub(super) fn redact(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let (mut keys, mut kept, mut at) = (keys::Scan::default(), 0, 0);
    while let Some(byte) = text.as_bytes().get(at) {
        let found = match byte {
            b'@' => emails::around(text, kept, at),
            b'-' => keys::private_key(text, at),
            _ if is_inside_word(text, at) => None,
            b'0'..=b'9' => keys.at(text, at).or_else(|| cards::at(text, at)),
            byte if byte.is_ascii_alphabetic() => keys.at(text, at),
            _ => None,
        };
        let Some(Found { at: Range { start, end }, label }) = found else {
            at += 1;
            continue;
        };
        redacted.push_str(text.get(kept..start).unwrap_or_default());
        redacted.push_str(label);
        (kept, at) = (end, end);
    }
    redacted.push_str(text.get(kept..).unwrap_or_default());
    redacted
}

/// Whether the letter or digit at `at` goes on what the one before has begun.
fn is_inside_word(text: &str, at: usize) -> bool {
    at.checked_sub(1).and_then(|before| text.as_bytes().get(before)).is_some_and(u8::is_ascii_alphanumeric)
}

/// Where the run of bytes that `is_part` of it ends, from `from` on.
fn run_end(text: &str, from: usize, is_part: impl Fn(u8) -> bool) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !is_part(*byte)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Secrets of every kind, each with its label. None was ever anybody's.
    fn secrets() -> Vec<(String, &'static str)> {
        let long = "Ab3dEf6hIj9lMn2pQr5tUv8xYz1B";
        let mut secrets: Vec<_> = [
            "sk-",
            "sk-proj-",
            "sk_live_",
            "ghp_",
            "gho_",
            "github_pat_",
            "glpat-",
            "xoxb-",
            "qlp_test_",
            "AIza0",
            "hf_",
            "npm_",
            "sb_secret_",
            "whsec_",
            "gsk_",
        ]
        .iter()
        .map(|prefix| (format!("{prefix}{long}"), "[key]"))
        .collect();
        secrets.extend([
            ("AKIAIOSFODNN7EXAMPLE".to_owned(), "[key]"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl".to_owned(), "[token]"),
            ("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.".to_owned(), "[token]"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----".to_owned(), "[private key]"),
            ("-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----".to_owned(), "[private key]"),
            ("jane.doe+news@mail.example.com".to_owned(), "[e-mail]"),
            ("jürgen@münchen.example".to_owned(), "[e-mail]"),
            ("4111 1111 1111 1111".to_owned(), "[card]"),
            ("5500-0000-0000-0004".to_owned(), "[card]"),
            ("378282246310005".to_owned(), "[card]"),
        ]);
        secrets
    }

    #[test]
    fn every_kind_of_secret_is_taken_out_wherever_it_stands() {
        for (secret, label) in secrets() {
            for (before, after) in [
                ("", ""),
                ("a ", " z"),
                ("\"", "\""),
                ("key=", "&x=1"),
                ("é", "é"),
                ("(", ")."),
                ("\n", "\n"),
                (": ", ","),
            ] {
                if label == "[e-mail]" && before == "é" {
                    continue; // letters of any alphabet are part of an address
                }
                assert_eq!(redact(&format!("{before}{secret}{after}")), format!("{before}{label}{after}"));
            }
            assert_eq!(redact(&format!("{secret} {secret}")), format!("{label} {label}"));
        }
    }

    #[test]
    fn a_credential_behind_its_scheme_is_taken_out() {
        assert_eq!(redact("Authorization: Bearer 0123abcd/+=="), "Authorization: Bearer [credential]");
        assert_eq!(redact("authorization: basic dXNlcjpwYXNz"), "authorization: basic [credential]");
        assert_eq!(redact("postgres://app:hunter2@db.example.com/x"), "postgres://app:[e-mail]/x");
    }

    #[test]
    fn a_private_key_that_does_not_end_is_taken_out_to_the_end() {
        assert_eq!(redact("a -----BEGIN EC PRIVATE KEY-----\nMIIEow"), "a [private key]");
        assert_eq!(redact("-----BEGIN CERTIFICATE-----\nMIIEow"), "-----BEGIN CERTIFICATE-----\nMIIEow");
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in [
            "",
            "The risk-averse task-force met at 10:30 on 2026-11-28; see RFC 9457, section 3.",
            "sk- is a prefix, as are ghp_ and AKIA, and eyJ begins a token.",
            "me@home, @mention, a@b, and x@y.z1",
            "4111 1111 1111 1112 is no card, nor is 123456789012 or 00000000-0000-4000-8000-000000000001.",
            "Use Bearer authentication; Basic instructions follow.",
            "ask-me-anything-about-edges-and-routers disk-encryption-at-rest-everywhere",
            "日本語 🦀 --- ----- - @ 0 1-2-3",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn a_card_beside_other_digits_is_found() {
        assert_eq!(redact("1 4111 1111 1111 1111 12/27 123"), "1 [card] 12/27 123");
        assert_eq!(redact("pay 4111111111111111 2027"), "pay [card] 2027");
    }

    /// Texts on which a careless scanner would begin again and again: ten times as much takes ten times as many steps.
    #[test]
    fn repeated_beginnings_of_secrets_are_passed_over() {
        for part in ["eyJ-", "sk-", "a@", "@", "-----BEGIN ", "1 ", "bearer ", "qlp_x.", "4111-", "eyJ.", "é@"] {
            let text = part.repeat(200_000);
            assert!(redact(&text).len() <= text.len() + 16, "{part}");
        }
    }

    proptest! {
        #[test]
        fn no_planted_secret_is_left(
            index in 0..25_usize, before in "[a-z .,:é\"=/]{0,20}", after in "[ ,;\"\n)][a-z .,:é\"]{0,20}", count in 1..4_usize,
        ) {
            let (secret, _) = &secrets()[index];
            // What goes on a word is no beginning of one.
            let before = format!("{before} ");
            let text = format!("{before}{secret}{after}").repeat(count);
            prop_assert!(!redact(&text).contains(secret.as_str()), "{}", redact(&text));
        }

        #[test]
        fn any_text_comes_out_as_text_and_once_is_enough(text in "[-a-z0-9A-Z@._ é🦀]{0,80}") {
            let once = redact(&text);
            prop_assert_eq!(redact(&once), once);
        }
    }
}
