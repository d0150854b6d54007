//! Messages of `application/vnd.amazon.eventstream`.

/// A message with these headers, all of them text, and a JSON payload.
pub fn write(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut coded = Vec::new();
    for (name, value) in headers {
        coded.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        coded.extend_from_slice(name.as_bytes());
        coded.push(7); // text
        coded.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        coded.extend_from_slice(value.as_bytes());
    }
    let mut message = Vec::with_capacity(16 + coded.len() + payload.len());
    for length in [16 + coded.len() + payload.len(), coded.len()] {
        message.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message.extend(coded);
    message.extend_from_slice(payload.as_bytes());
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message
}

/// An event of this kind.
pub fn event(kind: &str, payload: &str) -> Vec<u8> {
    write(&[(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")], payload)
}

/// An exception of this kind.
pub fn exception(kind: &str, payload: &str) -> Vec<u8> {
    write(&[(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")], payload)
}
