// Copying text, also where the browser gives pages no clipboard (plain http on another host).

/**
 * Copies what an input holds; false when the browser does not let us, and then the text is left selected.
 * @param {HTMLInputElement} input
 * @returns {Promise<boolean>}
 */
export async function copyFrom(input) {
  input.focus();
  input.select();
  try {
    await navigator.clipboard.writeText(input.value);
    return true;
  } catch {
    return document.execCommand('copy');
  }
}
