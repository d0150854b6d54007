use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use platform::Entropy;

/// The header that carries a [`TraceContext`].
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where a request stands in a distributed trace (W3C Trace Context): the caller's trace, and a span of our own. Kept as
/// a request extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    sampled: bool,
}

const SAMPLED: u8 = 1;

impl TraceContext {
    /// Goes on with the trace that `headers` name, in a new span. Without a valid `traceparent` a new trace begins.
    pub fn accept(headers: &HeaderMap, entropy: &dyn Entropy) -> Self {
        let mut sent = headers.get_all(TRACEPARENT).iter();
        match (sent.next().and_then(|value| parse(value.as_bytes())), sent.next()) {
            (Some(parent), None) => parent.child(entropy),
            _ => Self { trace_id: random(entropy), span_id: random(entropy), sampled: true },
        }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(&self, entropy: &dyn Entropy) -> Self {
        Self { span_id: random(entropy), ..*self }
    }

    /// The trace id: 32 lower-case hex digits, for logs.
    pub fn trace_id(&self) -> impl fmt::Display + use<> {
        TraceId(u128::from_be_bytes(self.trace_id))
    }

    /// What is sent along with calls to other services, as the value of [`TRACEPARENT`].
    pub fn header_value(&self) -> HeaderValue {
        // The text is hex digits and hyphens, so the fallback is never used.
        HeaderValue::from_str(&self.to_string()).unwrap_or(HeaderValue::from_static("-"))
    }
}

struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = u64::from_be_bytes(self.span_id);
        write!(f, "00-{}-{span:016x}-{:02x}", self.trace_id(), u8::from(self.sampled))
    }
}

/// Section 3.2 of the recommendation. A version above 00 may have more fields behind those known here.
fn parse(value: &[u8]) -> Option<TraceContext> {
    let (known, more) = value.split_at_checked(55)?;
    let [version, trace_id, span_id, flags] = fields(known)?;
    let version: [u8; 1] = hex(version)?;
    let accepted = match version {
        [0] => more.is_empty(),
        [0xff] => false,
        _ => more.is_empty() || more.starts_with(b"-"),
    };
    let [flags] = hex(flags)?;
    let context = TraceContext { trace_id: hex(trace_id)?, span_id: hex(span_id)?, sampled: flags & SAMPLED != 0 };
    (accepted && context.trace_id != [0; 16] && context.span_id != [0; 8]).then_some(context)
}

fn fields(known: &[u8]) -> Option<[&[u8]; 4]> {
    let mut fields = known.split(|byte| *byte == b'-');
    let four = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    fields.next().is_none().then_some(four)
}

/// Exactly `N` bytes in lower-case hex.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let pairs: &[[u8; 2]; N] = pairs.try_into().ok()?;
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

/// Random and not all zero, which the recommendation forbids.
fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    if bytes.iter().all(|byte| *byte == 0) {
        bytes = [1; N];
    }
    bytes
}

#[cfg(test)]
mod tests {
    use platform::fakes::SeededEntropy;
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn accepted(values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        TraceContext::accept(&headers, &SeededEntropy::default()).header_value().to_str().unwrap().to_owned()
    }

    #[test]
    fn goes_on_with_the_callers_trace_in_a_span_of_its_own() {
        for flags in ["00", "01"] {
            let ours = accepted(&[&format!("00-{TRACE}-b7ad6b7169203331-{flags}")]);
            assert!(ours.starts_with(&format!("00-{TRACE}-")) && ours.ends_with(flags), "{ours}");
            assert!(!ours.contains("b7ad6b7169203331"));
            assert!(parse(ours.as_bytes()).is_some());
        }
    }

    #[test]
    fn reads_later_versions_as_far_as_it_knows_them_and_answers_in_its_own() {
        for more in ["", "-", "-what-the-future-brings"] {
            let ours = accepted(&[&format!("cc-{TRACE}-b7ad6b7169203331-03{more}")]);
            assert!(ours.starts_with(&format!("00-{TRACE}-")) && ours.ends_with("-01"), "{ours}");
        }
    }

    #[test]
    fn begins_a_new_trace_when_the_header_is_not_exactly_right() {
        let valid = format!("00-{TRACE}-b7ad6b7169203331-01");
        let wrong = [
            "",
            "00",
            &format!("ff-{TRACE}-b7ad6b7169203331-01"),
            &format!("{valid}-"),
            &format!("{valid}0"),
            &format!("cc-{TRACE}-b7ad6b7169203331-01.x"),
            &valid.to_uppercase(),
            &valid.replace('-', "_"),
            &valid.replace("b7ad", "b7aG"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{TRACE}0-b7ad6b716920333-01"),
            &format!(" {}", valid.trim_end_matches('1')),
        ];
        for value in wrong {
            let ours = accepted(&[value]);
            assert!(parse(ours.as_bytes()).is_some() && !ours.contains(TRACE), "{value:?} became {ours}");
        }
        assert!(!accepted(&[&valid, &valid]).contains(TRACE), "two headers are ambiguous");
    }

    #[test]
    fn an_all_zero_id_is_never_made() {
        struct Zeros;
        impl Entropy for Zeros {
            fn fill(&self, _: &mut [u8]) {}
        }
        let ours = TraceContext::accept(&HeaderMap::new(), &Zeros);
        assert!(parse(ours.to_string().as_bytes()).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..80)) {
            parse(&value);
        }

        #[test]
        fn what_is_written_reads_back(seed: u64) {
            let ours = TraceContext::accept(&HeaderMap::new(), &SeededEntropy::new(seed));
            prop_assert_eq!(parse(ours.to_string().as_bytes()), Some(ours));
        }
    }
}
