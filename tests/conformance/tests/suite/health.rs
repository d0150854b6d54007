use conformance::Rig;

super::list![
    healthz_answers_without_a_credential,
    head_has_the_headers_of_get_and_no_body,
    readyz_names_each_dependency_with_its_latency,
    an_unknown_path_is_a_problem_document,
    a_known_path_with_another_method_says_what_it_allows,
    a_valid_request_id_of_the_caller_is_kept,
    a_hostile_request_id_is_replaced,
    each_problem_type_is_described_at_its_address,
    a_preflight_of_an_allowed_origin_is_answered,
    an_origin_that_is_not_listed_gets_no_cors_headers,
];

fn healthz_answers_without_a_credential(rig: &Rig) {
    assert_eq!(rig.edge.get("/healthz").expect(200).json()["status"], "ok");
}

fn head_has_the_headers_of_get_and_no_body(rig: &Rig) {
    let answer = rig.edge.send("HEAD", "/healthz", &[], None).expect(200);
    assert!(answer.body.is_empty());
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("content-length"), rig.edge.get("/healthz").header("content-length"));
}

fn readyz_names_each_dependency_with_its_latency(rig: &Rig) {
    let body = rig.edge.get("/readyz").expect(200).json();
    assert_eq!(body["dependencies"]["supabase"]["status"], "ok", "{body}");
    assert!(body["dependencies"]["supabase"]["latency_ms"].is_number(), "{body}");
}

fn an_unknown_path_is_a_problem_document(rig: &Rig) {
    for path in ["/", "/nothing", "/v1", "/v1/chat/completions/", "/healthz/x", "/%2e%2e/healthz", "/auth"] {
        rig.edge.get(path).expect_problem(404, "not-found");
    }
}

fn a_known_path_with_another_method_says_what_it_allows(rig: &Rig) {
    let answer = rig.edge.send("DELETE", "/healthz", &[], None).expect(405);
    assert_eq!(answer.header("allow"), "GET, HEAD");
    let answer =
        rig.user().send("PUT", "/v1/chat/completions", &[("content-type", "application/json")], Some(b"{}".to_vec()));
    assert_eq!(answer.header("allow"), "POST");
    answer.expect_openai_error(405, "method_not_allowed");
}

fn a_valid_request_id_of_the_caller_is_kept(rig: &Rig) {
    let answer = rig.edge.send("GET", "/healthz", &[("x-request-id", "Order-66_a.b")], None);
    assert_eq!(answer.header("x-request-id"), "Order-66_a.b");
}

fn a_hostile_request_id_is_replaced(rig: &Rig) {
    for hostile in ["a b", "<script>", &"x".repeat(129), "ü"] {
        let answer = rig.edge.send("GET", "/healthz", &[("x-request-id", hostile)], None).expect(200);
        assert_ne!(answer.header("x-request-id"), hostile);
        assert!(answer.header("x-request-id").len() >= 32);
    }
}

fn each_problem_type_is_described_at_its_address(rig: &Rig) {
    let problem = rig.edge.get("/nothing").expect_problem(404, "not-found");
    let described = rig.edge.get(problem["type"].as_str().unwrap()).expect(200).json();
    assert_eq!((&described["status"], &described["title"]), (&problem["status"], &problem["title"]));
    rig.edge.get("/problems/no-such-problem").expect_problem(404, "not-found");
}

fn a_preflight_of_an_allowed_origin_is_answered(rig: &Rig) {
    let headers = [
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-stainless-lang"),
    ];
    let answer = rig.edge.send("OPTIONS", "/v1/chat/completions", &headers, None).expect(204);
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!(answer.header("access-control-allow-headers"), "authorization,content-type,x-stainless-lang");
    let answer = rig.edge.send("POST", "/v1/chat/completions", &headers[..1], Some(Vec::new())).expect(401);
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.com", "errors must be readable too");
    assert!(answer.header("access-control-expose-headers").contains("x-request-id"));
}

fn an_origin_that_is_not_listed_gets_no_cors_headers(rig: &Rig) {
    for origin in ["https://evil.example.com", "null", "http://app.example.com"] {
        let answer = rig.edge.send("GET", "/healthz", &[("origin", origin)], None).expect(200);
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{origin}");
    }
}
