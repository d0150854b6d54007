use crate::running::Running;

#[test]
fn a_component_has_the_variables_and_the_environment_of_its_own_section() {
    let host = Running::start(
        r#"
        [variables]
        host = { default = "localhost" }
        [[trigger.http]]
        route = "/..."
        component = "one"
        [component.one]
        source = $WASM
        environment = { COLOUR = "red" }
        variables = { url = "http://{{ host }}/v1", none = "" }
        "#,
    );
    assert_eq!(host.text("/variable/url"), r#"Ok("http://localhost/v1")"#);
    assert_eq!(host.text("/variable/none"), r#"Ok("")"#);
    // The application's own variables are not the component's.
    assert_eq!(host.text("/variable/host"), r#"Err(Error::Undefined("no variable \"host\" for one"))"#);
    assert!(host.text("/variable/HOST").starts_with("Err(Error::InvalidName("));
    assert_eq!(host.text("/environment/COLOUR"), "red");
    assert_eq!(host.text("/environment/PATH"), "");
}

#[test]
fn stores_are_shared_by_label_and_closed_to_components_that_do_not_name_them() {
    let host = Running::start(
        r#"
        [[trigger.http]]
        route = "/store/default/..."
        component = "one"
        [[trigger.http]]
        route = "/store/other/..."
        component = "two"
        [[trigger.http]]
        route = "/store/default/get/shared"
        component = "two"
        [component.one]
        source = $WASM
        key_value_stores = ["default"]
        [component.two]
        source = $WASM
        key_value_stores = ["default", "other"]
        [[trigger.http]]
        route = "/store/other/get/denied"
        component = "one"
        "#,
    );
    assert_eq!(host.text("/store/default/set/shared/1"), r#"Ok("()")"#);
    assert_eq!(host.text("/store/default/get/shared"), r#"Ok("Some(\"1\")")"#);
    assert_eq!(host.text("/store/other/get/shared"), r#"Ok("None")"#);
    assert_eq!(host.text("/store/other/get/denied"), "Err(Error::AccessDenied)");
}

#[test]
fn a_store_sets_gets_lists_and_deletes() {
    let host = Running::start(
        r#"
        [[trigger.http]]
        route = "/..."
        component = "one"
        [component.one]
        source = $WASM
        key_value_stores = ["default"]
        "#,
    );
    assert_eq!(host.text("/store/default/keys"), r#"Ok("[]")"#);
    for key in ["b", "a"] {
        assert_eq!(host.text(&format!("/store/default/set/{key}/1")), r#"Ok("()")"#);
    }
    assert_eq!(host.text("/store/default/keys"), r#"Ok("[\"a\", \"b\"]")"#);
    assert_eq!(host.text("/store/default/exists/a"), r#"Ok("true")"#);
    assert_eq!(host.text("/store/default/delete/a"), r#"Ok("()")"#);
    assert_eq!(host.text("/store/default/delete/a"), r#"Ok("()")"#);
    assert_eq!(host.text("/store/default/exists/a"), r#"Ok("false")"#);
    assert_eq!(host.text("/store/default/get/a"), r#"Ok("None")"#);
}

#[test]
fn an_instance_that_never_closes_its_stores_is_refused_in_the_end() {
    let host = Running::start(
        r#"
        [[trigger.http]]
        route = "/..."
        component = "one"
        [component.one]
        source = $WASM
        key_value_stores = ["default"]
        "#,
    );
    assert_eq!(host.text("/store/default/keep"), "(256, Error::StoreTableFull)");
}
