use crate::running::Running;
use crate::wire::{Call, Upstream};

#[test]
fn a_request_elsewhere_than_the_manifest_allows_is_denied_before_anyone_connects() {
    let (allowed, denied) = (Upstream::listen(), Upstream::listen());
    let host = Running::start(
        &r#"
        [variables]
        upstream = { default = "$URL" }
        [[trigger.http]]
        route = "/..."
        component = "one"
        [component.one]
        source = $WASM
        allowed_outbound_hosts = ["{{ upstream }}"]
        "#
        .replace("$URL", allowed.url().trim_end_matches("/upstream")),
    );
    assert_eq!(host.text(&format!("/fetch?{}", denied.url())), "ErrorCode::HttpRequestDenied");
    assert!(denied.is_left_alone());
    let mut call = Call::get(host.address, &format!("/fetch?{}", allowed.url()));
    let mut connection = allowed.accept();
    let request = connection.read_to("\r\n\r\n");
    assert!(request.starts_with("GET /upstream HTTP/1.1\r\n"), "{request}");
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    assert_eq!(call.head(), 200);
    assert_eq!(call.chunk(), Ok(r#"200 OK Ok(b"hi")"#.into()));
}

#[test]
fn connections_are_used_again() {
    let (host, upstream) = (Running::one(), Upstream::listen());
    let mut connection = None;
    for _ in 0..3 {
        let call = Call::get(host.address, &format!("/fetch?{}", upstream.url()));
        let connection = connection.get_or_insert_with(|| upstream.accept());
        connection.read_to("\r\n\r\n");
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
        assert_eq!(call.answer(), (200, r#"200 OK Ok(b"hi")"#.into()));
    }
    assert!(upstream.is_left_alone());
}

#[test]
fn an_upstream_that_is_not_there_is_told_apart_from_one_that_breaks_off() {
    let (host, upstream) = (Running::one(), Upstream::listen());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(host.text(&format!("/fetch?http://{closed}/")), "ErrorCode::ConnectionRefused");
    let call = Call::get(host.address, &format!("/fetch?{}", upstream.url()));
    upstream.accept().read_to("\r\n\r\n");
    assert_eq!(call.answer(), (200, "ErrorCode::HttpProtocolError".into()));
    let call = Call::get(host.address, &format!("/fetch?{}", upstream.url()));
    let mut connection = upstream.accept();
    connection.read_to("\r\n\r\n");
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi");
    drop(connection);
    assert_eq!(call.answer(), (200, "200 OK Err(ErrorCode::HttpProtocolError)".into()));
}

#[test]
fn a_guest_decides_how_long_it_waits_for_an_answer_and_between_bytes() {
    let (host, upstream) = (Running::one(), Upstream::listen());
    let call = Call::get(host.address, &format!("/fetch-within/1?{}", upstream.url()));
    assert_eq!(call.answer(), (200, "ErrorCode::ConnectionReadTimeout".into()));
    upstream.accept().wait_for_close();
    let mut call = Call::get(host.address, &format!("/fetch-within/200?{}", upstream.url()));
    let mut connection = upstream.accept();
    connection.read_to("\r\n\r\n");
    connection.send_head();
    connection.send_chunk("a");
    if call.head() == 200 {
        assert_eq!(call.chunk(), Ok("a".into()));
        assert_eq!(call.chunk(), Err(crate::wire::End::Broken));
    }
    connection.wait_for_close();
}

#[test]
fn hop_by_hop_headers_that_a_guest_passes_on_are_refused() {
    let host = Running::one();
    for header in ["connection: keep-alive", "keep-alive: timeout=5", "upgrade: h2c"] {
        let upstream = Upstream::listen(); // a connection to another might be kept and used again
        let call = Call::get(host.address, &format!("/forward-all?{}", upstream.url()));
        let mut connection = upstream.accept();
        connection.read_to("\r\n\r\n");
        connection.send(&format!("HTTP/1.1 200 OK\r\n{header}\r\ncontent-length: 0\r\n\r\n"));
        assert_eq!(call.answer(), (500, String::new()), "{header}");
    }
}
