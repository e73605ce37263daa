// Who has punched and has not left since: the next punch of somebody who only stays to talk would send them out
// again.

/**
 * Somebody who stays in front of the camera after a punch is not punched again until they were away this
 * long; shorter than the cooldown, so that nobody who comes back is held up by it.
 */
export const LINGER_MS = 25_000;
/** A face that cannot be told may be that of who stays and looks away: for this long after they were last known. */
const DOUBT_MS = 120_000;

export class Presence {
  /** @type {Map<string, {known: number, seen: number}>} */
  #people = new Map();

  /**
   * Somebody was recognised.
   * @param {string} employee
   * @param {number} at
   */
  saw(employee, at) {
    const { known = 0, seen = 0 } = this.#people.get(employee) ?? {};
    this.#people.set(employee, { known: Math.max(known, at), seen: Math.max(seen, at) });
  }

  /**
   * There is a face, and nobody can say whose: it may be that of anybody who was there before.
   * @param {number} at
   */
  doubt(at) {
    for (const employee of this.at(at)) this.#people.set(employee, { .../** @type {any} */ (this.#people.get(employee)), seen: at });
  }

  /**
   * Who may still be there at a time.
   * @param {number} at
   */
  at(at) {
    const there = [...this.#people].filter(([, { known, seen }]) => Math.abs(at - seen) <= LINGER_MS && at - known <= DOUBT_MS);
    return there.map(([employee]) => employee);
  }
}
