// A store of this browser's database, with transactions that end on the disk.

/**
 * Returns a function that runs one transaction on a store and resolves once it is on the disk.
 * @param {string} name of the database
 * @param {string} store
 * @param {IDBObjectStoreParameters} [options]
 */
export function openStore(name, store, options) {
  /** @type {Promise<IDBDatabase> | undefined} */
  let opened;

  function database() {
    opened ??= new Promise((resolve, reject) => {
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(store, options);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    opened.catch(() => (opened = undefined));
    return opened;
  }

  /**
   * @template T
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => IDBRequest<T>} work
   * @returns {Promise<T>}
   */
  return async (mode, work) => {
    const transaction = (await database()).transaction(store, mode, { durability: 'strict' });
    const request = work(transaction.objectStore(store));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  };
}
