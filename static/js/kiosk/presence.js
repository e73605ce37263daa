// Who has punched and has not left since: the next punch of somebody who only stays to talk would send them out
// again. With a connection or without: who stays in view is there, however long.

/**
 * Somebody who was out of view is not punched again until they were away this long; shorter than the cooldown, so
 * that nobody who comes back is held up by it.
 */
export const LINGER_MS = 25_000;

/**
 * @typedef {{kind: string, at: string, name: string}} Last the punch that somebody was last told of
 * @typedef {{seen: number, visit: number | undefined, last?: Last}} Known
 */

export class Presence {
  /** @type {Map<string, Known>} */
  #people = new Map();

  /**
   * Somebody was recognised.
   * @param {string} employee
   * @param {number} at
   * @param {number} [visit] the view's, at that time
   * @param {Last} [last]
   */
  saw(employee, at, visit, last) {
    const before = this.#people.get(employee);
    const known = before && before.seen > at ? before : { seen: at, visit };
    this.#people.set(employee, { ...known, last: last ?? before?.last });
  }

  /**
   * Whoever may be there still is: there is a face where theirs was, and nobody can say whose.
   * @param {number} at
   * @param {number} visit
   * @param {boolean} blind the view cannot tell who came and left: then those count who were there just before
   */
  doubt(at, visit, blind) {
    for (const employee of this.at(at, visit)) {
      if (blind || this.#people.get(employee)?.visit === visit) this.saw(employee, at, visit);
    }
  }

  /**
   * Who may still be there at a time.
   * @param {number} at
   * @param {number} [visit] the view's, at that time
   */
  at(at, visit) {
    const there = ([, known]) => Math.abs(at - known.seen) <= LINGER_MS || (visit !== undefined && known.visit === visit);
    return [...this.#people].filter(there).map(([employee]) => employee);
  }

  /**
   * What somebody was last told.
   * @param {string} employee
   */
  lastOf(employee) {
    return this.#people.get(employee)?.last;
  }
}
