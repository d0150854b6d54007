use std::collections::BTreeMap;

use crate::running::Running;
use crate::streams::begun;
use crate::wire::{Call, End, Upstream};

/// Which instance has answered, and its how manieth request that was.
fn number(text: &str) -> (String, u32) {
    let (instance, number) = text.split_once(' ').unwrap();
    (instance.to_owned(), number.parse().unwrap())
}

#[test]
fn an_instance_answers_128_requests_and_then_never_again() {
    let host = Running::one();
    // Whether an instance is free again a moment after its answer is a matter of luck, so there may be several.
    let first = (0..128 * 16).map(|_| number(&host.text("/number"))).find(|(_, number)| *number == 128);
    let (spent, _) = first.expect("no instance comes to its 128th request");
    for _ in 0..200 {
        let (instance, number) = number(&host.text("/number"));
        assert!(number <= 128, "{number}");
        assert_ne!(instance, spent);
    }
}

#[test]
fn at_most_16_requests_wait_in_one_instance() {
    let (host, upstream) = (Running::one(), Upstream::listen());
    let mut waiting = Vec::new();
    for _ in 0..40 {
        let call = Call::get(host.address, &format!("/number-after?{}", upstream.url()));
        let mut connection = upstream.accept();
        connection.read_to("\r\n\r\n");
        waiting.push((call, connection));
    }
    let mut together = BTreeMap::<_, u32>::new();
    for (call, mut connection) in waiting {
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let (status, text) = call.answer();
        assert_eq!(status, 200);
        *together.entry(number(&text).0).or_default() += 1;
    }
    assert!(together.values().all(|waiting| (1..=16).contains(waiting)), "{together:?}");
    assert!(together.values().any(|waiting| *waiting > 1), "{together:?}");
}

#[test]
fn components_have_instances_of_their_own() {
    let host = Running::start(
        r#"
        [[trigger.http]]
        route = "/..."
        component = "one"
        [[trigger.http]]
        route = "/number"
        component = "two"
        [component.one]
        source = $WASM
        allowed_outbound_hosts = ["http://127.0.0.1:*"]
        [component.two]
        source = $WASM
        "#,
    );
    // The first answers by way of the second.
    let (_, text) = Call::get(host.address, &format!("/fetch?http://{}/number", host.address)).answer();
    assert!(text.ends_with(" 1\")"), "{text}");
}

#[test]
fn a_panic_is_answered_500_and_ends_the_streams_of_its_instance_as_if_they_were_complete() {
    let host = Running::one();
    let (mut call, mut connection) = begun(&host, "/forward?");
    // The first panic may hit another instance, one that was made while this one was busy.
    let hit = (0..1000).any(|_| {
        assert_eq!(host.status("/panic"), 500);
        call.has_more()
    });
    assert!(hit, "no panic reaches the instance of the stream");
    assert_eq!(call.chunk(), Err(End::Complete));
    connection.wait_for_close();
    assert_eq!(host.status("/number"), 200);
}

#[test]
fn a_panic_leaves_alone_what_the_host_passes_on_by_itself() {
    let host = Running::one();
    let (mut call, mut connection) = begun(&host, "/pass?");
    assert_eq!(host.status("/panic"), 500);
    connection.send_chunk("data: 2\n\n");
    assert_eq!(call.chunk(), Ok("data: 2\n\n".into()));
}

#[test]
fn an_error_of_the_guest_is_a_bare_500_and_its_instance_goes_on() {
    let host = Running::one();
    assert_eq!(Call::get(host.address, "/fail").answer(), (500, String::new()));
    assert_eq!(host.status("/number"), 200);
}
