// The page of SplitDim. It holds no truth of its own: it shows what the server says and sends what the user enters.
// It sends nothing again by itself, for whoever recorded a payment should know what became of it.

const POLL_MS = 5_000;
const TIMEOUT_MS = 20_000;
const OUTCOME_MS = 10_000;
const OUTCOME_POLL_MS = 1_000;
// A minute more than the page promises.
const SAME_MS = 6 * 60_000;

const byId = (id) => document.getElementById(id);
const fields = { sender: byId("sender"), receiver: byId("receiver"), amount: byId("amount") };

// ---- Building text. Names come from other people, so they only ever become text nodes, never markup. ----

const number = new Intl.NumberFormat();

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// <bdi> keeps a right-to-left name from reordering the words and numbers around it.
const person = (name) => element("bdi", {}, visible(named(name)));

// What leaves no trace, or looks like a plain space, or is a mark on nothing; and the bracket that it is shown in, so
// that nobody is named that.
const UNSEEN = String.raw`^\p{M}|[\p{DI}\u2800\uFFF9-\uFFFB\p{Zl}\p{Zp}⟨]|(?![ \u3000])\p{Zs}`;

// Where such a character belongs, and changes what is seen: between the parts of an emoji, after a virama, and between
// Arabic letters that would be joined without it.
const BELONGING = String.raw`\p{ExtPict}[\uFE0F\u{1F3FB}-\u{1F3FF}]?\u200D(?=\p{ExtPict})` +
  String.raw`|(?!\p{EPres})\p{ExtPict}\uFE0F` +
  String.raw`|[\u094D\u09CD\u0A4D\u0ACD\u0B4D\u0BCD\u0C4D\u0CCD\u0D4D\u0DCA][\u200C\u200D](?=\p{L})` +
  String.raw`|(?![\u0621-\u0625\u0627\u0629\u062F-\u0632\u0648\u0671\u0698])\p{Script=Arabic}\u200C(?=\p{L})`;

const SHOWN_BY_NUMBER = new RegExp(`${BELONGING}|(${UNSEEN})`, "gu");

/** The text, with the numbers of what cannot be seen: else "Ann" with a U+200B and one without were two equal rows. */
function visible(text) {
  const number = (character) => character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  return text.replace(SHOWN_BY_NUMBER, (found, unseen) => unseen ? `⟨U+${number(unseen)}⟩` : found);
}

const money = (amount) => element("strong", {}, number.format(amount));
const phrase = ({ sender, amount, receiver }, verb, preposition) =>
  [person(sender), ` ${verb} `, money(amount), ` ${preposition} `, person(receiver)];

/** Shows one message in a section, as an "alert" or a "status". Whatever was said before is about an older change. */
function say(section, role, ...content) {
  for (const message of document.querySelectorAll("main .message")) message.replaceChildren();
  const message = section.querySelector(`[role=${role}]`);
  message.replaceChildren(...content);
  return message;
}

// ---- Talking to the server ----

/**
 * An error to be shown. `certain` says that surely nothing changed on the server; `transfer` is where the server
 * tells later what became of a transfer; `status` is that of its answer.
 */
const failed = (message, { certain = false, field = null, transfer = null, status = null } = {}) =>
  Object.assign(new Error(message), { certain, field, transfer, status });

async function request(path, options = {}) {
  let response;
  try {
    const limits = { cache: "no-cache", redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS) };
    response = await fetch(path, { ...limits, ...options });
    if (response.ok) return await response.text();
  } catch {
    // The request may have arrived even though no answer came back.
    throw failed("Cannot reach the server.");
  }
  // Something between the server and this page may answer with a body which is not a problem document.
  const problem = (await response.json().catch(() => null)) ?? {};
  const detail = problem.detail ?? problem.title ?? `The server answered with status ${response.status}.`;
  if (response.status < 500) throw failed(detail, { certain: true, field: problem.field, status: response.status });
  if (problem.outcome === "quarantined") throw failed(detail, { certain: true });
  if (problem.outcome !== "not_applied") throw failed(detail, { transfer: problem.transfer });
  const seconds = Number(response.headers.get("Retry-After"));
  const when = seconds > 0 ? `in ${number.format(seconds)} s` : "in a moment";
  throw failed(`${detail} Nothing was changed; try again ${when}.`, { certain: true });
}

/** The keys of transfers that were sent without a good answer, by what was sent, and since when that is so. */
const unanswered = new Map(keptKeys());

/** The keys that this tab has kept over a reload. */
function keptKeys() {
  try {
    // The clock may have been set back before the browser was started again.
    const notLater = ([sent, { key, since }]) => [sent, { key, since: Math.min(since, Date.now()) }];
    return (JSON.parse(sessionStorage.getItem("unanswered")) ?? []).map(notLater);
  } catch {
    return [];
  }
}

/** Keeps the keys over a reload; false where the browser does not let us. */
function keepKeys() {
  try {
    sessionStorage.setItem("unanswered", JSON.stringify([...unanswered]));
    return true;
  } catch {
    return false;
  }
}

/**
 * Records a transfer, and answers what else is to be said of that. Where the server does not know yet what becomes of
 * it, this ends when that is known.
 *
 * A browser sends a request again by itself, a POST too, when a connection that it has used before ends without an
 * answer; and people press a button again. By its key the server knows that it is the same transfer. Some minutes
 * after the last of them it is more likely another one.
 */
async function record(transfer) {
  const sent = JSON.stringify([named(transfer.sender), named(transfer.receiver), transfer.amount]);
  for (const [other, { since }] of unanswered) if (Math.abs(Date.now() - since) > SAME_MS) unanswered.delete(other);
  const isRepeated = unanswered.has(sent);
  const key = unanswered.get(sent)?.key ?? randomKey();
  const remember = () => unanswered.set(sent, { key, since: Date.now() });
  remember();
  keepKeys();
  try {
    await send(transfer, key);
    unanswered.delete(sent);
  } catch (failure) {
    // What was sent before may be made yet, whatever becomes of this one.
    failure.isRepeated = isRepeated;
    if (failure.certain && !isRepeated) unanswered.delete(sent);
    else remember();
    throw failure;
  } finally {
    keepKeys();
  }
  return isRepeated ? " It counts once, together with what was sent before." : "";
}

// As the server understands it: a name is the same with a space behind it, which is easily typed.
const named = (name) => name.normalize("NFC").replace(/^\p{White_Space}+|\p{White_Space}+$/gu, "");

async function send(transfer, key) {
  try {
    const answer = await request("/api/transfer", {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": key },
      body: JSON.stringify(transfer),
    });
    if (answer !== "") throw failed("Something else than the server has answered.");
  } catch (failure) {
    const outcome = failure.transfer ? await outcomeOf(failure.transfer) : null;
    if (outcome === "undone") throw failed("It was not recorded; please try again.", { certain: true });
    if (outcome !== "done") throw failure;
  }
}

// crypto.randomUUID is there by HTTPS only.
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether a transfer is "done" or "undone" in the end; null if nobody can tell for long. */
async function outcomeOf(path) {
  const until = Date.now() + OUTCOME_MS;
  while (Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, OUTCOME_POLL_MS));
    // Nothing of it may have reached the ledger yet (404), or the server may be away.
    const { status } = await request(path).then(JSON.parse).catch(() => ({}));
    if (status === "done" || status === "undone") return status;
  }
  return null;
}

// ---- Showing the ledger ----

let shownAccounts = null;
let shownPayments = null;
let lastSeen = null;
let newestRefresh = 0;
let pollTimer;

async function refresh() {
  const thisRefresh = ++newestRefresh;
  clearTimeout(pollTimer);
  const [accounts, payments] = await Promise.allSettled([request("/api/accounts"), request("/api/clear")]);
  // An answer which a newer refresh has overtaken could show a state from before the user's own transfer.
  if (thisRefresh !== newestRefresh) return;
  let trouble = "";
  if (accounts.status === "fulfilled") {
    try {
      showLedger(accounts.value, payments.value ?? null);
      lastSeen = new Date();
      // A ledger that does not sum to zero has balances all the same.
      if (payments.reason) trouble = payments.reason.message;
    } catch {
      trouble = "Something else than the server has answered.";
    }
  } else {
    const reason = accounts.reason.message.replace(/\.$/, "");
    trouble = lastSeen
      ? `${reason}; showing what was last seen at ${lastSeen.toLocaleTimeString()}.`
      : `${reason}; nothing could be shown yet.`;
  }
  // Written only when it changes, or a screen reader would repeat it at every poll.
  if (byId("connection").textContent !== trouble) byId("connection").textContent = trouble;
  // The next poll waits for this one, so that a slow server is not asked faster than it answers.
  pollTimer = setTimeout(refreshIfVisible, POLL_MS);
}

function refreshIfVisible() {
  if (!document.hidden) refresh();
}

// Lists are rebuilt only when they changed: rebuilding takes away the focus and the text selection. `payments` is
// null where they are not known.
function showLedger(accounts, payments) {
  if (accounts !== shownAccounts) showAccounts(JSON.parse(accounts));
  if (payments !== shownPayments) showPayments(JSON.parse(payments ?? "[]"));
  if (payments === null) byId("no-payments").textContent = "Not known at the moment.";
  shownAccounts = accounts;
  shownPayments = payments;
}

function showAccounts(accounts) {
  byId("names").replaceChildren(...accounts.map(({ holder }) => element("option", { value: holder }, visible(holder))));
  byId("balance-rows").replaceChildren(...accounts.map(balanceRow));
  byId("balance-table").hidden = accounts.length === 0;
  byId("no-balances").textContent = accounts.length ? "" : "Nobody yet: record a first payment.";
}

function balanceRow({ holder, balance }) {
  // Words carry the sign, since "owes -12" would read as its opposite; the colour only repeats them.
  const state = balance === 0 ? ["is settled"] : [balance > 0 ? "is owed " : "owes ", money(Math.abs(balance))];
  return element("tr", {},
    element("th", { scope: "row" }, person(holder)),
    element("td", { className: balance > 0 ? "creditor" : "debtor" }, ...state));
}

function showPayments(payments) {
  const list = byId("payments");
  const hadFocus = list.contains(document.activeElement);
  list.replaceChildren(...payments.map(paymentItem));
  list.hidden = payments.length === 0;
  byId("no-payments").textContent = payments.length ? "" : "Nobody owes anything.";
  if (hadFocus) byId("settle-heading").focus();
}

function paymentItem(payment) {
  const sentence = element("span", {}, ...phrase(payment, "pays", "to"));
  const paid = element("button", { type: "button", className: "writes", disabled: writing }, "Paid…");
  paid.setAttribute("aria-label", `Paid… ${sentence.textContent}`);
  paid.addEventListener("click", () => settle(payment));
  return element("li", {}, sentence, paid);
}

// ---- Changing the ledger ----

let writing = false;

function setWriting(value) {
  writing = value;
  byId("transfer-fields").disabled = value;
  for (const button of document.querySelectorAll("button.writes")) button.disabled = value;
}

/** Runs one change at a time, tells in the section how it ended, and answers whether it succeeded. */
async function change(section, action, ...success) {
  if (writing) return false;
  setWriting(true);
  say(section, "status");
  for (const field of Object.values(fields)) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
  const { more, failure } = await action().then((more) => ({ more }), (failure) => ({ failure }));
  setWriting(false);
  refresh();
  if (!failure) {
    say(section, "status", ...success, more).focus();
    return true;
  }
  const message = say(section, "alert", visible(failure.message));
  if (section.id === "start-over") {
    if (!failure.certain) message.append(" This may or may not have happened: look at the balances.");
  } else if (!failure.certain || failure.isRepeated) {
    const what = failure.certain ? "What was sent before" : "This";
    message.append(` ${what} may or may not have been recorded. `, safety());
  }
  const field = section.id === "record" && Object.hasOwn(fields, failure.field) ? fields[failure.field] : null;
  field?.setAttribute("aria-invalid", "true");
  field?.setAttribute("aria-describedby", message.id);
  // Without a field at fault the message takes the focus: on the button, one more Enter would send it again.
  (field ?? message).focus();
  return false;
}

/** When a transfer of unknown outcome may be recorded again. */
function safety() {
  const where = keepKeys() ? "in this tab" : "if this page is not loaded anew,";
  return `To record it again within five minutes ${where} is safe: it counts once. Later it is another payment.`;
}

async function submitForm(event) {
  event.preventDefault();
  if (writing) return;
  const { sender, receiver, amount } = fields;
  const transfer = { sender: sender.value, receiver: receiver.value, amount: amount.valueAsNumber };
  byId("submit").textContent = "Recording…";
  const done = await change(byId("record"), () => record(transfer),
    "Recorded: ", ...phrase(transfer, "paid", "for"), ".");
  byId("submit").textContent = "Record";
  if (!done) return; // what was typed stays
  // Often one person paid for several others, so the payer stays too.
  amount.value = receiver.value = "";
  amount.focus();
}

async function settle(payment) {
  if (!await confirmed("Record payment", "Was it paid? ", ...phrase(payment, "paid", "to"), ".")) return;
  await change(byId("settle"), async () => {
    // Both the payer and the payee may press their button; the second one finds the suggestion gone.
    const current = JSON.parse(await request("/api/clear").catch(nothingSent));
    const same = (other) => ["sender", "receiver", "amount"].every((key) => other[key] === payment[key]);
    if (!current.some(same)) {
      throw failed("Not recorded now: the balances have changed since, perhaps because it was recorded already.",
        { certain: true });
    }
    return record(payment);
  }, "Recorded: ", ...phrase(payment, "paid", "to"), ".");
}

function nothingSent(failure) {
  throw failed(`${failure.message} Nothing was recorded.`, { certain: true });
}

// The server resets upon a GET, so its address must never become a link: browsers may follow links ahead of a click.
async function reset() {
  const question = "Erase every person and every balance, for everybody? This cannot be undone.";
  if (!await confirmed("Erase everything", question)) return;
  await change(byId("start-over"), erase, "Everything was erased.");
}

async function erase() {
  const answer = await request("/api/reset").catch((failure) => {
    // The server's own words are for programs, which can show a token.
    const isRefused = failure.status === 401 || failure.status === 403;
    throw isRefused ? failed("Only the operator can erase this ledger.", { certain: true }) : failure;
  });
  if (answer !== "") throw failed("Something else than the server has answered.");
  return "";
}

/** Asks in a modal dialog, where Cancel has the focus: a repeated Enter or Escape does nothing. */
function confirmed(action, ...question) {
  const dialog = byId("confirm");
  byId("confirm-question").replaceChildren(...question);
  byId("confirm-yes").textContent = action;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

byId("transfer").addEventListener("submit", submitForm);
byId("reset").addEventListener("click", reset);
byId("confirm-no").addEventListener("click", () => byId("confirm").close());
byId("confirm-yes").addEventListener("click", () => byId("confirm").close("yes"));
document.addEventListener("visibilitychange", refreshIfVisible);
window.addEventListener("focus", refreshIfVisible);
refresh();
