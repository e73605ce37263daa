// Passkeys of this browser and device: makes and uses them, and explains why that did not work.

import { Explained } from '../api.js';

/** Why a passkey was not made or used; `message` says what to do. */
export class PasskeyError extends Explained {}

/** Whether this browser can use passkeys on this page. */
export const hasPasskeys = () => window.isSecureContext && Boolean(window.PublicKeyCredential?.parseRequestOptionsFromJSON);

/**
 * Makes a passkey with the options of the service. Returns what the service takes.
 * @param {any} options
 */
export async function makePasskey(options) {
  try {
    return toJson(await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) }));
  } catch (error) {
    if (nameOf(error) === 'InvalidStateError') throw new PasskeyError('this device already has a passkey for your account');
    throw inWords(error, 'no passkey was made: it was canceled, or took too long');
  }
}

/**
 * Uses a passkey with the options of the service. Returns what the service takes.
 * @param {any} options
 */
export async function usePasskey(options) {
  try {
    return toJson(await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) }));
  } catch (error) {
    throw inWords(error, 'no passkey was used: it was canceled, took too long, or this device has none for this account');
  }
}

/** @param {Credential | null} credential */
const toJson = (credential) => /** @type {PublicKeyCredential} */ (credential).toJSON();

/** @param {unknown} error */
const nameOf = (error) => (error instanceof DOMException ? error.name : '');

/** @param {unknown} error @param {string} refused */
function inWords(error, refused) {
  if (nameOf(error) === 'NotAllowedError' || nameOf(error) === 'AbortError') return new PasskeyError(refused);
  if (nameOf(error) === 'SecurityError') return new PasskeyError('this passkey belongs to another address: open Rollcall at its usual address');
  return new PasskeyError(`the browser cannot use the passkey: ${error instanceof Error ? error.message : error}`);
}
