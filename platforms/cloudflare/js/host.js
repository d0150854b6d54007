// The JavaScript side of the boundary to WASM: what Rust imports, and the bookkeeping around each call into it.
//
// A head (request line or status with headers) crosses as one string of lines, a body as bytes or chunk by chunk, and
// only when it is read. Numbers stand for everything else: an invocation is one call of the Worker (a request, a
// trigger, a Durable Object's event), an operation is one pending promise, a stream is one body that Rust produces.
import * as edge from "./index.js";
import { headers } from "./headers.js";

const invocations = new Map(); // those that outlive their first call
let lastInvocation = 0;
let active; // the one whose call into WASM is running
let bindings;
// The WASM instance. A panic ends it; calls that belong to an earlier one are not passed on.
let instance = 1;
let booted = false;

// Milliseconds that an answer waits for a small body to arrive which nobody reads.
const DRAIN_FOR = 1000;
// A response with a body of a known length up to this many bytes crosses with it, in one piece.
const WHOLE_UP_TO = 64 * 1024;

export const generation = () => instance;

class Invocation {
  id = ++lastInvocation;
  instance = instance;
  incoming; // the request, as a source of chunks
  response; // given before anybody waited for it
  respond; // resolves the promise the caller waits for
  end; // resolves the promise that keeps the invocation alive
  rouse; // continues this invocation from another one's call
  finished = false; // no task is left
  #exchanges;
  #streams;

  constructor(request) {
    if (request) this.incoming = { message: request, reader: null, unread: false };
  }

  // Made at first use: many requests need none of them.
  get exchanges() {
    return (this.#exchanges ??= new Map());
  }

  get streams() {
    return (this.#streams ??= new Map());
  }

  // A timer that was set before rings as well: to ring for nothing costs less than to clear it.
  ringIn(milliseconds) {
    setTimeout(() => enter(this, edge.ring), milliseconds);
  }

  // No task is left. The host drops the timers with the invocation, which costs less than to clear them.
  finish() {
    this.finished = true;
    if (!this.end) return;
    invocations.delete(this.id);
    this.end();
  }

  // The WASM instance is gone, and with it everything that was to come.
  lose() {
    this.respond?.(failure(this.incoming.message));
    for (const exchange of this.exchanges.values()) exchange.abort.abort();
    for (const stream of this.streams.values()) stream.cut("the answer was cut off");
    this.end?.();
  }
}

// ---- from the host into WASM

// Answers a request: with a response at once, with a promise, or with nothing if the WASM instance broke down meanwhile.
export function startRequest(request, env, context, call) {
  const invocation = new Invocation(request);
  begin(invocation, env, context, call);
  if (invocation.instance !== instance) return invocation.lose();
  if (invocation.response) return invocation.response;
  return new Promise((resolve) => {
    invocation.respond = resolve;
  });
}

// Runs an event without an answer; the promise resolves when all its work is done.
export function start(env, context, call) {
  const invocation = new Invocation();
  const done = begin(invocation, env, context, call);
  if (invocation.instance !== instance) throw new Error("the event was not handled");
  return done;
}

// Calls into WASM on no invocation's behalf: nothing waits, and what comes back is the answer. An error that WASM throws on
// purpose is a plain one.
export function call(env, into) {
  try {
    if (!booted) boot(env);
    return into();
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) breakDown(error);
    throw error;
  }
}

function begin(invocation, env, context, call) {
  enter(invocation, (id) => {
    if (!booted) boot(env);
    call(id);
  });
  if (invocation.finished || invocation.instance !== instance) return undefined;
  invocations.set(invocation.id, invocation);
  const done = new Promise((resolve) => {
    invocation.end = resolve;
  });
  // Work goes on after the response and after the client has left; without this its tasks would never be dropped.
  context.waitUntil(done);
  listen(invocation);
  return done;
}

function boot(env) {
  const texts = Object.entries(env).filter(([, value]) => typeof value === "string");
  bindings = env;
  booted = true;
  edge.boot(JSON.stringify(Object.fromEntries(texts)), env);
}

// A promise's continuation runs in the invocation that made it, whoever resolves it. So a task that another invocation
// has woken does its I/O where it belongs. The host knows who made a promise, unless V8's optimizing compiler has made
// room for it in place of `new Promise` (workerd 1.20261117): `Promise.withResolvers` is never compiled into its caller.
function listen(invocation) {
  const { promise, resolve } = Promise.withResolvers();
  invocation.rouse = resolve;
  promise.then(() => {
    if (invocation.instance !== instance) return invocation.lose();
    if (invocation.finished) return;
    listen(invocation);
    enter(invocation, edge.resume);
  });
}

// The invocation with this number. While its first call runs it is in no list yet.
function find(id) {
  return active?.id === id ? active : invocations.get(id);
}

// Every call into WASM. An exception here is a panic (or a stack or memory overflow): the instance cannot go on.
function enter(invocation, call, number, value, more) {
  if (invocation.instance !== instance) return;
  const outer = active;
  active = invocation;
  try {
    call(invocation.id, number, value, more);
  } catch (error) {
    breakDown(error);
  } finally {
    active = outer;
  }
}

function breakDown(error) {
  console.error(JSON.stringify({ level: "ERROR", message: "the WASM instance broke down", error: String(error) }));
  const lost = [...invocations.values()];
  invocations.clear();
  instance += 1;
  booted = false;
  edge.__wbg_reset_state();
  for (const invocation of lost) invocation.rouse?.();
}

export function failure(request) {
  const given = request.headers.get("x-request-id");
  const id = /^[\w.-]{1,128}$/.test(given ?? "") ? given : crypto.randomUUID();
  const problem = { type: "/problems/internal", title: "Something failed on our side", status: 500, request_id: id };
  const headers = { "content-type": "application/problem+json", "cache-control": "no-store", "x-request-id": id };
  return new Response(JSON.stringify(problem), { status: 500, headers });
}

// Method, URL and headers, a line each. No part can contain a line break.
export function pack(request) {
  let head = request.method + "\n" + request.url;
  request.headers.forEach((value, name) => {
    head += "\n" + name + "\n" + value;
  });
  return head;
}

// ---- from WASM to the host. Nothing here may throw: the exception would unwind through Rust.

export function log(line) {
  console.log(line);
}

export function now() {
  return Date.now();
}

export function random(buffer) {
  crypto.getRandomValues(buffer);
}

// No task of the invocation is left.
export function finished(id) {
  find(id)?.finish();
}

export function wake(id) {
  find(id)?.rouse?.();
}

export function setTimer(id, milliseconds) {
  find(id)?.ringIn(milliseconds);
}

// The response to the invocation's request.
export function answer(id, head, bytes, stream) {
  const invocation = find(id);
  let response;
  try {
    const lines = head.split("\n");
    const body = stream ? produced(invocation, stream, lines[1]) : (bytes?.slice() ?? null);
    response = new Response(body, { status: +lines[0], headers: headers(lines, 2), encodeBody: "manual" });
  } catch (error) {
    console.error(JSON.stringify({ level: "ERROR", message: "the answer cannot be sent", error: String(error) }));
    response = failure(invocation.incoming.message);
  }
  if (invocation.incoming.unread) drain(invocation.incoming.message).then(() => invocation.respond(response));
  else if (invocation.respond) invocation.respond(response);
  else invocation.response = response;
}

// An outbound request: its first two lines are method and URL, the third is the length of a streamed body.
export function send(id, operation, head, bytes, stream) {
  const invocation = find(id);
  const exchange = { abort: new AbortController(), message: null, reader: null };
  invocation.exchanges.set(operation, exchange);
  const lines = head.split("\n");
  exchangeHeads(invocation, operation, exchange, lines, bytes?.slice(), stream);
}

async function exchangeHeads(invocation, operation, exchange, lines, bytes, stream) {
  try {
    const response = await fetch(lines[1], {
      method: lines[0],
      headers: headers(lines, 3),
      body: stream ? produced(invocation, stream, lines[2]) : bytes,
      redirect: "manual",
      signal: exchange.abort.signal,
      encodeResponseBody: "manual", // bytes pass as they are
    });
    exchange.message = response;
    let head = String(response.status);
    let length = NaN;
    response.headers.forEach((value, name) => {
      head += "\n" + name + "\n" + value;
      if (name === "content-length") length = +value;
    });
    const body = length <= WHOLE_UP_TO && lines[0] !== "HEAD" ? await whole(response) : null;
    if (body) enter(invocation, edge.settleAnswer, operation, head, body);
    else enter(invocation, edge.settleText, operation, head);
  } catch (error) {
    invocation.exchanges.delete(operation);
    enter(invocation, edge.settleFailed, operation, String(error));
  }
}

// The body, or null when it breaks off: whoever reads it then is told why.
async function whole(response) {
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch {
    return null;
  }
}

// The exchange is over for Rust; if its body has not been read to the end, the connection is closed.
export function release(id, operation, abort) {
  const exchanges = find(id)?.exchanges;
  if (abort) exchanges?.get(operation)?.abort.abort();
  exchanges?.delete(operation);
}

export function readRequest(id, operation, owner, whole) {
  read(find(id), operation, find(owner)?.incoming, whole);
}

export function readResponse(id, operation, owner, exchange) {
  read(find(id), operation, find(owner)?.exchanges.get(exchange), false);
}

// Nobody wants the small body of the request.
export function discardRequest(id) {
  const incoming = find(id)?.incoming;
  if (incoming) incoming.unread = true;
}

// Takes a body that nobody wants off the connection, before the answer: the server closes a connection whose request has
// not arrived as a whole, and a client that is still sending would not see the answer.
function drain(request) {
  const read = request.arrayBuffer().catch(() => {});
  return Promise.race([read, new Promise((resolve) => setTimeout(resolve, DRAIN_FOR))]);
}

async function read(invocation, operation, source, whole) {
  try {
    if (whole) {
      const bytes = new Uint8Array(await source.message.arrayBuffer());
      return enter(invocation, edge.settleBytes, operation, bytes);
    }
    source.reader ??= source.message.body?.getReader();
    const { done, value } = (await source.reader?.read()) ?? { done: true };
    if (done) enter(invocation, edge.settleDone, operation);
    else enter(invocation, edge.settleBytes, operation, value);
  } catch (error) {
    enter(invocation, edge.settleFailed, operation, String(error));
  }
}

// A body that Rust produces. A stream of the host's own leaves less behind for each chunk than one written in JavaScript,
// and what is left behind is collected while all streams wait.
class Produced {
  readable;
  #writer;
  #taken = true; // what was written last
  #awaited = false; // Rust has more to write
  #onTaken;
  #onGone;

  constructor(invocation, id, length) {
    const { readable, writable } = length ? new FixedLengthStream(+length) : new IdentityTransformStream();
    this.readable = readable;
    this.#writer = writable.getWriter();
    this.#onTaken = () => {
      this.#taken = true;
      if (this.#awaited) enter(invocation, edge.proceed, id);
    };
    this.#onGone = () => {
      if (invocation.streams.delete(id)) enter(invocation, edge.cancel, id);
    };
  }

  // Whether the receiver has taken what was written last; if not, Rust is told when it has.
  ready() {
    this.#awaited = !this.#taken;
    return this.#taken;
  }

  write(chunk) {
    this.#taken = false;
    this.#writer.write(chunk).then(this.#onTaken, this.#onGone);
  }

  close() {
    this.#writer.close().catch(ignore);
  }

  // The receiver notices that the body did not end.
  cut(reason) {
    this.#writer.abort(new Error(reason)).catch(ignore);
  }
}

// The receiver has gone already.
function ignore() {}

function produced(invocation, stream, length) {
  const body = new Produced(invocation, stream, length);
  invocation.streams.set(stream, body);
  return body.readable;
}

export function ready(id, stream) {
  return find(id)?.streams.get(stream)?.ready() ?? false;
}

export function write(id, stream, chunk) {
  find(id)?.streams.get(stream)?.write(chunk.slice());
}

export function closeStream(id, stream, cut) {
  const streams = find(id)?.streams;
  const body = streams?.get(stream);
  streams?.delete(stream);
  if (cut) body?.cut("the body was cut off");
  else body?.close();
}

export function take(id, operation, shard, takes) {
  ask(id, operation, () => bindings.LEDGER.getByName(shard).take(takes));
}

export function apply(id, operation, account, operations) {
  ask(id, operation, () => bindings.LEDGER.getByName(account).apply(operations));
}

async function ask(id, operation, question) {
  const invocation = find(id);
  try {
    enter(invocation, edge.settleText, operation, await question());
  } catch (error) {
    enter(invocation, edge.settleFailed, operation, String(error));
  }
}

const ALGORITHMS = {
  ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
};
const MAX_KEYS = 64;
const keys = new Map();
const signers = new Map();
const TRIAL = new Uint8Array(32);

export function verify(id, operation, algorithm, jwk, message, signature) {
  verifySignature(find(id), operation, ALGORITHMS[algorithm], jwk, message.slice(), signature.slice());
}

async function verifySignature(invocation, operation, algorithm, jwk, message, signature) {
  try {
    const key = keys.get(jwk) ?? keep(keys, jwk, await importKey(algorithm, jwk, "verify"));
    const valid = await crypto.subtle.verify(algorithm, key, signature, message);
    enter(invocation, edge.settleText, operation, String(valid));
  } catch (error) {
    enter(invocation, edge.settleFailed, operation, String(error));
  }
}

// The halves of its key are tried on each other once, whatever the runtime checks when it imports them.
export function sign(id, operation, jwk, message) {
  signMessage(find(id), operation, jwk, message.slice());
}

async function signMessage(invocation, operation, jwk, message) {
  try {
    const key = signers.get(jwk) ?? (await importSigner(jwk));
    const signature = await crypto.subtle.sign(ALGORITHMS.ES256, key, message);
    enter(invocation, edge.settleBytes, operation, new Uint8Array(signature));
  } catch (error) {
    enter(invocation, edge.settleFailed, operation, String(error));
  }
}

async function importSigner(jwk) {
  const { d, ...half } = JSON.parse(jwk);
  const key = await importKey(ALGORITHMS.ES256, jwk, "sign");
  const publicKey = await importKey(ALGORITHMS.ES256, JSON.stringify(half), "verify");
  const signature = await crypto.subtle.sign(ALGORITHMS.ES256, key, TRIAL);
  if (!(await crypto.subtle.verify(ALGORITHMS.ES256, publicKey, signature, TRIAL))) {
    throw new Error("the halves of the key do not belong together");
  }
  return keep(signers, jwk, key);
}

function importKey(algorithm, jwk, use) {
  return crypto.subtle.importKey("jwk", JSON.parse(jwk), algorithm, false, [use]);
}

function keep(kept, jwk, key) {
  if (kept.size >= MAX_KEYS) kept.delete(kept.keys().next().value);
  kept.set(jwk, key);
  return key;
}
