use crate::running::Running;
use crate::wire::{Call, Connection, End, Upstream};

/// The host passes the body on by itself, or the guest does it chunk by chunk.
const WAYS: [&str; 2] = ["/pass?", "/forward?"];

/// A stream through the guest at `way`, which ends where the upstream's URL goes, that has begun. Its upstream is its own: a
/// connection to another test's might be kept and used again.
pub fn begun(host: &Running, way: &str) -> (Call, Connection) {
    let upstream = Upstream::listen();
    let mut call = Call::get(host.address, &format!("{way}{}", upstream.url()));
    let mut connection = upstream.accept();
    connection.read_to("\r\n\r\n");
    connection.send_head();
    connection.send_chunk("data: 1\n\n");
    assert_eq!(call.head(), 200);
    assert_eq!(call.chunk(), Ok("data: 1\n\n".into()));
    (call, connection)
}

#[test]
fn a_stream_arrives_event_by_event() {
    let host = Running::one();
    for way in WAYS {
        let (mut call, mut connection) = begun(&host, way);
        for event in ["data: 2\n\n", "data: 3\n\n", "data: [DONE]\n\n"] {
            // The next event leaves only when this one has arrived.
            connection.send_chunk(event);
            assert_eq!(call.chunk(), Ok(event.into()), "{way}");
        }
        connection.send("0\r\n\r\n");
        assert_eq!(call.chunk(), Err(End::Complete), "{way}");
    }
}

#[test]
fn a_client_that_leaves_ends_the_upstream() {
    let host = Running::one();
    let (call, mut connection) = begun(&host, "/pass?");
    drop(call);
    connection.wait_for_close();
    // The guest learns it when it next sends something.
    let (call, mut connection) = begun(&host, "/forward?");
    drop(call);
    connection.send_until_close("1\r\n.\r\n");
}

#[test]
fn an_upstream_that_breaks_off_breaks_what_the_host_passes_on() {
    let host = Running::one();
    let (mut call, connection) = begun(&host, "/pass?");
    drop(connection);
    assert_eq!(call.chunk(), Err(End::Broken));
}

#[test]
fn a_guest_that_just_stops_when_the_upstream_breaks_off_ends_its_body_as_if_it_were_complete() {
    let host = Running::one();
    let (mut call, connection) = begun(&host, "/forward?");
    drop(connection);
    assert_eq!(call.chunk(), Err(End::Complete));
}

#[test]
fn an_upload_leaves_while_it_arrives() {
    let (host, upstream) = (Running::one(), Upstream::listen());
    let head = format!("POST /upload?{} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", upstream.url());
    let mut call = Call::send(host.address, &head);
    let mut connection = upstream.accept();
    let request = connection.read_to("\r\n\r\n");
    assert!(request.starts_with("POST /upstream HTTP/1.1\r\n"), "{request}");
    for piece in ["one", "two"] {
        call.write(&format!("{:x}\r\n{piece}\r\n", piece.len()));
        connection.read_to(piece);
    }
    call.write("0\r\n\r\n");
    connection.read_to("0\r\n\r\n");
    connection.send("HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok");
    assert_eq!(call.answer(), (201, "ok".into()));
}
