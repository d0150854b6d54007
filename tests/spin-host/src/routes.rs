use std::collections::BTreeMap;

/// Which of several routes a path takes, by Spin's rules: an exact route before a wildcard, the longest prefix first. A
/// slash at the end makes no difference.
#[derive(Debug)]
pub struct Routes<T> {
    exact: BTreeMap<String, T>,
    /// By the prefix before `/...`.
    wildcard: BTreeMap<String, T>,
}

/// A route of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    path: String,
    wildcard: bool,
}

/// The route that a path takes.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'r, 'p, T> {
    /// What the route leads to.
    pub to: &'r T,
    /// What a wildcard stands for in this path, from its slash on.
    pub path_info: &'p str,
}

impl Route {
    /// Parses `/exact/path` or `/prefix/...`.
    pub fn parse(route: &str) -> Result<Self, String> {
        let absolute = if route.starts_with('/') { route.to_owned() } else { format!("/{route}") };
        let (path, wildcard) = match absolute.strip_suffix("/...") {
            Some(prefix) => (prefix, true),
            None => (absolute.trim_end_matches('/'), false),
        };
        if path.contains([':', '*']) || path.split('/').any(|segment| segment == "...") {
            return Err(format!(
                "the route {route:?} is neither a path nor a path and `/...`: this test host knows no others"
            ));
        }
        if path.starts_with("/.well-known/spin") {
            return Err(format!("the route {route:?} is Spin's own"));
        }
        Ok(Self { path: path.to_owned(), wildcard })
    }

    /// The route without its wildcard.
    pub fn prefix(&self) -> &str {
        &self.path
    }
}

impl<T> Routes<T> {
    /// Adds a route; one that is there already is the error.
    pub fn add(&mut self, route: Route, to: T) -> Result<(), T> {
        let routes = if route.wildcard { &mut self.wildcard } else { &mut self.exact };
        if routes.contains_key(&route.path) {
            return Err(to);
        }
        routes.insert(route.path, to);
        Ok(())
    }

    /// Which route `path` takes, if any.
    pub fn find<'p>(&self, path: &'p str) -> Option<Match<'_, 'p, T>> {
        let path_or_folder = path.trim_end_matches('/');
        if let Some(to) = self.exact.get(path_or_folder) {
            return Some(Match { to, path_info: "" });
        }
        let mut prefix = path_or_folder;
        loop {
            if let Some(to) = self.wildcard.get(prefix) {
                return Some(Match { to, path_info: path.get(prefix.len()..).unwrap_or_default() });
            }
            prefix = prefix.get(..prefix.rfind('/')?)?;
        }
    }
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self { exact: BTreeMap::new(), wildcard: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(patterns: &[&'static str]) -> Routes<&'static str> {
        let mut routes = Routes::default();
        for pattern in patterns {
            routes.add(Route::parse(pattern).unwrap(), *pattern).unwrap();
        }
        routes
    }

    #[test]
    fn takes_an_exact_route_before_a_wildcard_and_the_longest_prefix_first() {
        let all = ["/...", "/", "/v1/...", "/v1/chat", "/v1/chat/...", "/v1/chat/done/...", "bare"];
        let reversed: Vec<_> = all.iter().rev().copied().collect();
        for (path, route, path_info) in [
            ("/", "/", ""),
            ("/other", "/...", "/other"),
            ("/v1", "/v1/...", ""),
            ("/v1/", "/v1/...", "/"),
            ("/v1/models", "/v1/...", "/models"),
            ("/v1x", "/...", "/v1x"),
            ("/v1/chat", "/v1/chat", ""),
            ("/v1/chat/", "/v1/chat", ""),
            ("/v1/chat/x/", "/v1/chat/...", "/x/"),
            ("/v1/chat/done", "/v1/chat/done/...", ""),
            ("/bare", "bare", ""),
        ] {
            for routes in [routes(&all), routes(&reversed)] {
                assert_eq!(routes.find(path), Some(Match { to: &route, path_info }), "{path}");
            }
        }
    }

    #[test]
    fn finds_nothing_where_no_route_leads() {
        let routes = routes(&["/a", "/b/..."]);
        for path in ["/", "/a/b", "/bc", "", "*", "//"] {
            assert_eq!(routes.find(path), None, "{path}");
        }
    }

    #[test]
    fn refuses_routes_it_does_not_know_and_duplicates() {
        for route in ["/users/:id", "/a/*", "/a/.../b"] {
            let fault = "is neither a path nor a path and `/...`: this test host knows no others";
            assert_eq!(Route::parse(route), Err(format!("the route {route:?} {fault}")));
        }
        assert_eq!(
            Route::parse("/.well-known/spin/health"),
            Err(r#"the route "/.well-known/spin/health" is Spin's own"#.into())
        );
        let mut routes = routes(&["/a", "/a/..."]);
        assert_eq!(routes.add(Route::parse("/a/").unwrap(), "again"), Err("again"));
    }
}
