// Takes small pictures from the camera to compare, and bursts of frames to send.

import { grabFrame } from '../ui/camera.js';
import { HEIGHT, WIDTH } from './view.js';

/** Longer side of a sent frame, pixels: enough for a face two meters away. */
const FRAME_SIDE = 960;
const FRAME_QUALITY = 0.9;

const canvas = Object.assign(document.createElement('canvas'), { width: WIDTH, height: HEIGHT });
const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true }));

/**
 * Returns the current view as a small picture to compare.
 * @param {HTMLVideoElement} video
 */
export function glance(video) {
  context.drawImage(video, 0, 0, WIDTH, HEIGHT);
  return luma(context.getImageData(0, 0, WIDTH, HEIGHT).data);
}

/** @param {Uint8ClampedArray} rgba */
function luma(rgba) {
  const values = new Uint8ClampedArray(rgba.length / 4);
  for (let pixel = 0; pixel < values.length; pixel += 1) {
    const at = pixel * 4;
    values[pixel] = 0.299 * rgba[at] + 0.587 * rgba[at + 1] + 0.114 * rgba[at + 2];
  }
  return values;
}

/**
 * @typedef {object} Burst
 * @property {string} key the `Idempotency-Key` of every attempt to send it
 * @property {number} capturedAt milliseconds since 1970, by this device's clock
 * @property {Blob[]} frames
 */

/**
 * Takes a few frames with short pauses: people move, and different frames are better evidence than equal ones.
 * @param {HTMLVideoElement} video
 * @param {number} count
 * @param {number} apart milliseconds
 * @returns {Promise<Burst>}
 */
export async function takeBurst(video, count, apart) {
  const burst = { key: newKey(), capturedAt: Date.now(), frames: [await takeFrame(video)] };
  while (burst.frames.length < count) {
    await sleep(apart);
    burst.frames.push(await takeFrame(video));
  }
  return burst;
}

/** @param {HTMLVideoElement} video */
export const takeFrame = (video) => grabFrame(video, FRAME_SIDE, FRAME_QUALITY);

/** Returns 128 random bits. `crypto.randomUUID` exists on secure pages only, as the camera does, but PINs work anywhere. */
export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Returns a burst without frames, for a PIN or a badge. @returns {Burst} */
export const withoutFrames = () => ({ key: newKey(), capturedAt: Date.now(), frames: [] });

/** @param {number} milliseconds */
export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
