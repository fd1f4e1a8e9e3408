// The AI SDK with its provider for compatible servers, as an application uses it. Run from the folder of its
// environment; it tells what said.py tells.

import { readFileSync } from "node:fs";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool as asTool } from "ai";

const [url, key] = process.argv.slice(2);
const provider = (apiKey = key) =>
  createOpenAICompatible({ name: "smallfirst", baseURL: url, apiKey, supportsStructuredOutputs: true });

const HELLO = "Please explain what a gateway is.";
const WEATHER = "What is the weather in Lisbon?";
const REFUSING = { 429: "busy", 503: "loading", 400: "picky", 404: "no-such-model" };
const properties = { city: { type: "string" }, degrees: { type: "integer" } };
const schema = { type: "object", properties, required: ["city", "degrees"], additionalProperties: false };
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const weather = asTool({
  description: "Current weather of a city",
  inputSchema: jsonSchema(parameters),
  execute: async () => "18 degrees",
});

const asked = (model = "auto", by = provider()) => ({ model: by(model), prompt: HELLO, maxRetries: 0 });

async function plain() {
  const answer = await generateText(asked());
  return { text: answer.text, finish: answer.finishReason, tokens: answer.usage.totalTokens };
}

// An error in a stream is a part of it, so the parts are what is read.
async function streamed(model = "auto", by = provider()) {
  const told = { text: "", pieces: 0, finish: null, tokens: null, thoughts: "" };
  for await (const part of streamText({ ...asked(model, by), onError: () => {} }).fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") {
      told.text += part.text;
      told.pieces += 1;
    }
    if (part.type === "reasoning-delta") told.thoughts += part.text;
    if (part.type === "finish") {
      told.finish = part.finishReason;
      told.tokens = part.totalUsage.totalTokens ?? null;
    }
  }
  return told;
}

const usage = () =>
  streamed("auto", createOpenAICompatible({ name: "smallfirst", baseURL: url, apiKey: key, includeUsage: true }));

const withTool = (model) => ({
  ...asked(model),
  prompt: WEATHER,
  tools: { get_weather: weather },
  stopWhen: stepCountIs(2),
});

async function tool() {
  const answer = await generateText(withTool("auto"));
  const [call] = answer.steps[0].toolCalls;
  return { name: call.toolName, arguments: call.input, finish: answer.steps[0].finishReason, after: answer.text };
}

// In pieces the arguments come as deltas of the input.
async function toolStreamed(model) {
  const answer = streamText(withTool(model));
  let pieces = 0;
  for await (const part of answer.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "tool-input-delta") pieces += 1;
  }
  const [first, last] = await answer.steps;
  const [call] = first.toolCalls;
  return { name: call.toolName, arguments: call.input, finish: first.finishReason, pieces, after: last.text };
}

async function structured() {
  const answer = await generateText({ ...asked(), output: Output.object({ schema: jsonSchema(schema) }) });
  return { value: answer.output };
}

async function forced(model = "auto") {
  const facts = asTool({ inputSchema: jsonSchema(schema) });
  const choice = { type: "tool", toolName: "facts" };
  const answer = await generateText({ ...asked(model), tools: { facts }, toolChoice: choice });
  return { value: answer.toolCalls[0].input };
}

async function failing(act) {
  try {
    return { raised: null, got: await act() };
  } catch (error) {
    return { raised: error.name ?? typeof error, said: error.message ?? String(error), status: error.statusCode };
  }
}

const checks = {
  plain,
  stream: () => streamed(),
  usage,
  thinking: () => streamed("thinker:1b"),
  tool,
  tool_whole: () => toolStreamed("auto"),
  tool_pieces: () => toolStreamed("maker/large"),
  structured,
  forced: () => forced(),
  forced_large: () => forced("maker/large"),
  large: () => streamed("maker/large"),
  fallback: () => streamed("flaky"),
  error_401: () => failing(() => generateText(asked("auto", provider("wrong")))),
  cut: () => failing(() => streamed("cut:1b")),
  reset: () => failing(() => streamed("reset")),
  broken: () => failing(() => streamed("broken")),
};
for (const [status, model] of Object.entries(REFUSING)) {
  checks[`error_${status}`] = () => failing(() => generateText(asked(model)));
}

const found = {};
for (const [name, check] of Object.entries(checks)) {
  try {
    found[name] = await check();
  } catch (error) {
    found[name] = { failed: String(error?.stack ?? error) };
  }
}
const { version } = JSON.parse(readFileSync("node_modules/ai/package.json", "utf8"));
console.log("\n" + JSON.stringify({ version, checks: found }));
