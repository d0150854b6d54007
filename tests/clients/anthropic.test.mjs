// The real `@anthropic-ai/sdk` through the edge and, for comparison, directly against the simulator.
// Environment: EDGE_URL, ACCESS_TOKEN, SIMULATOR_URL.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test from "node:test";
import Anthropic from "@anthropic-ai/sdk";

const { EDGE_URL, ACCESS_TOKEN, SIMULATOR_URL } = process.env;
const edge = { baseURL: EDGE_URL, authToken: ACCESS_TOKEN, apiKey: null, maxRetries: 0 };
const through = new Anthropic(edge);
const direct = new Anthropic({ baseURL: SIMULATOR_URL, apiKey: "sk-canary-provider-key", maxRetries: 0 });

const request = (behaviour = {}, more = {}) => ({
  model: "sim-1",
  max_tokens: 500,
  messages: [{ role: "user", content: "Tell me about edges." }],
  metadata: { user_id: JSON.stringify({ marker: randomUUID(), sim: behaviour }) },
  ...more,
});
const markerOf = (body) => JSON.parse(body.metadata.user_id).marker;
const timeless = ({ id, ...rest }) => rest;
const collect = async (stream) => {
  const events = [];
  for await (const event of stream) events.push(event.message ? { ...event, message: timeless(event.message) } : event);
  return events;
};

test("a message is the same as direct", async () => {
  const create = (client) => client.messages.create(request({ tokens: 12, reasoning: 3 }));
  assert.deepEqual(timeless(await create(through)), timeless(await create(direct)));
});

test("a stream is the same as direct", async () => {
  const create = async (client) => collect(await client.messages.create(request({ tokens: 12 }, { stream: true })));
  const events = await create(through);
  assert.deepEqual(events, await create(direct));
  assert.equal(events.at(-2).usage.output_tokens, 12);
});

test("text and calls of tools accumulate", async () => {
  const tools = ["weather", "time"].map((name) => ({ name, input_schema: { type: "object", properties: {} } }));
  const message = await through.messages.stream(request({ tool_calls: 2 }, { tools })).finalMessage();
  assert.deepEqual(message.content.map((block) => block.name), ["weather", "time"]);
  assert.equal(message.stop_reason, "tool_use");
  const text = await through.messages.stream(request({ text: "naïve 日本 😀", split_every: 1, write_gap_ms: 0 })).finalText();
  assert.equal(text, "naïve 日本 😀");
});

test("aborting a stream cancels the provider's work", async () => {
  const body = request({ tokens: 400, interval_ms: 20 }, { stream: true });
  const stream = await through.messages.create(body);
  let seen = 0;
  for await (const _ of stream) if (++seen === 6) break;
  const counters = `${SIMULATOR_URL}/__sim/counters?marker=${markerOf(body)}`;
  for (let tries = 0; tries < 500; tries++) {
    const { cancelled } = await (await fetch(counters)).json();
    if (cancelled === 1) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail("the provider never saw the cancellation");
});

for (const [status, type, name] of [
  [400, "invalid_request_error", "BadRequestError"],
  [404, "not_found_error", "NotFoundError"],
  [429, "rate_limit_error", "RateLimitError"],
]) {
  test(`${status} is a ${name} with its type, as direct`, async () => {
    for (const client of [through, direct]) {
      await assert.rejects(client.messages.create(request({ status })), (error) => {
        assert.ok(error instanceof Anthropic[name], `${error}`);
        assert.deepEqual([error.status, error.error.error.type], [status, type]);
        return true;
      });
    }
  });
}

test("a failing provider is an InternalServerError", async () => {
  await assert.rejects(through.messages.create(request({ status: 529 })), Anthropic.InternalServerError);
});

test("a wrong credential is an AuthenticationError", async () => {
  const client = new Anthropic({ baseURL: EDGE_URL, apiKey: "qlp_nonsense", maxRetries: 0 });
  await assert.rejects(client.messages.create(request()), Anthropic.AuthenticationError);
});

test("a cut stream raises and is never a short answer", async () => {
  for (const fault of [{ cut_after: 7 }, { error_after: 7 }, { stall_after: 7 }]) {
    const stream = await through.messages.create(request({ tokens: 20, ...fault }, { stream: true }));
    await assert.rejects(collect(stream), Anthropic.APIError, JSON.stringify(fault));
  }
});

test("the SDK's own retry gets through a passing failure", async () => {
  const body = request([{ status: 429, retry_after_ms: 10 }, {}]);
  assert.equal((await new Anthropic({ ...edge, maxRetries: 1 }).messages.create(body)).type, "message");
});
