// Markup, hooks and signals for the pages, in one import.

import htm from 'htm';
import { h } from 'preact';

export { computed, signal, useComputed, useSignal } from '@preact/signals';
export { Fragment, render } from 'preact';
export { useCallback, useEffect, useId, useMemo, useRef, useState } from 'preact/hooks';

/** Turns a template into elements: html`<p>${text}</p>`. Data becomes text, never markup. */
export const html = htm.bind(h);

/** @typedef {import('preact').ComponentChildren} Children what an element may contain */
