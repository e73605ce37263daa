// Tracks who has punched and has not left, because the next punch of a person who only stays to talk would punch them
// out. Online and offline, a person who stays in view counts as present, however long.

/**
 * A person who was out of view is not punched again before this time; shorter than the cooldown, so that it delays
 * nobody who returns.
 */
export const LINGER_MS = 25_000;

/**
 * @typedef {{kind: string, at: string, name?: string | null}} Last the last punch that the kiosk showed a person
 * @typedef {{seen: number, visit: number | undefined, last?: Last}} Known
 */

export class Presence {
  /** @type {Map<string, Known>} */
  #people = new Map();

  /**
   * Records that a person was recognized.
   * @param {string} employee
   * @param {number} at
   * @param {number} [visit] the view's visit at that time
   * @param {Last} [last]
   */
  saw(employee, at, visit, last) {
    const before = this.#people.get(employee);
    const known = before && before.seen > at ? before : { seen: at, visit };
    this.#people.set(employee, { ...known, last: last ?? before?.last });
  }

  /**
   * Forgets a person who was not the one in front of the camera.
   * @param {string} employee
   */
  mistook(employee) {
    this.#people.delete(employee);
  }

  /**
   * Keeps the people present: there is a face in the same place, but it cannot be identified.
   * @param {number} at
   * @param {number} visit
   * @param {boolean} blind whether the view cannot detect arrivals; then the people present just before count
   */
  doubt(at, visit, blind) {
    for (const employee of this.at(at, visit)) {
      if (blind || this.#people.get(employee)?.visit === visit) this.saw(employee, at, visit);
    }
  }

  /**
   * Returns the people who can still be present at a time.
   * @param {number} at
   * @param {number} [visit] the view's visit at that time
   */
  at(at, visit) {
    const there = (/** @type {[string, Known]} */ [, known]) => Math.abs(at - known.seen) <= LINGER_MS || (visit !== undefined && known.visit === visit);
    return [...this.#people].filter(there).map(([employee]) => employee);
  }

  /**
   * Returns the last punch that the kiosk showed a person.
   * @param {string} employee
   */
  lastOf(employee) {
    return this.#people.get(employee)?.last;
  }
}
