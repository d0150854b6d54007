//! The most that a call could come to, which is reserved before it begins.

use quota::account::Amounts;

use crate::catalog::Route;
use crate::config::Timeouts;
use crate::model_request::ModelRequest;
use crate::price::Price;
use crate::routing::Way;
use crate::tokens::Tokens;

/// For models of which the catalog does not say it, and callers who do not either. What an answer has beyond that is
/// owed.
const LONGEST_ANSWER: u64 = 16_384;
/// After the last time limit of a call, its end is on its way.
const GRACE_SECONDS: u64 = 60;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A token for every byte that the model reads, those that are tokens already, unless that is more than it takes, and all
/// the answers at their longest.
pub(crate) fn tokens(request: &ModelRequest, route: &Route) -> Tokens {
    let answer = longest_answer(request, route);
    let input = request.prompt.most_tokens();
    let input = route.max_input_tokens.map_or(input, |longest| input.min(longest));
    Tokens { input, output: answer.saturating_mul(request.choices), ..Tokens::default() }
}

/// How long one answer may become: as long as the caller wants, and the model can.
pub(crate) fn longest_answer(request: &ModelRequest, route: &Route) -> u64 {
    let longest = route.max_output_tokens.unwrap_or(LONGEST_ANSWER);
    request.max_tokens.map_or(longest, |wanted| wanted.min(route.max_output_tokens.unwrap_or(wanted)))
}

/// The route on which the most could be spent; one without a price comes before all.
pub(crate) fn dearest<'a>(request: &ModelRequest, ways: &'a [Way<'a>]) -> Option<&'a Way<'a>> {
    ways.iter().max_by_key(|way| on(request, way.route).nano_usd)
}

/// What could be used at most on any of `ways`.
pub(crate) fn on_any(request: &ModelRequest, ways: &[Way<'_>]) -> Amounts {
    let each = ways.iter().map(|way| on(request, way.route));
    each.fold(Amounts::ONE_REQUEST, |most, amounts| Amounts {
        requests: 1,
        tokens: most.tokens.max(amounts.tokens),
        nano_usd: most.nano_usd.max(amounts.nano_usd),
    })
}

fn on(request: &ModelRequest, route: &Route) -> Amounts {
    amounts(tokens(request, route), route.price.as_deref(), request.service_tier.as_deref())
}

/// What they are in the units of the limits. What has no price fits into no budget.
fn amounts(tokens: Tokens, price: Option<&Price>, tier: Option<&str>) -> Amounts {
    Amounts {
        requests: 1,
        tokens: tokens.input.saturating_add(tokens.output),
        nano_usd: price.map_or(i64::MAX, |price| price.most(tokens, tier)).unsigned_abs(),
    }
}

/// Nanoseconds after which a call that has not reported is given up.
pub(crate) fn expires_after(limits: &Timeouts) -> u64 {
    // The last try may begin when the time for tries is nearly over.
    let longest = limits.tries() + limits.answer.max(limits.headers + limits.stream);
    (longest.as_secs() + GRACE_SECONDS).saturating_mul(NANOS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::endpoint::Endpoint;

    fn route(max_output_tokens: Option<u64>) -> Route {
        let route = serde_json::json!({"provider": "p", "model": "m", "max_output_tokens": max_output_tokens});
        serde_json::from_value(route).unwrap()
    }

    fn worst(members: &str, max_output_tokens: Option<u64>) -> (u64, u64) {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"12345678"}}]{members}}}"#);
        let tokens = tokens(
            &ModelRequest::parse(Endpoint::ChatCompletions, Bytes::from(body)).unwrap(),
            &route(max_output_tokens),
        );
        (tokens.input, tokens.output)
    }

    #[test]
    fn an_answer_is_as_long_as_the_caller_or_the_model_allows() {
        assert_eq!(worst("", Some(4_096)).1, 4_096);
        assert_eq!(worst("", None).1, LONGEST_ANSWER);
        assert_eq!(worst(r#","max_tokens":24"#, Some(4_096)).1, 24);
        assert_eq!(worst(r#","max_completion_tokens":30,"max_tokens":24"#, None).1, 30);
        assert_eq!(worst(r#","max_tokens":1000000"#, Some(4_096)).1, 4_096);
        assert_eq!(worst(r#","max_tokens":24,"n":3"#, None).1, 72);
        assert_eq!(worst(r#","max_tokens":"many","n":null"#, Some(10)).1, 10);
    }

    #[test]
    fn a_prompt_has_at_most_as_many_tokens_as_bytes() {
        assert!(worst("", None).0 >= 8);
    }

    #[test]
    fn a_prompt_is_not_longer_than_the_model_takes() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"12345678"}]}"#;
        let request = ModelRequest::parse(Endpoint::ChatCompletions, Bytes::from(body)).unwrap();
        let of = |most| tokens(&request, &Route { max_input_tokens: most, ..route(None) }).input;
        assert_eq!((of(Some(5)), of(Some(1_000_000))), (5, of(None)));
    }

    #[test]
    fn what_has_no_price_fits_into_no_budget() {
        assert_eq!(amounts(Tokens::default(), None, None).nano_usd, i64::MAX.unsigned_abs());
    }
}
