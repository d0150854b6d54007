// The real `openai` SDK through the edge and, for comparison, directly against the simulator.
// Environment: EDGE_URL, ACCESS_TOKEN, SIMULATOR_URL.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test from "node:test";
import OpenAI from "openai";

const simulatorKey = "sk-canary-provider-key";
const through = new OpenAI({ baseURL: `${process.env.EDGE_URL}/v1`, apiKey: process.env.ACCESS_TOKEN, maxRetries: 0 });
const direct = new OpenAI({ baseURL: `${process.env.SIMULATOR_URL}/v1`, apiKey: simulatorKey, maxRetries: 0 });

const request = (behaviour = {}, more = {}) => ({
  model: "sim-1",
  messages: [{ role: "user", content: "Tell me about edges." }],
  metadata: { marker: randomUUID(), sim: JSON.stringify(behaviour) },
  ...more,
});
const timeless = ({ id, created, ...rest }) => rest;
const collect = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(timeless(chunk));
  return chunks;
};

test("a completion is the same as direct", async () => {
  const create = (client) => client.chat.completions.create(request({ tokens: 12 }));
  assert.deepEqual(timeless(await create(through)), timeless(await create(direct)));
});

test("a stream with usage is the same as direct", async () => {
  const body = () => request({ tokens: 12 }, { stream: true, stream_options: { include_usage: true } });
  const chunks = await collect(await through.chat.completions.create(body()));
  assert.deepEqual(chunks, await collect(await direct.chat.completions.create(body())));
  assert.equal(chunks.at(-1).usage.completion_tokens, 12);
});

test("a stream without usage has no extra chunk", async () => {
  const chunks = await collect(await through.chat.completions.create(request({ tokens: 5 }, { stream: true })));
  assert.ok(chunks.every((chunk) => chunk.choices.length === 1 && !chunk.usage));
});

test("parallel tool calls accumulate", async () => {
  const tool = (name) => ({ type: "function", function: { name, parameters: { type: "object", properties: {} } } });
  const body = request({ tool_calls: 2 }, { tools: [tool("weather"), tool("time")] });
  const runner = through.chat.completions.stream(body);
  const { choices } = await runner.finalChatCompletion();
  assert.deepEqual(choices[0].message.tool_calls.map((call) => call.function.name), ["weather", "time"]);
});

test("structured output is parsed", async () => {
  const schema = { type: "object", properties: { answer: { type: "string" } }, required: ["answer"], additionalProperties: false };
  const body = request({}, { response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema } } });
  const completion = await through.chat.completions.create(body);
  assert.equal(typeof JSON.parse(completion.choices[0].message.content).answer, "string");
});

test("aborting a stream cancels the provider's work", async () => {
  const body = request({ tokens: 400, interval_ms: 20 }, { stream: true });
  const stream = await through.chat.completions.create(body);
  let seen = 0;
  for await (const _ of stream) if (++seen === 6) break;
  const counters = `${process.env.SIMULATOR_URL}/__sim/counters?marker=${body.metadata.marker}`;
  for (let tries = 0; tries < 500; tries++) {
    const { cancelled } = await (await fetch(counters)).json();
    if (cancelled === 1) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail("the provider never saw the cancellation");
});

for (const [status, code, name] of [
  [400, "context_length_exceeded", "BadRequestError"],
  [404, "model_not_found", "NotFoundError"],
  [422, "unprocessable", "UnprocessableEntityError"],
  [429, "rate_limit_exceeded", "RateLimitError"],
]) {
  test(`${status} is a ${name} with its code, as direct`, async () => {
    const caught = async (client) => {
      try {
        await client.chat.completions.create(request({ status, code }));
      } catch (error) {
        return error;
      }
      return assert.fail("no error");
    };
    const [error, expected] = [await caught(through), await caught(direct)];
    assert.ok(error instanceof OpenAI[name], `${error}`);
    assert.deepEqual([error.status, error.code, error.type], [expected.status, expected.code, expected.type]);
    assert.ok(error.requestID);
  });
}

test("a failing provider is an InternalServerError", async () => {
  await assert.rejects(through.chat.completions.create(request({ status: 500 })), OpenAI.InternalServerError);
});

test("a wrong credential is an AuthenticationError", async () => {
  const client = new OpenAI({ baseURL: `${process.env.EDGE_URL}/v1`, apiKey: "nonsense", maxRetries: 0 });
  await assert.rejects(client.chat.completions.create(request()), OpenAI.AuthenticationError);
});

test("a cut stream raises and is never a short answer", async () => {
  const stream = await through.chat.completions.create(request({ tokens: 20, cut_after: 5 }, { stream: true }));
  await assert.rejects(collect(stream), OpenAI.APIError);
});

test("the SDK's own retry gets through a passing failure", async () => {
  const client = new OpenAI({ baseURL: `${process.env.EDGE_URL}/v1`, apiKey: process.env.ACCESS_TOKEN, maxRetries: 1 });
  const body = request();
  body.metadata.sim = JSON.stringify([{ status: 429, retry_after_ms: 10 }, {}]);
  assert.equal((await client.chat.completions.create(body)).object, "chat.completion");
});

test("models are listed", async () => {
  const ids = [];
  for await (const model of through.models.list()) ids.push(model.id);
  assert.ok(ids.includes("default"));
});

for (const input of ["a text", ["a text", "another"], [11, 22, 33], [[11], [22, 33]]]) {
  test(`embeddings of ${JSON.stringify(input)} are the same as direct`, async () => {
    const create = (client, more) => client.embeddings.create({ model: "sim-1", input, ...more });
    for (const more of [{}, { encoding_format: "float" }, { encoding_format: "base64", dimensions: 8 }]) {
      const vectors = await create(through, more);
      assert.deepEqual(vectors, await create(direct, more));
      assert.equal(vectors.data.length, Array.isArray(input) && typeof input[0] !== "number" ? input.length : 1);
    }
  });
}

const question = (behaviour = {}, more = {}) => {
  const { messages, ...rest } = request(behaviour, more);
  return { ...rest, input: messages[0].content };
};
const timelessResponse = ({ id, created_at, ...rest }) => rest;

test("a response is the same as direct", async () => {
  const create = (client) => client.responses.create(question({ tokens: 12 }));
  const response = await create(through);
  assert.deepEqual(timelessResponse(response), timelessResponse(await create(direct)));
  assert.ok(response.output_text.length > 0);
});

test("a streamed response is the same as direct", async () => {
  const events = async (client) => {
    const events = [];
    for await (const event of await client.responses.create(question({ tokens: 12 }, { stream: true }))) {
      events.push(event.response ? { ...event, response: timelessResponse(event.response) } : event);
    }
    return events;
  };
  const seen = await events(through);
  assert.deepEqual(seen, await events(direct));
  assert.equal(seen.at(-1).response.usage.output_tokens, 12);
});

test("calls of functions accumulate in a response", async () => {
  const tools = ["weather", "time"].map((name) => ({ type: "function", name, parameters: { type: "object", properties: {} }, strict: true }));
  const response = await through.responses.stream(question({ tool_calls: 2 }, { tools })).finalResponse();
  assert.deepEqual(response.output.map((item) => item.name), ["weather", "time"]);
});

test("a cut response raises and is never a short one", async () => {
  const stream = await through.responses.create(question({ tokens: 20, cut_after: 9 }, { stream: true }));
  await assert.rejects(async () => {
    for await (const _ of stream);
  }, (error) => error instanceof OpenAI.APIError && error.code === "upstream_failed");
});

test("a response that is refused has its class and code, as direct", async () => {
  const create = (client) => client.responses.create(question({ status: 429, code: "rate_limit_exceeded" }));
  for (const client of [through, direct]) {
    await assert.rejects(create(client), (error) => error instanceof OpenAI.RateLimitError && error.code === "rate_limit_exceeded");
  }
});

test("one model is retrieved", async () => {
  assert.equal((await through.models.retrieve("sim-1")).id, "sim-1");
  await assert.rejects(through.models.retrieve("no such/model"), OpenAI.NotFoundError);
});
