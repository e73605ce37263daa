// Copies text, even where the browser gives pages no clipboard (plain http on another host).

/**
 * Copies the text of an input. If the browser refuses, returns false and leaves the text selected.
 * @param {HTMLInputElement | HTMLTextAreaElement} input
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
