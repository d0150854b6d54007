//! In which order the routes of an alias are tried.

use platform::Context;
use problem::{Problem, kinds};

use crate::catalog::{Models, Route};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::model_request::ModelRequest;
use crate::models;
use crate::providers::{Protocol, Provider};

/// A route whose provider is configured and knows the endpoint.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) provider: &'a Provider,
    pub(crate) protocol: &'a dyn Protocol,
    pub(crate) endpoint: Endpoint,
    pub(crate) route: &'a Route,
}

/// The ways to answer `request`, the first to be tried first: by priority, and by chance and weight among equals. 404 if
/// there is no such model, 400 if it is not for this endpoint.
pub(crate) fn ways<'a>(
    config: &'a Config,
    catalog: &'a Models,
    request: &ModelRequest,
    context: &Context,
) -> Result<Vec<Way<'a>>, Problem> {
    let routes = catalog.get(&request.model).into_iter().flat_map(|model| &model.routes);
    let mut ways = at(config, routes.clone(), request.endpoint);
    if ways.is_empty() {
        let elsewhere = Endpoint::ALL.into_iter().filter(|endpoint| !at(config, routes.clone(), *endpoint).is_empty());
        return Err(not_here(config, catalog, request, &elsewhere.collect::<Vec<_>>()));
    }
    ways.sort_by_key(|way| way.route.priority); // stable: equals stay in the order of their positions
    if ways.iter().any(|way| way.route.weight > 0) {
        shuffle(&mut ways, context);
    }
    Ok(ways)
}

fn at<'a>(config: &'a Config, routes: impl Iterator<Item = &'a Route>, endpoint: Endpoint) -> Vec<Way<'a>> {
    let way = |route: &'a Route| {
        let provider = config.provider_of(route)?;
        Some(Way { provider, protocol: provider.protocol(endpoint)?, endpoint, route })
    };
    routes.filter_map(way).collect()
}

fn not_here(config: &Config, catalog: &Models, request: &ModelRequest, elsewhere: &[Endpoint]) -> Problem {
    if elsewhere.is_empty() {
        return if is_unpriced(config, catalog, &request.model) {
            models::unpriced(&request.model)
        } else {
            models::not_found(&request.model)
        };
    }
    let paths: Vec<_> = elsewhere.iter().map(|endpoint| format!("`/v1{}`", endpoint.below_base())).collect();
    let here = request.endpoint.below_base();
    let detail =
        format!("No provider of the model `{}` knows `/v1{here}`; use it at {}.", request.model, paths.join(" or "));
    Problem::new(kinds::INVALID_REQUEST).at("/model", detail)
}

/// Whether nothing but a price is missing.
fn is_unpriced(config: &Config, catalog: &Models, alias: &str) -> bool {
    let mut routes = catalog.get(alias).into_iter().flat_map(|model| &model.routes);
    routes.any(|route| config.provider(&route.provider).is_some())
}

/// Draws within each priority, without putting back, as likely as the weights say.
fn shuffle(ways: &mut [Way<'_>], context: &Context) {
    let mut rest = ways;
    while let Some(first) = rest.first() {
        let equals = rest.iter().take_while(|way| way.route.priority == first.route.priority).count();
        let (group, others) = rest.split_at_mut(equals);
        for index in 0..group.len() {
            let Some(left) = group.get_mut(index..) else { break };
            let drawn = draw(left, context);
            left.swap(0, drawn);
        }
        rest = others;
    }
}

fn draw(ways: &[Way<'_>], context: &Context) -> usize {
    let total: u64 = ways.iter().map(|way| u64::from(way.route.weight)).sum();
    if total == 0 {
        return 0;
    }
    let mut bytes = [0; 8];
    context.entropy.fill(&mut bytes);
    // The remainder favours nobody by more than one part in 2^32.
    let mut ticket = u64::from_le_bytes(bytes) % total;
    ways.iter()
        .position(|way| {
            let weight = u64::from(way.route.weight);
            let is_drawn = ticket < weight;
            ticket = ticket.saturating_sub(weight);
            is_drawn
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use platform::fakes::Host;
    use serde_json::json;

    use super::*;
    use crate::providers::OpenAi;

    fn route(model: &str, priority: u32, weight: u32) -> Route {
        let route = json!({"provider": "simulator", "model": model, "priority": priority, "weight": weight});
        serde_json::from_value(route).unwrap()
    }

    fn order(routes: &[Route], host: &Host) -> Vec<String> {
        let protocol = OpenAi::at(&"http://provider.test/v1".parse().unwrap(), None).unwrap();
        let provider = Provider { name: "simulator", protocols: vec![Box::new(protocol)] };
        let protocol = &*provider.protocols[0];
        let mut ways: Vec<_> = routes
            .iter()
            .map(|route| Way { provider: &provider, protocol, endpoint: Endpoint::ChatCompletions, route })
            .collect();
        ways.sort_by_key(|way| way.route.priority);
        shuffle(&mut ways, &host.context());
        ways.iter().map(|way| way.route.model.clone()).collect()
    }

    #[test]
    fn priorities_come_in_their_order_and_weights_decide_among_equals() {
        let routes = [route("c", 2, 1), route("a", 1, 3), route("b", 1, 1)];
        let (host, mut first) = (Host::new(), BTreeMap::<String, u32>::new());
        for _ in 0..4_000 {
            let order = order(&routes, &host);
            assert_eq!(order[2], "c");
            *first.entry(order[0].clone()).or_default() += 1;
        }
        assert!((2_850..3_150).contains(&first["a"]), "{first:?}");
    }

    #[test]
    fn without_weights_the_order_stays() {
        let routes = [route("a", 1, 0), route("b", 1, 0), route("c", 0, 0)];
        assert_eq!(order(&routes, &Host::new()), ["c", "a", "b"]);
    }
}
