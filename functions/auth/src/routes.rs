use http::Method;
use problem::{Problem, kinds};

/// Who may come to a route, before it looks at anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody: what is asked for here is a proof of who somebody is, or public.
    Open,
    /// Whoever is known, also without an identity or a second factor: it is about the caller's own sessions.
    Account,
    /// Users with an identity, by their own access token: it is about who belongs to what and what programs may do for
    /// whom. An API key, a token that was exchanged and an anonymous user are refused here; what an organization demands
    /// besides, a second factor too, is for the database to say, which knows each organization.
    Membership,
}

/// A method and a path.
#[derive(Debug)]
pub struct Route {
    /// The method; `HEAD` comes as `GET`.
    pub method: Method,
    /// Segments between slashes; one in braces stands for any.
    pub path: &'static str,
    /// Who may come.
    pub access: Access,
}

const fn open(method: Method, path: &'static str) -> Route {
    Route { method, path, access: Access::Open }
}

const fn account(method: Method, path: &'static str) -> Route {
    Route { method, path, access: Access::Account }
}

const fn membership(method: Method, path: &'static str) -> Route {
    Route { method, path, access: Access::Membership }
}

/// Every route of this function. What is not here is answered with 404 or 405.
pub static ROUTES: &[Route] = &[
    open(Method::POST, "/auth/signup"),
    open(Method::POST, "/auth/login"),
    open(Method::POST, "/auth/refresh"),
    open(Method::POST, "/auth/token"),
    open(Method::GET, "/.well-known/jwks.json"),
    account(Method::POST, "/auth/logout"),
    account(Method::GET, "/auth/session"),
    account(Method::GET, "/auth/csrf"),
    account(Method::GET, "/auth/sessions"),
    account(Method::DELETE, "/auth/sessions/{session}"),
    membership(Method::GET, "/auth/keys"),
    membership(Method::POST, "/auth/keys"),
    membership(Method::PATCH, "/auth/keys/{key}"),
    membership(Method::DELETE, "/auth/keys/{key}"),
    membership(Method::POST, "/auth/keys/{key}/rotate"),
    membership(Method::GET, "/auth/orgs"),
    membership(Method::POST, "/auth/orgs"),
    membership(Method::GET, "/auth/orgs/{org}"),
    membership(Method::PATCH, "/auth/orgs/{org}"),
    membership(Method::DELETE, "/auth/orgs/{org}"),
    membership(Method::POST, "/auth/orgs/{org}/switch"),
    membership(Method::POST, "/auth/orgs/{org}/leave"),
    membership(Method::POST, "/auth/orgs/{org}/transfer"),
    membership(Method::GET, "/auth/orgs/{org}/members"),
    membership(Method::PATCH, "/auth/orgs/{org}/members/{member}"),
    membership(Method::DELETE, "/auth/orgs/{org}/members/{member}"),
    membership(Method::PUT, "/auth/orgs/{org}/members/{member}/roles/{role}"),
    membership(Method::DELETE, "/auth/orgs/{org}/members/{member}/roles/{role}"),
    membership(Method::GET, "/auth/orgs/{org}/roles"),
    membership(Method::POST, "/auth/orgs/{org}/roles"),
    membership(Method::DELETE, "/auth/orgs/{org}/roles/{role}"),
    membership(Method::GET, "/auth/orgs/{org}/invitations"),
    membership(Method::POST, "/auth/orgs/{org}/invitations"),
    membership(Method::DELETE, "/auth/orgs/{org}/invitations/{invitation}"),
    membership(Method::GET, "/auth/orgs/{org}/teams"),
    membership(Method::POST, "/auth/orgs/{org}/teams"),
    membership(Method::PATCH, "/auth/teams/{team}"),
    membership(Method::DELETE, "/auth/teams/{team}"),
    membership(Method::PUT, "/auth/teams/{team}/members/{member}"),
    membership(Method::DELETE, "/auth/teams/{team}/members/{member}"),
    membership(Method::POST, "/auth/invitations/accept"),
    membership(Method::GET, "/auth/audit"),
    membership(Method::GET, "/auth/audit/export"),
];

impl Route {
    /// The route of a request. 404 if no route has the path, 405 if one has, with another method.
    pub(crate) fn find(segments: &[&str], method: &Method) -> Result<&'static Self, Problem> {
        let here: Vec<_> = ROUTES.iter().filter(|route| route.has(segments)).collect();
        match here.iter().find(|route| route.method == method) {
            Some(route) => Ok(route),
            None if here.is_empty() => Err(kinds::NOT_FOUND.into()),
            None => Err(Problem::method_not_allowed(&allowed(&here))),
        }
    }

    fn has(&self, segments: &[&str]) -> bool {
        let mut pattern = self.path.split('/').skip(1);
        let matches = segments
            .iter()
            .all(|&segment| pattern.next().is_some_and(|expected| expected.starts_with('{') || expected == segment));
        matches && pattern.next().is_none()
    }
}

/// The methods of `Allow`, in alphabetical order: whoever may `GET` may `HEAD`.
fn allowed(routes: &[&Route]) -> String {
    let has = |method: &str| routes.iter().any(|route| route.method == *method);
    let known = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"].into_iter();
    known.filter(|method| has(if *method == "HEAD" { "GET" } else { method })).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn found(method: &Method, path: &str) -> Result<&'static str, u16> {
        let segments: Vec<_> = path.split('/').skip(1).collect();
        Route::find(&segments, method).map(|route| route.path).map_err(|problem| problem.kind().status)
    }

    #[test]
    fn each_route_is_there_once_and_is_found_by_its_own_path() {
        let names: BTreeSet<_> = ROUTES.iter().map(|route| (route.path, route.method.as_str())).collect();
        assert_eq!(names.len(), ROUTES.len());
        for route in ROUTES {
            assert_eq!(found(&route.method, &route.path.replace(['{', '}'], "")), Ok(route.path));
            assert!(allowed(&[route]).contains(route.method.as_str()), "{route:?}");
        }
    }

    #[test]
    fn no_path_has_two_routes_for_a_method() {
        for one in ROUTES {
            let path = one.path.replace(['{', '}'], "");
            let segments: Vec<_> = path.split('/').skip(1).collect();
            let same = ROUTES.iter().filter(|route| route.has(&segments) && route.method == one.method);
            assert_eq!(same.count(), 1, "{path}");
        }
    }

    #[test]
    fn another_path_is_404_and_another_method_is_405() {
        for path in
            ["/auth", "/auth/", "/auth/orgs/a/", "/auth/orgs/a/members/b/roles", "/auth/keys/a/rotate/b", "/AUTH/keys"]
        {
            assert_eq!(found(&Method::GET, path), Err(404), "{path}");
        }
        assert_eq!(found(&Method::PUT, "/auth/orgs/a"), Err(405));
        let here: Vec<_> = ROUTES.iter().filter(|route| route.path == "/auth/orgs/{org}").collect();
        assert_eq!(allowed(&here), "DELETE, GET, HEAD, PATCH");
    }
}
