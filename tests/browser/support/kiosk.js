// Kiosks for tests.

/** An upright tablet. */
export const TABLET = { viewport: { width: 800, height: 1280 } };

/** Opens a new kiosk, paired by its link. */
export async function openKiosk(server, browser, name, options = TABLET) {
  const device = await server.addDevice(name);
  const kiosk = await browser.page({ server, ...options });
  await kiosk.goto(`/kiosk#${device.token}`);
  await kiosk.getByText('Connected', { exact: true }).waitFor();
  return { kiosk, device };
}

/** Types a staff number and a PIN on the open pad. */
export async function typePin(kiosk, code, pin) {
  const pad = kiosk.getByRole('dialog');
  await pad.getByLabel('Staff number').fill(code);
  await pad.getByLabel('PIN').fill(pin);
  await pad.getByRole('button', { name: 'Punch' }).click();
}

/** Types as a scanner does: without a pause. */
export async function scan(kiosk, code, end = 'Enter') {
  await kiosk.evaluate(
    ([code, end]) => {
      const press = (key, code) => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key, code, bubbles: true, cancelable: true }));
      for (const digit of code) press(digit, `Digit${digit}`);
      press(end, end);
    },
    [code, end],
  );
}

/** Returns what is saved in the kiosk's database `name`, as far as JSON can show it. */
export function recordsIn(kiosk, database, store) {
  return kiosk.evaluate(
    ([database, store]) =>
      new Promise((resolve, reject) => {
        const opened = indexedDB.open(database);
        opened.onerror = () => reject(opened.error);
        opened.onsuccess = () => {
          opened.result.transaction(store).objectStore(store).getAll().onsuccess = ({ target }) =>
            resolve(target.result.map((one) => (one instanceof CryptoKey ? { extractable: one.extractable } : one)));
        };
      }),
    [database, store],
  );
}
