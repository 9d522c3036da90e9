import assert from "node:assert/strict";
import { test } from "node:test";

import { request, send } from "../../static/server.mjs";

const DINNER = { sender: "Ann", receiver: "Bob", amount: 12 };
const PLACE = "/api/v1/transfers/01a2046a";
const UNKNOWN = () => problem(503, { detail: "Nobody knows.", outcome: "unknown", transfer: PLACE });

// ---- What an answer means ----

test("a good answer is its text", async (t) => {
  answers(t, () => new Response("[]"));
  assert.equal(await request("/api/accounts"), "[]");
});

test("what is refused surely changed nothing, and names the field at fault", async (t) => {
  answers(t, () => problem(400, { title: "Bad Request", detail: "The name is empty.", field: "sender" }));
  const { message, ...rest } = await failure(request("/api/transfer"));
  assert.equal(message, "The name is empty.");
  assert.deepEqual(rest, { certain: true, field: "sender", transfer: null, status: 400 });
});

test("so does what a ledger in quarantine refuses", async (t) => {
  answers(t, () => problem(503, { detail: "The sum is wrong.", outcome: "quarantined" }));
  const { message, certain } = await failure(request("/api/transfer"));
  assert.deepEqual({ message, certain }, { message: "The sum is wrong.", certain: true });
});

test("what was not applied surely changed nothing, and may be tried again when the server says", async (t) => {
  const answer = () => problem(503, { detail: "It was not made.", outcome: "not_applied" }, { "Retry-After": "7" });
  answers(t, answer);
  const { message, certain } = await failure(request("/api/transfer"));
  assert.equal(message, "It was not made. Nothing was changed; try again in 7 s.");
  assert.equal(certain, true);
});

test("or in a moment, where the server does not say", async (t) => {
  for (const headers of [{}, { "Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT" }, { "Retry-After": "0" }]) {
    answers(t, () => problem(503, { detail: "It was not made.", outcome: "not_applied" }, headers));
    const { message } = await failure(request("/api/transfer"));
    assert.equal(message, "It was not made. Nothing was changed; try again in a moment.");
  }
});

test("what is unknown is uncertain, and has a place", async (t) => {
  answers(t, UNKNOWN);
  const { message, ...rest } = await failure(request("/api/transfer"));
  assert.equal(message, "Nobody knows.");
  assert.deepEqual(rest, { certain: false, field: null, transfer: PLACE, status: null });
});

test("an error of the server that says nothing of the outcome is uncertain", async (t) => {
  answers(t, () => problem(500, { title: "Internal Server Error" }));
  const { message, certain } = await failure(request("/api/transfer"));
  assert.deepEqual({ message, certain }, { message: "Internal Server Error", certain: false });
});

test("a body that is no problem document is not shown; its status is", async (t) => {
  for (const body of ["<html>Bad Gateway</html>", "", "null", "[]", "\"text\""]) {
    answers(t, () => new Response(body, { status: 502 }));
    const { message, certain } = await failure(request("/api/transfer"));
    assert.deepEqual({ message, certain }, { message: "The server answered with status 502.", certain: false }, body);
  }
});

test("no answer is uncertain", async (t) => {
  answers(t, () => { throw new TypeError("Failed to fetch"); });
  await outOfReach(request("/api/transfer"));
});

test("so is one that breaks off", async (t) => {
  answers(t, () => new Response(new ReadableStream({ start: (body) => body.error(new TypeError("cut")) })));
  await outOfReach(request("/api/transfer"));
});

test("so is one that leads elsewhere, to a page of a proxy say", async (t) => {
  answers(t, () => new Response(null, { status: 302, headers: { Location: "/login" } }));
  await outOfReach(request("/api/transfer"));
});

test("so is one that does not come in time", async (t) => {
  t.mock.method(AbortSignal, "timeout", () => AbortSignal.abort());
  answers(t, () => new Response(""));
  await outOfReach(request("/api/transfer"));
});

test("nothing is answered from a cache without asking", async (t) => {
  const asked = answers(t, () => new Response("[]"));
  await request("/api/accounts");
  assert.equal(asked[0].cache, "no-cache");
});

// ---- A transfer ----

test("a transfer is posted as JSON, under its key", async (t) => {
  const asked = answers(t, () => new Response(""));
  await send(DINNER, "a-key");
  assert.equal(asked.length, 1);
  const [{ path, method, headers, body }] = asked;
  assert.deepEqual({ path, method, body: JSON.parse(body) }, { path: "/api/transfer", method: "POST", body: DINNER });
  assert.deepEqual(headers, { "Content-Type": "application/json", "Idempotency-Key": "a-key" });
});

test("an answer with a body is somebody else's", async (t) => {
  answers(t, () => new Response("<html>Welcome</html>"));
  const { message, certain } = await failure(send(DINNER, "a-key"));
  assert.deepEqual({ message, certain }, { message: "Something else than the server has answered.", certain: false });
});

test("what failed in another way than unknown is not asked about", async (t) => {
  const asked = answers(t, () => problem(503, { detail: "It was not made.", outcome: "not_applied" }));
  assert.equal((await failure(send(DINNER, "a-key"))).certain, true);
  assert.equal(asked.length, 1);
});

test("an unknown transfer that was made in the end is recorded", async (t) => {
  quick(t);
  const asked = answers(t, UNKNOWN, () => problem(404, {}), () => status("open"), cut, () => status("done"));
  await send(DINNER, "a-key");
  assert.deepEqual(asked.map(({ path }) => path), ["/api/transfer", PLACE, PLACE, PLACE, PLACE]);
});

test("one that was undone surely changed nothing", async (t) => {
  quick(t);
  answers(t, UNKNOWN, () => status("undone"));
  const { message, certain } = await failure(send(DINNER, "a-key"));
  assert.deepEqual({ message, certain }, { message: "It was not recorded; please try again.", certain: true });
});

test("one that is still open after ten seconds stays unknown", async (t) => {
  quick(t);
  const asked = answers(t, UNKNOWN, () => status("open"));
  const { message, certain } = await failure(send(DINNER, "a-key"));
  assert.deepEqual({ message, certain }, { message: "Nobody knows.", certain: false });
  assert.equal(asked.length, 1 + 10);
});

// ---- Helpers ----

/** Answers requests by `answer` in turn, the last one for ever, and tells what is asked. */
function answers(t, ...answer) {
  const asked = [];
  t.mock.method(globalThis, "fetch", async (path, options) => {
    asked.push({ path, ...options });
    options.signal.throwIfAborted();
    const response = answer[Math.min(asked.length, answer.length) - 1]();
    const isElsewhere = response.headers.has("Location");
    if (isElsewhere && options.redirect === "error") throw new TypeError("Failed to fetch");
    return isElsewhere ? new Response("") : response;
  });
  return asked;
}

function problem(status, document, headers = {}) {
  const content = { "Content-Type": "application/problem+json" };
  return new Response(JSON.stringify({ type: "about:blank", status, ...document }),
    { status, headers: { ...content, ...headers } });
}

const status = (status) => new Response(JSON.stringify({ id: "01a2046a", status }));

function cut() {
  throw new TypeError("Failed to fetch");
}

/** Time passes at once. */
function quick(t) {
  let now = Date.UTC(2026, 0, 1);
  t.mock.method(Date, "now", () => now);
  t.mock.method(globalThis, "setTimeout", (then, milliseconds) => {
    now += milliseconds;
    queueMicrotask(then);
  });
}

/** The error that `promise` ends with, as a plain object. */
async function failure(promise) {
  const error = await promise.then(() => assert.fail("it succeeded"), (error) => error);
  return { message: error.message, ...error };
}

async function outOfReach(promise) {
  const { message, certain } = await failure(promise);
  assert.deepEqual({ message, certain }, { message: "Cannot reach the server.", certain: false });
}
