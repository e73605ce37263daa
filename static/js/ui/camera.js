// The camera of this device: opens it, grabs frames, and explains why it does not work.

/** A camera that cannot be used; `message` says what to do about it. */
export class CameraError extends Error {
  /**
   * @param {string} title
   * @param {string} message
   */
  constructor(title, message) {
    super(message);
    this.name = 'CameraError';
    this.title = title;
  }
}

/**
 * Opens the camera that looks at the person and plays it in `video`.
 * @param {HTMLVideoElement} video
 * @returns {Promise<MediaStream>}
 */
export async function openCamera(video) {
  if (!window.isSecureContext) {
    throw new CameraError(
      'No camera at this address',
      'Browsers allow the camera only on https pages and on localhost. Open this page over https, or on the server itself as http://localhost.',
    );
  }
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new CameraError('No camera in this browser', 'This browser does not let pages use a camera. Use a current Chrome, Edge, Firefox or Safari.');
  }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { facingMode: 'user', width: { ideal: 1280 }, height: { ideal: 720 } },
    });
    video.srcObject = stream;
    await video.play();
    return stream;
  } catch (error) {
    throw inWords(/** @type {DOMException} */ (error));
  }
}

/** @param {DOMException} error */
function inWords(error) {
  switch (error.name) {
    case 'NotAllowedError':
      return new CameraError(
        'The camera is not allowed',
        'The browser blocks the camera for this page. Allow it with the camera icon in the address bar or in the site settings, then try again.',
      );
    case 'NotFoundError':
    case 'OverconstrainedError':
      return new CameraError('No camera found', 'Connect a camera to this device, then try again.');
    case 'NotReadableError':
    case 'AbortError':
      return new CameraError('The camera is busy', 'Another program or page uses the camera. Close it, then try again.');
    default:
      return new CameraError('The camera does not start', `The browser says: ${error.message || error.name}. Reconnect the camera, then try again.`);
  }
}

/**
 * Ends a stream, so that the camera's light turns off.
 * @param {MediaStream | null | undefined} stream
 */
export function closeCamera(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/**
 * Returns the current frame of the video as a JPEG, not mirrored.
 * @param {HTMLVideoElement} video
 * @param {number} maxSide greatest length of the longer side, pixels
 * @param {number} quality 0..1
 * @returns {Promise<Blob>}
 */
export function grabFrame(video, maxSide, quality) {
  return toJpeg(video, video.videoWidth, video.videoHeight, maxSide, quality);
}

/**
 * Draws a picture whose longer side has at most `maxSide` pixels and encodes it as a JPEG.
 * @param {CanvasImageSource} source
 * @param {number} width
 * @param {number} height
 * @param {number} maxSide
 * @param {number} quality
 * @returns {Promise<Blob>}
 */
export function toJpeg(source, width, height, maxSide, quality) {
  const scale = Math.min(1, maxSide / Math.max(width, height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.getContext('2d')?.drawImage(source, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('could not encode the frame'))), 'image/jpeg', quality);
  });
}

/** The longer side of a reduced file, pixels: a face fills enough of it. */
const FILE_SIDE = 2048;
/** Larger images are reduced, pixels. */
const LARGE_IMAGE = 16_000_000;
const FILE_QUALITY = 0.92;

/**
 * Reduces a photo with more bytes than `large`, or very many pixels. If the browser cannot read a file, the server gets
 * it unchanged and says what is wrong.
 * @param {File} file
 * @param {number} large bytes
 * @returns {Promise<Blob>}
 */
export async function smaller(file, large) {
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' });
    if (file.size <= large && bitmap.width * bitmap.height <= LARGE_IMAGE) {
      bitmap.close();
      return file;
    }
    return await toJpeg(bitmap, bitmap.width, bitmap.height, FILE_SIDE, FILE_QUALITY);
  } catch {
    return file;
  }
}
