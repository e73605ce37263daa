// Analyzes pictures without finding faces, which browsers cannot do: whether something moved, whether the picture
// differs from the empty scene, and since when nobody can have come or left.

/** The size at which pictures are compared. */
export const WIDTH = 48;
export const HEIGHT = 36;
/** A pixel has changed if its luma differs by more than this (0..255); sensor noise stays below. */
const CHANGED = 18;
/** A picture has changed if more than this share of its pixels has. */
const MOTION = 0.015;
/** Above this share the picture can show another person; a person who fidgets changes less. */
const SOMEBODY_ELSE = 0.1;
/** A person has left once the empty scene was in view for this long. */
const EMPTY_MS = 1500;
/** Nobody stands still for this long: an unmoving picture is the scene, possibly in other light. */
const REST_MS = 120_000;

/** @typedef {Uint8ClampedArray} Picture luma, row by row */

/**
 * Returns the share of pixels that changed.
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
  /** Whether the picture differs from the empty scene; `null` while the scene is not known. @type {boolean | null} */
  occupied = null;
  /** Whether motion still has to be checked. */
  curious = false;
  /** When a person last can have come or left: a person recognized since then is still present. */
  visit = 0;
  /** When something last moved. */
  movedAt = 0;
  /** The empty scene. @type {Picture | null} */
  #empty = null;
  /** Since when the empty scene is in view again. @type {number | null} */
  #emptySince = null;
  /** The view when a person last got an answer or was saved. @type {{picture: Picture, visit: number} | null} */
  #dealt = null;

  /**
   * Takes the next picture.
   * @param {Picture} picture
   * @param {number} now milliseconds
   */
  look(picture, now) {
    this.moved = this.picture !== null && !alike(picture, this.picture);
    if (!this.picture) this.visit = now;
    if (!this.picture || this.moved) this.movedAt = now;
    this.picture = picture;
    // An unmoving picture is the scene, or a person who does not move: so the visit does not end.
    if (now - this.movedAt >= REST_MS) this.#take(picture);
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
   * Records that a person can have come or left.
   * @param {number} now
   */
  broken(now) {
    this.visit = now;
  }

  /**
   * Learns the empty scene.
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
   * Records that the person in a picture has an answer or was saved.
   * @param {Picture} picture
   */
  dealtWith(picture) {
    this.#dealt = { picture, visit: this.visit };
  }

  /** Whether a new person can be in view, without an answer yet. */
  get somebodyNew() {
    if (this.occupied === false || !this.picture) return false;
    const dealt = this.#dealt;
    return !dealt || dealt.visit !== this.visit || difference(this.picture, dealt.picture) > SOMEBODY_ELSE;
  }
}
