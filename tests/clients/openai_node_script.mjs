// openai-node as an application uses it. Run from the folder of its environment; it tells what said.py tells.

import OpenAI from "openai";
import { VERSION } from "openai/version";

const [url, key] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0, timeout: 20_000 });

const HELLO = "Please explain what a gateway is.";
const WEATHER = "What is the weather in Lisbon?";
const REFUSING = { 429: "busy", 503: "loading", 400: "picky", 404: "no-such-model" };
const messages = (content = HELLO) => [{ role: "user", content }];
const properties = { city: { type: "string" }, degrees: { type: "integer" } };
const schema = { type: "object", properties, required: ["city", "degrees"], additionalProperties: false };
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const weather = {
  type: "function",
  function: { name: "get_weather", description: "Current weather of a city", parameters },
};

const ask = (options = {}, by = client) =>
  by.chat.completions.create({ model: "auto", messages: messages(), ...options });

async function plain() {
  const answer = await ask();
  const [choice] = answer.choices;
  return { text: choice.message.content, finish: choice.finish_reason, tokens: answer.usage.total_tokens };
}

async function streamed(options = {}) {
  const told = { text: "", pieces: 0, finish: null, tokens: null };
  for await (const chunk of await ask({ stream: true, ...options })) {
    told.tokens = chunk.usage?.total_tokens ?? told.tokens;
    for (const choice of chunk.choices) {
      told.text += choice.delta.content ?? "";
      told.pieces += choice.delta.content ? 1 : 0;
      told.finish = choice.finish_reason ?? told.finish;
    }
  }
  return told;
}

async function tool() {
  const answer = (await ask({ messages: messages(WEATHER), tools: [weather] })).choices[0];
  const [call] = answer.message.tool_calls;
  const result = { role: "tool", tool_call_id: call.id, content: "18 degrees" };
  const after = await ask({ messages: [...messages(WEATHER), answer.message, result], tools: [weather] });
  const made = { name: call.function.name, arguments: JSON.parse(call.function.arguments) };
  return { ...made, finish: answer.finish_reason, after: after.choices[0].message.content };
}

// By the package's own gathering of a stream.
async function toolStreamed(model) {
  const runner = client.chat.completions.stream({ model, messages: messages(WEATHER), tools: [weather] });
  let pieces = 0;
  runner.on("tool_calls.function.arguments.delta", () => (pieces += 1));
  const [choice] = (await runner.finalChatCompletion()).choices;
  const call = choice.message.tool_calls[0].function;
  return { name: call.name, arguments: JSON.parse(call.arguments), finish: choice.finish_reason, pieces };
}

async function structured() {
  const wanted = { type: "json_schema", json_schema: { name: "facts", schema, strict: true } };
  const answer = await client.chat.completions.parse({ model: "auto", messages: messages(), response_format: wanted });
  return { value: JSON.parse(answer.choices[0].message.content) };
}

async function forced(model = "auto") {
  const facts = { type: "function", function: { name: "facts", parameters: schema } };
  const choice = { type: "function", function: { name: "facts" } };
  const answer = await ask({ model, tools: [facts], tool_choice: choice });
  return { value: JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments) };
}

async function models() {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  return { first: names[0], found: (await client.models.retrieve("maker/large")).id };
}

async function failing(act) {
  try {
    return { raised: null, got: await act() };
  } catch (error) {
    return { raised: error.constructor.name, said: error.message, status: error.status };
  }
}

const checks = {
  plain,
  stream: streamed,
  usage: () => streamed({ stream_options: { include_usage: true } }),
  thinking: () => streamed({ model: "thinker:1b" }),
  tool,
  tool_whole: () => toolStreamed("auto"),
  tool_pieces: () => toolStreamed("maker/large"),
  structured,
  forced,
  forced_large: () => forced("maker/large"),
  models,
  large: () => streamed({ model: "maker/large" }),
  fallback: () => streamed({ model: "flaky" }),
  error_401: () => failing(() => ask({}, client.withOptions({ apiKey: "wrong" }))),
  cut: () => failing(() => streamed({ model: "cut:1b" })),
  reset: () => failing(() => streamed({ model: "reset" })),
  broken: () => failing(() => streamed({ model: "broken" })),
};
for (const [status, model] of Object.entries(REFUSING)) checks[`error_${status}`] = () => failing(() => ask({ model }));

const found = {};
for (const [name, check] of Object.entries(checks)) {
  try {
    found[name] = await check();
  } catch (error) {
    found[name] = { failed: String(error?.stack ?? error) };
  }
}
console.log("\n" + JSON.stringify({ version: VERSION, checks: found }));
