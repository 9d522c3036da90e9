// Talking to the server, and what its answers mean: what surely did not happen, and what may have happened.

const TIMEOUT_MS = 20_000;
const OUTCOME_MS = 10_000;
const OUTCOME_POLL_MS = 1_000;

/**
 * An error to be shown. `certain` says that surely nothing changed on the server; `transfer` is where the server
 * tells later what became of a transfer; `status` is that of its answer.
 */
export const failed = (message, { certain = false, field = null, transfer = null, status = null } = {}) =>
  Object.assign(new Error(message), { certain, field, transfer, status });

/** The text of a good answer. */
export async function request(path, options = {}) {
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
  const when = seconds > 0 ? `in ${new Intl.NumberFormat().format(seconds)} s` : "in a moment";
  throw failed(`${detail} Nothing was changed; try again ${when}.`, { certain: true });
}

/** Posts a transfer. Where the server does not know yet what becomes of it, this ends when that is known. */
export async function send(transfer, key) {
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
