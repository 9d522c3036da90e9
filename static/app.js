// The page of SplitDim. It holds no truth of its own: it shows what the server says and sends what the user enters.
// It sends nothing again by itself, for whoever recorded a payment should know what became of it.
//
// What needs no browser is in modules beside it, which tests/page tries by node. They are named .mjs, by which node
// takes them for modules without a package.json.

import { Keys } from "./keys.mjs";
import { named, visible } from "./names.mjs";
import { failed, request, send } from "./server.mjs";

const POLL_MS = 5_000;

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

// Where the browser keeps nothing, even to name sessionStorage throws.
const keys = new Keys({ storage: () => sessionStorage, now: Date.now, newKey });

// crypto.randomUUID is there by HTTPS only.
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

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
  const where = keys.keep() ? "in this tab" : "if this page is not loaded anew,";
  return `To record it again within five minutes ${where} is safe: it counts once. Later it is another payment.`;
}

/** Records a transfer, and answers what else is to be said of that. */
async function record(transfer) {
  const isRepeated = await keys.once(transfer, (key) => send(transfer, key));
  return isRepeated ? " It counts once, together with what was sent before." : "";
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
