// The keys of transfers that were sent without a good answer: sent again, each counts once.
//
// A browser sends a request again by itself, a POST too, when a connection that it has used before ends without an
// answer; and people press a button again. By its key the server knows that it is the same transfer. Some minutes
// after the last of them it is more likely another one.

import { named } from "./names.mjs";

// A minute more than the page promises.
const SAME_MS = 6 * 60_000;

export class Keys {
  #storage;
  #now;
  #newKey;
  // By what was sent: its key, and since when there is no good answer.
  #unanswered;

  /** `storage` gives what keeps the keys over a reload, or throws. */
  constructor({ storage, now, newKey }) {
    this.#storage = storage;
    this.#now = now;
    this.#newKey = newKey;
    this.#unanswered = new Map(this.#kept());
  }

  /**
   * Sends a transfer by `send(key)`, and answers whether it was sent before, without a good answer. A failure says
   * that too, as `isRepeated`.
   */
  async once({ sender, receiver, amount }, send) {
    const sent = JSON.stringify([named(sender), named(receiver), amount]);
    this.#forgetOld();
    const isRepeated = this.#unanswered.has(sent);
    const key = this.#unanswered.get(sent)?.key ?? this.#newKey();
    const remember = () => this.#unanswered.set(sent, { key, since: this.#now() });
    remember();
    this.keep();
    try {
      await send(key);
      this.#unanswered.delete(sent);
    } catch (failure) {
      // What was sent before may be made yet, whatever becomes of this one.
      failure.isRepeated = isRepeated;
      if (failure.certain && !isRepeated) this.#unanswered.delete(sent);
      else remember();
      throw failure;
    } finally {
      this.keep();
    }
    return isRepeated;
  }

  /** Keeps the keys over a reload; false where the browser does not let us. */
  keep() {
    try {
      this.#storage().setItem("unanswered", JSON.stringify([...this.#unanswered]));
      return true;
    } catch {
      return false;
    }
  }

  #kept() {
    try {
      // The clock may have been set back before the page was loaded again.
      const notLater = ([sent, { key, since }]) => [sent, { key, since: Math.min(since, this.#now()) }];
      return (JSON.parse(this.#storage().getItem("unanswered")) ?? []).map(notLater);
    } catch {
      return [];
    }
  }

  #forgetOld() {
    for (const [sent, { since }] of this.#unanswered) {
      // The clock may be set back while the page is open, too.
      if (Math.abs(this.#now() - since) > SAME_MS) this.#unanswered.delete(sent);
    }
  }
}
