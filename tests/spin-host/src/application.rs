use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::manifest::{self, HttpTrigger, Manifest, RouteOrPrivate, StaticResponse};
use crate::routes::{Route, Routes};
use crate::variables::{self, Given};
use crate::{AllowedHosts, Error};

/// An application whose every variable has its value.
#[derive(Debug)]
pub struct Application {
    /// By name.
    pub components: BTreeMap<String, Settings>,
    /// What can be reached from outside.
    pub routes: Routes<Destination>,
}

/// What one component is given.
#[derive(Debug)]
pub struct Settings {
    /// The WASM file.
    pub source: PathBuf,
    /// By name.
    pub variables: BTreeMap<String, String>,
    /// Where it may send requests.
    pub hosts: AllowedHosts,
    /// The labels of the key-value stores it may open.
    pub stores: BTreeSet<String>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
}

/// Where a route leads.
#[derive(Debug)]
pub struct Destination {
    /// As the manifest has it.
    pub route: String,
    /// Without the wildcard.
    pub prefix: String,
    /// Who answers.
    pub answer: Answer,
}

/// Who answers a route.
#[derive(Debug)]
pub enum Answer {
    /// The component of this name.
    Component(String),
    /// Always the same.
    Static {
        /// Its status.
        status: StatusCode,
        /// Its headers.
        headers: HeaderMap,
        /// Its body.
        body: String,
    },
}

impl Application {
    /// Checks what `manifest` says and fills in the variables. Its files are relative to `folder`. Every fault is
    /// reported at once.
    pub fn new(manifest: &Manifest, folder: &Path, given: &Given) -> Result<Self, Error> {
        let mut faults = Vec::new();
        if manifest.spin_manifest_version != 2 {
            faults.push(format!("spin_manifest_version is {}, not 2", manifest.spin_manifest_version));
        }
        let variables = variables::application(&manifest.variables, given, &mut faults);
        let components = manifest
            .component
            .iter()
            .map(|(id, component)| (id.clone(), Settings::new(id, component, folder, &variables, given, &mut faults)));
        let components = components.collect();
        let routes = routes(&manifest.trigger.http, &components, &mut faults);
        neighbours(manifest, &components, &mut faults);
        if faults.is_empty() { Ok(Self { components, routes }) } else { Err(Error::Faults(faults)) }
    }
}

impl Settings {
    fn new(
        id: &str,
        component: &manifest::Component,
        folder: &Path,
        application: &BTreeMap<String, String>,
        given: &Given,
        faults: &mut Vec<String>,
    ) -> Self {
        let mut fault = |what: String| faults.push(format!("component {id}: {what}"));
        let mut variables = BTreeMap::new();
        for (name, template) in &component.variables {
            match variables::name(name).and_then(|()| variables::resolve(template, application)) {
                Ok(value) => drop(variables.insert(name.clone(), value)),
                Err(reason) => fault(format!("the variable {name}: {reason}")),
            }
        }
        let mut hosts = Vec::new();
        for pattern in &component.allowed_outbound_hosts {
            match variables::resolve(pattern, application) {
                Ok(pattern) => hosts.push(pattern),
                Err(reason) => fault(format!("allowed_outbound_hosts: {reason}")),
            }
        }
        let hosts = AllowedHosts::parse(hosts.iter().map(String::as_str)).unwrap_or_else(|reason| {
            fault(format!("allowed_outbound_hosts: {reason}"));
            AllowedHosts::default()
        });
        let mut environment = component.environment.clone();
        environment.extend(given.environment.clone());
        Self {
            source: folder.join(&component.source),
            variables,
            hosts,
            stores: component.key_value_stores.iter().cloned().collect(),
            environment: environment.into_iter().collect(),
        }
    }
}

/// Whoever may call another component needs one that has a route, if only a private one.
fn neighbours(manifest: &Manifest, components: &BTreeMap<String, Settings>, faults: &mut Vec<String>) {
    let routed: BTreeSet<_> = manifest.trigger.http.iter().filter_map(|trigger| trigger.component.as_deref()).collect();
    for (id, settings) in components {
        let missing = settings.hosts.neighbours().filter(|neighbour| !routed.contains(neighbour));
        faults.extend(
            missing.map(|missing| {
                format!("component {id}: allowed_outbound_hosts: no route leads to a component {missing}")
            }),
        );
    }
}

fn routes(
    triggers: &[HttpTrigger],
    components: &BTreeMap<String, Settings>,
    faults: &mut Vec<String>,
) -> Routes<Destination> {
    let mut routes = Routes::default();
    for trigger in triggers {
        let answer = match (&trigger.component, &trigger.static_response) {
            (Some(id), None) if components.contains_key(id) => Ok(Answer::Component(id.clone())),
            (Some(id), None) => Err(format!("there is no component {id}")),
            (None, Some(response)) => fixed(response),
            _ => Err("it needs either a component or a static_response".to_owned()),
        };
        let added = match &trigger.route {
            RouteOrPrivate::Private { private: true } => answer.map(drop),
            RouteOrPrivate::Private { private: false } => {
                Err("the route { private = false } is neither a path nor private".to_owned())
            }
            RouteOrPrivate::Route(route) => answer.and_then(|answer| add(&mut routes, route, answer)),
        };
        if let Err(reason) = added {
            let named = match &trigger.route {
                RouteOrPrivate::Route(route) => format!("route {route}"),
                RouteOrPrivate::Private { .. } => "private route".to_owned(),
            };
            faults.push(format!("{named}: {reason}"));
        }
    }
    routes
}

fn add(routes: &mut Routes<Destination>, text: &str, answer: Answer) -> Result<(), String> {
    let route = Route::parse(text)?;
    let destination = Destination { route: text.to_owned(), prefix: route.prefix().to_owned(), answer };
    routes.add(route, destination).map_err(|_| "an earlier trigger has the same route".to_owned())
}

fn fixed(response: &StaticResponse) -> Result<Answer, String> {
    let status = StatusCode::from_u16(response.status_code)
        .map_err(|_| format!("{} is no status code", response.status_code))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &response.headers {
        let name = HeaderName::try_from(name).map_err(|_| format!("{name:?} is no header name"))?;
        let value = HeaderValue::try_from(value).map_err(|_| format!("{value:?} is no header value"))?;
        headers.insert(name, value);
    }
    Ok(Answer::Static { status, headers, body: response.body.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(text: &str, variables: &[(&str, &str)]) -> Result<Application, Error> {
        let manifest = Manifest::parse(text).unwrap();
        let given = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let given = Given { variables: variables.iter().map(given).collect(), ..Given::default() };
        Application::new(&manifest, Path::new("/app"), &given)
    }

    #[test]
    fn fills_variables_into_variables_and_allowed_hosts() {
        let text = r#"
            spin_manifest_version = 2
            [application]
            name = "a"
            [variables]
            host = { default = "localhost" }
            key = { required = true }
            [[trigger.http]]
            route = "/..."
            component = "one"
            [component.one]
            source = "one.wasm"
            allowed_outbound_hosts = ["http://{{ host }}:8000"]
            [component.one.variables]
            url = "http://{{ host }}:8000/v1?{{key}}"
        "#;
        let one = &application(text, &[("host", "10.0.0.1"), ("key", "k")]).unwrap().components["one"];
        assert_eq!(one.variables["url"], "http://10.0.0.1:8000/v1?k");
        assert!(one.hosts.allow(&"http://10.0.0.1:8000/".parse().unwrap()));
        assert!(!one.hosts.allow(&"http://localhost:8000/".parse().unwrap()));
        assert_eq!(one.source, Path::new("/app/one.wasm"));
    }

    #[test]
    fn leaves_out_private_routes() {
        let text = r#"
            spin_manifest_version = 2
            [application]
            name = "a"
            [[trigger.http]]
            route = { private = true }
            component = "one"
            [component.one]
            source = "one.wasm"
        "#;
        let application = application(text, &[]).unwrap();
        assert!(application.routes.find("/").is_none());
        assert!(application.components.contains_key("one"));
    }

    #[test]
    fn reports_every_fault_at_once() {
        let text = r#"
            spin_manifest_version = 1
            [application]
            name = "a"
            [variables]
            missing = { required = true }
            vague = {}
            both = { default = "", required = true }
            Upper = { default = "" }
            [[trigger.http]]
            route = "/a"
            component = "nobody"
            [[trigger.http]]
            route = "/b"
            component = "one"
            [[trigger.http]]
            route = "/b/"
            component = "one"
            [[trigger.http]]
            route = "/:c"
            component = "one"
            [[trigger.http]]
            route = "/d"
            [[trigger.http]]
            route = "/e"
            static_response = { status_code = 99 }
            [[trigger.http]]
            route = { private = false }
            component = "one"
            [component.one]
            source = "one.wasm"
            allowed_outbound_hosts = ["https://{{ unknown }}", "localhost"]
            [component.one.variables]
            a = "{{ unknown }}"
            a__b = ""
            c = "{{ missing"
            [component.two]
            source = "two.wasm"
            allowed_outbound_hosts = ["http://one.spin.internal", "http://two.spin.internal"]
        "#;
        let Err(Error::Faults(faults)) = application(text, &[("other", "")]) else { panic!("it has faults") };
        let expected = [
            "spin_manifest_version is 1, not 2",
            "the variable Upper: a name has lower-case letters, digits and single underscores between them",
            "the variable both: it is required and has a default",
            "the variable missing: it is required: give it by SPIN_VARIABLE_MISSING or --variable missing=…",
            "the variable vague: it has neither a default nor `required = true`",
            "the variable other is given and not declared",
            "component one: the variable a: it names the variable \"unknown\", which is not declared",
            "component one: the variable a__b: a name has lower-case letters, digits and single underscores between them",
            "component one: the variable c: \"{{ missing\" has `{{` without `}}`",
            "component one: allowed_outbound_hosts: it names the variable \"unknown\", which is not declared",
            "component one: allowed_outbound_hosts: \"localhost\" has no scheme: it must be scheme://host[:port]",
            "route /a: there is no component nobody",
            "route /b/: an earlier trigger has the same route",
            "route /:c: the route \"/:c\" is neither a path nor a path and `/...`: this test host knows no others",
            "route /d: it needs either a component or a static_response",
            "route /e: 99 is no status code",
            "private route: the route { private = false } is neither a path nor private",
            "component two: allowed_outbound_hosts: no route leads to a component two",
        ];
        assert_eq!(faults, expected);
    }
}
