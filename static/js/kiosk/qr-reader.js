// A worker that reads QR codes in pictures.

import { decodeQR } from '/static/vendor/qr/decode.js';

/** @param {unknown} texts */
const answer = (texts) => globalThis.postMessage(texts);

/** @param {MessageEvent<{data: Uint8ClampedArray, width: number, height: number}>} event */
globalThis.onmessage = ({ data }) => {
  try {
    answer([decodeQR(data)]);
  } catch {
    answer([]);
  }
};
answer([]);
