import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Keys } from "../../static/keys.mjs";

const MINUTE = 60_000;
const DINNER = { sender: "Ann", receiver: "Bob", amount: 12 };

let now;
let made;
let storage;

beforeEach(() => {
  now = Date.UTC(2026, 0, 1);
  made = 0;
  storage = memory();
});

// ---- Which key ----

test("what was sent without an answer has the same key again, and is said to be repeated", async () => {
  const keys = page();
  assert.deepEqual(await unanswered(keys), { key: "key 1", isRepeated: false });
  assert.deepEqual(await unanswered(keys), { key: "key 1", isRepeated: true });
  assert.deepEqual(await answered(keys), { key: "key 1", isRepeated: true });
});

test("another sender, receiver or amount is another transfer", async () => {
  const keys = page();
  await unanswered(keys);
  for (const difference of [{ sender: "Eve" }, { receiver: "Eve" }, { amount: 13 }]) {
    assert.equal((await answered(keys, { ...DINNER, ...difference })).isRepeated, false);
  }
  assert.equal(made, 4);
});

test("where one name ends and the other begins makes a difference", async () => {
  const keys = page();
  await unanswered(keys, { sender: "a", receiver: "b,c", amount: 1 });
  assert.equal((await answered(keys, { sender: "a,b", receiver: "c", amount: 1 })).isRepeated, false);
});

test("names are the same if the server takes them for the same", async () => {
  const keys = page();
  await unanswered(keys, { sender: "Zoe\u0308", receiver: "Bob", amount: 12 });
  assert.deepEqual(await answered(keys, { sender: "Zoë", receiver: " Bob ", amount: 12 }),
    { key: "key 1", isRepeated: true });
});

// ---- How long ----

test("a good answer ends it", async () => {
  const keys = page();
  await answered(keys);
  assert.deepEqual(await answered(keys), { key: "key 2", isRepeated: false });
});

test("so does a refusal, when nothing was sent before", async () => {
  const keys = page();
  await refused(keys);
  assert.deepEqual(await answered(keys), { key: "key 2", isRepeated: false });
});

test("a refusal of what was sent before says nothing of that", async () => {
  const keys = page();
  await unanswered(keys);
  assert.deepEqual(await refused(keys), { key: "key 1", isRepeated: true });
  assert.deepEqual(await answered(keys), { key: "key 1", isRepeated: true });
});

test("other transfers meanwhile change nothing", async () => {
  const keys = page();
  await unanswered(keys);
  await answered(keys, { ...DINNER, amount: 13 });
  assert.deepEqual(await answered(keys), { key: "key 1", isRepeated: true });
});

test("after the five minutes that the page promises it is still the same, and after six another one", async () => {
  const keys = page();
  await unanswered(keys);
  now += 5 * MINUTE + 1;
  assert.equal((await unanswered(keys)).key, "key 1");
  now += 6 * MINUTE + 1;
  assert.deepEqual(await unanswered(keys), { key: "key 2", isRepeated: false });
});

test("the minutes begin when it is known that there is no answer", async () => {
  const keys = page();
  await unanswered(keys, DINNER, () => now += 4 * MINUTE);
  now += 5 * MINUTE;
  assert.equal((await answered(keys)).key, "key 1");
});

test("they begin anew with a refusal of what was sent before", async () => {
  const keys = page();
  await unanswered(keys);
  now += 4 * MINUTE;
  await refused(keys, DINNER, () => now += MINUTE);
  now += 5 * MINUTE + 1;
  assert.equal((await answered(keys)).key, "key 1");
});

test("a clock that is set back by more than that ends them too", async () => {
  const keys = page();
  await unanswered(keys);
  now -= 6 * MINUTE + 1;
  assert.equal((await answered(keys)).key, "key 2");
});

// ---- Over a reload ----

test("a page that is loaded anew has the keys", async () => {
  await unanswered(page());
  assert.deepEqual(await answered(page()), { key: "key 1", isRepeated: true });
});

test("so has one that is loaded before an answer has come", async () => {
  let reloaded;
  await answered(page(), DINNER, () => reloaded = page());
  assert.deepEqual(await answered(reloaded), { key: "key 1", isRepeated: true });
});

test("it has no keys of what was answered, however that was", async () => {
  await answered(page());
  assert.equal((await refused(page())).isRepeated, false);
  assert.equal((await answered(page())).isRepeated, false);
});

test("the minutes go on", async () => {
  await unanswered(page());
  now += 3 * MINUTE;
  const reloaded = page();
  now += 3 * MINUTE + 1;
  assert.equal((await answered(reloaded)).key, "key 2");
});

test("where the clock was set back before, they begin anew", async () => {
  await unanswered(page());
  now -= 60 * MINUTE;
  const reloaded = page();
  now += 5 * MINUTE;
  assert.equal((await unanswered(reloaded)).key, "key 1");
  now += 6 * MINUTE + 1;
  assert.equal((await answered(reloaded)).key, "key 2");
});

// ---- Where nothing can be kept ----

const BROKEN = {
  "the storage may not even be named": () => { throw new Error("SecurityError"); },
  "the storage can neither be read nor written": () => ({ getItem: refuse, setItem: refuse }),
  "the storage is full": () => ({ ...memory(), setItem: refuse }),
};

for (const [trouble, broken] of Object.entries(BROKEN)) {
  test(`${trouble}: the keys last as long as the page, which is told so`, async () => {
    const keys = page(broken);
    await unanswered(keys);
    assert.deepEqual(await answered(keys), { key: "key 1", isRepeated: true });
    assert.equal(keys.keep(), false);
  });
}

test("else it is told that they are kept", async () => {
  assert.equal(page().keep(), true);
});

test("what is no list of keys is none", async () => {
  for (const content of ["{", "{}", "[1]", "[[\"x\"]]", "null"]) {
    storage.setItem("unanswered", content);
    assert.equal((await answered(page())).isRepeated, false, content);
  }
});

// ---- Helpers ----

/** The keys of a page that is loaded now. */
function page(from = () => storage) {
  return new Keys({ storage: from, now: () => now, newKey: () => `key ${++made}` });
}

function memory() {
  const items = new Map();
  return { getItem: (name) => items.get(name) ?? null, setItem: (name, value) => items.set(name, value) };
}

function refuse() {
  throw new Error("QuotaExceededError");
}

/** The key under which a transfer is sent, and whether it is said to be repeated, when it is answered well. */
async function answered(keys, transfer = DINNER, meanwhile = () => {}) {
  let used;
  const isRepeated = await keys.once(transfer, async (key) => {
    used = key;
    meanwhile();
  });
  return { key: used, isRepeated };
}

/** The same, when it is refused. */
const refused = (keys, transfer, meanwhile) => failing(keys, { certain: true }, transfer, meanwhile);

/** The same, when there is no answer. */
const unanswered = (keys, transfer, meanwhile) => failing(keys, { certain: false }, transfer, meanwhile);

async function failing(keys, { certain }, transfer = DINNER, meanwhile = () => {}) {
  const failure = Object.assign(new Error("as told"), { certain });
  let used;
  await assert.rejects(keys.once(transfer, async (key) => {
    used = key;
    meanwhile();
    throw failure;
  }), (thrown) => thrown === failure);
  return { key: used, isRepeated: failure.isRepeated };
}
