// Keeps bursts that could not be sent in this browser's database until the server has accepted them.

const DATABASE = 'rollcall-kiosk';
const STORE = 'bursts';

/** Most bursts that are kept (about 300 KB each); the last ones are for people who press the button. */
export const MOST_SAVED = 2000;
export const MOST_BY_MOTION = 1800;

/**
 * `byHand`: the person pressed the button; `visit`: the view's visit at the capture; `look`: the look that it was sent
 * as, without an answer; `failures`: how often the service failed at it.
 * @typedef {import('./eyes.js').Burst & {byHand: boolean, visit?: number, look?: number, failures?: number}} Kept
 * @typedef {Kept & {id: number, refused?: string}} Saved
 */

/** @type {Promise<IDBDatabase> | undefined} */
let opened;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'id', autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  opened.catch(() => (opened = undefined));
  return opened;
}

/**
 * Runs one transaction; resolves once it is on the disk.
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} work
 * @returns {Promise<T>}
 */
async function within(mode, work) {
  const transaction = (await database()).transaction(STORE, mode, { durability: 'strict' });
  const request = work(transaction.objectStore(STORE));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

/** @returns {Promise<number>} */
export const countSaved = () => within('readonly', (store) => store.count());

/** Lists all saved bursts in the order of capture. @returns {Promise<Saved[]>} */
export const listSaved = () => within('readonly', (store) => store.getAll());

/** @param {Kept} burst */
export const save = (burst) => within('readwrite', (store) => store.add(burst));

/** @param {Saved} burst */
export const forget = (burst) => within('readwrite', (store) => store.delete(burst.id));

/** Replaces a saved burst. @param {Saved} burst */
export const change = (burst) => within('readwrite', (store) => store.put(burst));

/**
 * Marks a burst that the server will never accept; it stays saved, so that an admin can find out why.
 * @param {Saved} burst
 * @param {string} why
 */
export const markRefused = (burst, why) => change({ ...burst, refused: why });
