//! What JavaScript offers to Rust, and its meaning: see `js/host.js`. None of these throws.

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(module = "host.js")]
extern "C" {
    /// Writes one line to the Worker's log.
    pub fn log(line: &str);
    /// Milliseconds since the epoch; stands still between I/O.
    pub fn now() -> f64;
    /// Fills `buffer` with random bytes.
    pub fn random(buffer: &mut [u8]);

    /// No task of the invocation is left.
    pub fn finished(invocation: u32);
    /// Calls `resume` soon, inside the invocation.
    pub fn wake(invocation: u32);

    /// Sets a timer of the invocation, beside those that are set: it calls `ring` after some milliseconds.
    #[wasm_bindgen(js_name = setTimer)]
    pub fn set_timer(invocation: u32, milliseconds: i32);

    /// Gives the response: known bytes, or the number of a produced stream, or neither.
    pub fn answer(invocation: u32, head: &str, bytes: Option<&[u8]>, stream: u32);

    /// Sends an outbound request; `operation` settles with the response's head, and with its body if that is small and of
    /// a known length. Else it stands for the exchange from then on.
    pub fn send(invocation: u32, operation: u32, head: &str, bytes: Option<&[u8]>, stream: u32);
    /// Forgets an exchange, and closes its connection if it is still going on.
    pub fn release(invocation: u32, exchange: u32, abort: bool);
    /// Reads the body of the request of the invocation `owner`: the next chunk, or all of it.
    #[wasm_bindgen(js_name = readRequest)]
    pub fn read_request(invocation: u32, operation: u32, owner: u32, whole: bool);
    /// Nobody wants the small body of the invocation's request.
    #[wasm_bindgen(js_name = discardRequest)]
    pub fn discard_request(invocation: u32);
    /// Reads the next chunk of the response's body in an exchange of the invocation `owner`.
    #[wasm_bindgen(js_name = readResponse)]
    pub fn read_response(invocation: u32, operation: u32, owner: u32, exchange: u32);

    /// Whether the receiver of a produced stream has taken what was written last; if not, `proceed` is called when it has.
    pub fn ready(invocation: u32, stream: u32) -> bool;
    /// Writes one chunk of a produced stream.
    pub fn write(invocation: u32, stream: u32, chunk: &[u8]);
    /// Ends a produced stream.
    #[wasm_bindgen(js_name = closeStream)]
    pub fn close_stream(invocation: u32, stream: u32, cut: bool);

    /// Asks the ledger object of `shard`; takes and decision are JSON.
    pub fn take(invocation: u32, operation: u32, shard: &str, takes: &str);
    /// Asks the ledger object of `account`; operations and outcomes are JSON.
    pub fn apply(invocation: u32, operation: u32, account: &str, operations: &str);
    /// Verifies a signature with WebCrypto; settles with `true` or `false`.
    pub fn verify(invocation: u32, operation: u32, algorithm: &str, jwk: &str, message: &[u8], signature: &[u8]);
    /// Signs with WebCrypto and an ES256 key that has `d`; settles with the signature's bytes.
    pub fn sign(invocation: u32, operation: u32, jwk: &str, message: &[u8]);
}
