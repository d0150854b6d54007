// The AI SDK with `@ai-sdk/openai-compatible` through the edge and, for comparison, directly against the simulator.
// Environment: EDGE_URL, ACCESS_TOKEN, SIMULATOR_URL.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, Output, streamText, tool } from "ai";
import { z } from "zod";

const prompt = "Tell me about edges.";
const options = { supportsStructuredOutputs: true, includeUsage: true };
const through = (more) => create(`${process.env.EDGE_URL}/v1`, process.env.ACCESS_TOKEN, more);
const direct = (more) => create(`${process.env.SIMULATOR_URL}/v1`, "sk-canary-provider-key", more);
const create = (baseURL, apiKey, more) =>
  createOpenAICompatible({ name: "edge", baseURL, apiKey, ...options, ...more }).chatModel("sim-1");

// The provider options of this name are members of the request.
const asking = (behaviour = {}) => {
  const marker = randomUUID();
  const metadata = { marker, sim: JSON.stringify(behaviour) };
  return { marker, prompt, maxRetries: 0, providerOptions: { edge: { metadata } } };
};
const both = async (ask) => [await ask(through), await ask(direct)];
const tools = {
  weather: tool({ inputSchema: z.object({}) }),
  time: tool({ inputSchema: z.object({}) }),
};
const parts = async (result) => {
  const seen = [];
  for await (const part of result.fullStream) seen.push(part);
  return seen;
};
const errors = (seen) => seen.filter((part) => part.type === "error").map((part) => part.error);

test("a text is the same as direct", async () => {
  const [ours, theirs] = await both(async (to) => {
    const { text, finishReason, usage } = await generateText({ model: to(), ...asking({ tokens: 12 }) });
    return { text, finishReason, usage };
  });
  assert.deepEqual(ours, theirs);
  assert.equal(ours.usage.outputTokens, 12);
});

for (const includeUsage of [true, false]) {
  test(`a stream ${includeUsage ? "with" : "without"} usage is the same as direct`, async () => {
    const [ours, theirs] = await both(async (to) => {
      const result = streamText({ model: to({ includeUsage }), ...asking({ tokens: 12 }) });
      const deltas = (await parts(result)).filter((part) => part.type === "text-delta").map((part) => part.text);
      return { deltas, finishReason: await result.finishReason, usage: await result.usage };
    });
    assert.deepEqual(ours, theirs);
    assert.ok(ours.deltas.length > 1);
    assert.equal(ours.usage.outputTokens, includeUsage ? 12 : undefined);
  });
}

test("reasoning is kept", async () => {
  const [ours, theirs] = await both(async (to) => {
    const { reasoningText, text } = await generateText({ model: to(), ...asking({ reasoning: 4, tokens: 3 }) });
    return { reasoningText, text };
  });
  assert.deepEqual(ours, theirs);
  assert.ok(ours.reasoningText && ours.text);
});

test("parallel tool calls are the same as direct, whole and streamed", async () => {
  for (const call of [generateText, streamText]) {
    const [ours, theirs] = await both(async (to) => {
      const result = await call({ model: to(), tools, ...asking({ tool_calls: 2 }) });
      return (await result.toolCalls).map(({ toolName, input }) => ({ toolName, input }));
    });
    assert.deepEqual(ours, theirs);
    assert.deepEqual(ours.map((one) => one.toolName), ["weather", "time"]);
  }
});

test("structured output is parsed", async () => {
  const [ours, theirs] = await both(async (to) => {
    const output = Output.object({ schema: z.object({ answer: z.string() }) });
    return (await generateText({ model: to(), output, ...asking() })).output;
  });
  assert.equal(typeof ours.answer, "string");
  assert.deepEqual(ours, theirs);
});

test("aborting a stream cancels the provider's work", async () => {
  const { marker, ...request } = asking({ tokens: 400, interval_ms: 20 });
  const stop = new AbortController();
  const result = streamText({ model: through(), abortSignal: stop.signal, ...request });
  let seen = 0;
  for await (const part of result.fullStream) {
    if (part.type === "text-delta" && ++seen === 6) stop.abort();
  }
  const counters = `${process.env.SIMULATOR_URL}/__sim/counters?marker=${marker}`;
  for (let tries = 0; tries < 500; tries++) {
    const { cancelled } = await (await fetch(counters)).json();
    if (cancelled === 1) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail("the provider never saw the cancellation");
});

for (const [status, code] of [[400, "content_filter"], [404, "model_not_found"], [429, "rate_limit_exceeded"]]) {
  test(`${status} ${code} is the same error as direct`, async () => {
    const [ours, theirs] = await both(async (to) => {
      const error = await generateText({ model: to(), ...asking({ status, code }) }).catch((error) => error);
      assert.ok(APICallError.isInstance(error), `${error}`);
      return { status: error.statusCode, retryable: error.isRetryable, code: error.data.error.code };
    });
    assert.deepEqual(ours, theirs);
    assert.equal(ours.code, code);
  });
}

test("a stream that breaks is an error and never a short answer", async () => {
  for (const fault of [{ cut_after: 5 }, { eof_after: 5 }, { malformed_after: 5 }, { error_after: 5 }]) {
    const result = streamText({ model: through(), onError() {}, ...asking({ tokens: 20, ...fault }) });
    const seen = await parts(result);
    assert.equal(errors(seen).length, 1, JSON.stringify([fault, seen]));
  }
});

test("its own retry gets through a passing failure", async () => {
  const request = { ...asking([{ status: 429, retry_after_ms: 10 }, { text: "done" }]), maxRetries: 1 };
  assert.equal((await generateText({ model: through(), ...request })).text, "done");
});
