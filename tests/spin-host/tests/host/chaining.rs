use spin_host::Error;

use crate::running::Running;
use crate::wire::Call;

/// `one` may call `two`, which has no public route, and not `three`.
const APPLICATION: &str = r#"
    [[trigger.http]]
    route = "/..."
    component = "one"
    [[trigger.http]]
    route = { private = true }
    component = "two"
    [[trigger.http]]
    route = "/three"
    component = "three"
    [component.one]
    source = $WASM
    allowed_outbound_hosts = ["http://two.spin.internal"]
    [component.two]
    source = $WASM
    key_value_stores = ["default"]
    [component.three]
    source = $WASM
"#;

#[test]
fn a_component_calls_another_of_the_application_by_its_name() {
    let host = Running::start(APPLICATION);
    let head = host.text("/fetch?http://two.spin.internal/head?x");
    assert!(head.starts_with(r#"200 OK Ok(b"GET http://two.spin.internal/head?x"#), "{head}");
    for header in [r#"\"host\": \"two.spin.internal\""#, r#"\"spin-client-addr\": \"0.0.0.0:0\""#] {
        assert!(head.contains(header), "{head}");
    }
    // With its own grants, not the caller's.
    let opened = "/fetch?http://two.spin.internal/store/default/get/a";
    assert_eq!(host.text(opened), r#"200 OK Ok(b"Ok(\"None\")")"#);
    assert_eq!(host.text("/store/default/get/a"), "Err(Error::AccessDenied)");
}

#[test]
fn a_component_that_the_manifest_does_not_name_is_out_of_reach() {
    let host = Running::start(APPLICATION);
    for elsewhere in ["three.spin.internal", "four.spin.internal", "two.spin.internal:81", "x.two.spin.internal"] {
        assert_eq!(host.text(&format!("/fetch?http://{elsewhere}/number")), "ErrorCode::HttpRequestDenied");
    }
    assert_eq!(host.text("/fetch?https://two.spin.internal/number"), "ErrorCode::HttpRequestDenied");
}

#[test]
fn a_private_component_cannot_be_called_from_outside() {
    let host = Running::start(APPLICATION);
    for request in [
        "GET /store/default/get/a HTTP/1.1\r\nhost: two.spin.internal\r\n\r\n",
        "GET http://two.spin.internal/store/default/get/a HTTP/1.1\r\nhost: two.spin.internal\r\n\r\n",
    ] {
        // It is `one` that answers, which has no store.
        assert_eq!(Call::send(host.address, request).answer(), (200, "Err(Error::AccessDenied)".into()));
    }
}

#[test]
fn a_called_component_that_fails_is_an_error_for_its_caller_alone() {
    let host = Running::start(APPLICATION);
    assert!(host.text("/fetch?http://two.spin.internal/panic").starts_with("ErrorCode::InternalError"));
    assert!(host.text("/fetch?http://two.spin.internal/fail").starts_with("ErrorCode::InternalError"));
    assert!(host.text("/fetch?http://two.spin.internal/number").starts_with("200 OK"));
}

#[test]
fn a_name_that_no_component_has_keeps_the_application_from_starting() {
    let start = Running::try_start(&APPLICATION.replace("two.spin.internal", "nobody.spin.internal"));
    let Err(Error::Faults(faults)) = start else { panic!("it starts") };
    assert_eq!(faults, ["component one: allowed_outbound_hosts: no route leads to a component nobody"]);
}
