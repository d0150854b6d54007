use spin_host::Error;

use crate::running::Running;
use crate::wire::Call;

#[test]
fn a_request_reaches_the_component_of_its_route_with_spins_headers() {
    let host = Running::start(
        r#"
        [[trigger.http]]
        route = "/head/..."
        component = "one"
        [[trigger.http]]
        route = { private = true }
        component = "two"
        [[trigger.http]]
        route = "/fixed"
        static_response = { status_code = 202, headers = { a = "b" }, body = "always" }
        [component.one]
        source = $WASM
        [component.two]
        source = $WASM
        "#,
    );
    let head = host.text("/head?a=b");
    assert!(head.starts_with(&format!("GET http://{}/head?a=b\n", host.address)), "{head}");
    assert!(head.contains(r#""spin-component-route": "/head""#), "{head}");
    assert!(head.contains(r#""spin-path-info": """#), "{head}");
    assert!(head.contains(&format!(r#""host": "{}""#, host.address)), "{head}");
    let mut call = Call::get(host.address, "/fixed");
    assert_eq!((call.head(), call.header("a")), (202, Some("b")));
    assert_eq!(Call::get(host.address, "/fixed").answer(), (202, "always".into()));
    assert_eq!(Call::get(host.address, "/number").answer(), (404, String::new()));
    assert_eq!(Call::get(host.address, "/.well-known/spin/health").answer(), (200, "OK".into()));
    assert_eq!(Call::send(host.address, "GET /head HTTP/1.0\r\n\r\n").head(), 400);
}

#[test]
fn a_component_that_is_none_or_asks_for_too_much_does_not_start() {
    let start = |source: &str| {
        let text = r#"
            [[trigger.http]]
            route = "/..."
            component = "one"
            [component.one]
            source = "$SOURCE"
        "#;
        match Running::try_start(&text.replace("$SOURCE", source)) {
            Ok(_) => panic!("{source} runs"),
            Err(error) => error,
        }
    };
    let missing = start("missing.wasm");
    assert!(matches!(&missing, Error::Io { .. }) && missing.to_string().starts_with("missing.wasm: "), "{missing}");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let none = start(manifest);
    assert!(matches!(&none, Error::Component { id, .. } if id == "one"), "{none}");
}
