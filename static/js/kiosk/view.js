// What the picture alone tells: whether something moved, whether it differs from the scene without anybody in it, and
// since when nobody can have come or left. Browsers find no faces themselves.

/** The size that pictures are compared at. */
export const WIDTH = 48;
export const HEIGHT = 36;
/** A pixel counts as changed from this difference of luma on (0..255); sensor noise stays below it. */
const CHANGED = 18;
/** The share of changed pixels from which a picture is another one. */
const MOTION = 0.015;
/** The share from which it may well show somebody else; who only fidgets changes less. */
const SOMEBODY_ELSE = 0.1;
/** Somebody has left when the empty scene was in view for this long. */
const EMPTY_MS = 1500;
/** Nobody stands that still for so long: what rests is the scene, in another light perhaps. */
const REST_MS = 120_000;

/** @typedef {Uint8ClampedArray} Picture luma, row by row */

/**
 * The share of pixels that changed.
 * @param {Picture} one
 * @param {Picture} other
 */
function difference(one, other) {
  return one.reduce((count, value, index) => count + (Math.abs(value - other[index]) > CHANGED ? 1 : 0), 0) / one.length;
}

/**
 * @param {Picture} one
 * @param {Picture} other
 */
export const alike = (one, other) => difference(one, other) <= MOTION;

export class View {
  /** The last picture. @type {Picture | null} */
  picture = null;
  /** Whether something moved between the last two pictures. */
  moved = false;
  /** Whether the picture differs from the empty scene; `null` while that is not known. @type {boolean | null} */
  occupied = null;
  /** Something moved that was not yet looked into. */
  curious = false;
  /** When somebody last may have come or left: whoever was recognised since is still there. */
  visit = 0;
  /** The scene without anybody. @type {Picture | null} */
  #empty = null;
  #movedAt = 0;
  /** Since when the empty scene is in view again. @type {number | null} */
  #emptySince = null;
  /** What was in view when somebody was last dealt with. @type {{picture: Picture, visit: number} | null} */
  #dealt = null;

  /**
   * Takes the next picture.
   * @param {Picture} picture
   * @param {number} now milliseconds
   */
  look(picture, now) {
    this.moved = this.picture !== null && !alike(picture, this.picture);
    if (!this.picture) this.visit = now;
    if (!this.picture || this.moved) this.#movedAt = now;
    this.picture = picture;
    // What rested is the scene, or somebody who did not stir: they are still there.
    if (now - this.#movedAt >= REST_MS) this.#take(picture);
    if (!this.#empty) {
      if (this.moved) this.broken(now);
    } else if (!alike(picture, this.#empty)) {
      this.#emptySince = null;
      if (!this.occupied) {
        this.occupied = this.curious = true;
        this.broken(now);
      }
    } else if (this.occupied) {
      this.#emptySince ??= now;
      if (now - this.#emptySince >= EMPTY_MS) {
        this.occupied = false;
        this.broken(now);
      }
    }
    if (this.occupied === false) this.curious = false;
    else if (this.moved) this.curious = true;
  }

  /**
   * Somebody may have come or left.
   * @param {number} now
   */
  broken(now) {
    this.visit = now;
  }

  /**
   * Learns the scene without anybody.
   * @param {Picture} picture
   * @param {number} now
   */
  learn(picture, now) {
    this.#take(picture);
    this.broken(now);
  }

  /** @param {Picture} picture */
  #take(picture) {
    this.#empty = picture;
    this.#emptySince = null;
    this.occupied = false;
  }

  /**
   * Whoever is in a picture has their answer, or was saved.
   * @param {Picture} picture
   */
  dealtWith(picture) {
    this.#dealt = { picture, visit: this.visit };
  }

  /** Whether there may be somebody in view who was not dealt with. */
  get somebodyNew() {
    if (this.occupied === false || !this.picture) return false;
    const dealt = this.#dealt;
    return !dealt || dealt.visit !== this.visit || difference(this.picture, dealt.picture) > SOMEBODY_ELSE;
  }
}
