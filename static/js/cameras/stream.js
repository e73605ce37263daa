// Reads live pictures from an endless answer: JPEG after JPEG, each in a part with its length.

import { goToSignIn, readAnswer } from '../api.js';

const HEAD_ENDS = [13, 10, 13, 10];
const HEAD_MOST = 1024;

/**
 * Calls `show` with each picture until the answer ends. Throws if the service refuses.
 * @param {string} path
 * @param {AbortSignal} signal
 * @param {(picture: Blob) => Promise<void>} show
 */
export async function followPictures(path, signal, show) {
  const response = await fetch(path, { signal });
  if (response.status === 401) goToSignIn();
  if (!response.ok || !response.body) {
    await readAnswer(response);
    return;
  }
  const reader = response.body.getReader();
  let bytes = new Uint8Array();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    bytes = joined(bytes, value);
    for (let part = firstPart(bytes); part; part = firstPart(bytes)) {
      bytes = bytes.slice(part.end);
      await show(new Blob([part.jpeg], { type: 'image/jpeg' }));
    }
  }
}

/**
 * Returns the first complete picture and where it ends.
 * @param {Uint8Array} bytes
 */
function firstPart(bytes) {
  const begin = headEnd(bytes);
  if (begin === null) return null;
  const head = new TextDecoder().decode(bytes.subarray(0, begin));
  const length = Number(/^content-length: *(\d+)/imu.exec(head)?.[1]);
  if (!Number.isSafeInteger(length)) throw new Error('a part without its length');
  const end = begin + length;
  return bytes.length < end ? null : { jpeg: bytes.slice(begin, end), end };
}

/** @param {Uint8Array} bytes */
function headEnd(bytes) {
  const most = Math.min(bytes.length, HEAD_MOST) - HEAD_ENDS.length;
  for (let at = 0; at <= most; at += 1) {
    if (HEAD_ENDS.every((byte, place) => bytes[at + place] === byte)) return at + HEAD_ENDS.length;
  }
  return null;
}

/**
 * @param {Uint8Array} one
 * @param {Uint8Array} other
 */
function joined(one, other) {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}
