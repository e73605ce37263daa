// Lengths of time as people type them, "7:30" or "30" minutes, and as the API has them, "7h30m".

const MINUTE = 60;
const HOUR = 3600;
const API = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/u;
const TYPED = /^(\d+)(?:[:.,](\d+))?$/u;

/**
 * Returns the seconds of a length in the API.
 * @param {string | null | undefined} length "7h30m"
 */
export function secondsOf(length) {
  const [, h = '0', m = '0', s = '0'] = API.exec(length ?? '') ?? [];
  return Number(h) * HOUR + Number(m) * MINUTE + Number(s);
}

/** Returns a length as people type it in hours, "7:30"; nothing for none. @param {string | null | undefined} length */
export function typedHours(length) {
  if (!length || !API.test(length) || secondsOf(length) % MINUTE !== 0) return length ?? '';
  const minutes = secondsOf(length) / MINUTE;
  return `${Math.trunc(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}`;
}

/** Returns a length as people type it in minutes, "30"; nothing for none. @param {string | null | undefined} length */
export function typedMinutes(length) {
  if (!length || !API.test(length) || secondsOf(length) % MINUTE !== 0) return length ?? '';
  return String(secondsOf(length) / MINUTE);
}

/**
 * Returns the length for the API of what was typed as hours: "7:30", "7.5" or "8". Anything else stays as it is, so that
 * the service says what is wrong.
 * @param {string} typed
 */
export function hoursLength(typed) {
  const text = typed.trim();
  const [, whole, part = ''] = TYPED.exec(text) ?? [];
  if (whole === undefined) return text;
  const minutes = text.includes(':') ? Number(part) : Math.round(Number(`0.${part || '0'}`) * 60);
  return minutes < 60 && !(text.includes(':') && part.length !== 2) ? `${whole}h${minutes}m` : text;
}

/** Returns the length for the API of what was typed as minutes. @param {string} typed */
export function minutesLength(typed) {
  const text = typed.trim();
  return /^\d+$/u.test(text) ? `${text}m` : text;
}
