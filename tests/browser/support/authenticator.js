// Chromium's virtual authenticator: makes and uses passkeys without a person.

/** Gives an open page of the service an authenticator that verifies its user; returns a function that sends it other commands. */
export async function addAuthenticator(page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  const options = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', { options });
  return (command, more = {}) => devtools.send(`WebAuthn.${command}`, { authenticatorId, ...more });
}
