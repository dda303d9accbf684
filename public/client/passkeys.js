// WebAuthn ceremonies in the browser. A ceremony needs three calls: request options from the server, pass them to
// navigator.credentials, and send the resulting credential to the server.

import { authenticationJson, creationOptions, registrationJson, requestOptions } from "./credential-json.js";

/** Whether this browser supports WebAuthn on this page. WebAuthn needs HTTPS, except on localhost. */
export const isSupported = Boolean(globalThis.PublicKeyCredential && navigator.credentials?.create);

/**
 * Add a passkey (WebAuthn section 7.1), and return the body of the server's last response.
 *
 * - `begin()` requests the options, and `complete({challenge_id, credential})` sends the credential.
 * - `signal` cancels the browser's part. `mediation` is that of `navigator.credentials.get()`.
 * - `on(step, detail)` is called at each step and may return a promise, for which the ceremony waits: "begin", "options"
 *   (the response), "ask" (the options), "asking", "credential" (the JSON that `complete` gets) and "done" (the response).
 *   An AbortError of `on` stops the ceremony, unless the server has accepted the passkey already.
 *
 * Throws a Problem of the server, an AbortError after `signal`, or an Error with a text for the user.
 */
export function createPasskey(parts) {
  return runCeremony(parts, (json, options) => navigator.credentials.create({ publicKey: creationOptions(json), ...options }), registrationJson);
}

/** Use a passkey (WebAuthn section 7.2): log in or step up. The parameters are those of `createPasskey`. */
export function usePasskey(parts) {
  return runCeremony(parts, (json, options) => navigator.credentials.get({ publicKey: requestOptions(json), ...options }), authenticationJson);
}

async function runCeremony({ begin, complete, signal, mediation, on = () => {} }, ask, toJson) {
  await on("begin");
  const begun = await begin();
  const { challenge_id, options } = begun.body;
  await on("options", begun);
  await on("ask", options);
  const credential = toJson(await askUser(() => ask(options, { signal, mediation }), on));
  await on("credential", { challenge_id, credential });
  const completed = await complete({ challenge_id, credential });
  try {
    await on("done", completed);
  } catch (error) {
    // The server has accepted the passkey, so the caller gets the response even if the observer has stopped.
    if (error?.name !== "AbortError") throw error;
  }
  return completed.body;
}

/** Wait while the browser asks the user for a passkey. Throws an Error with a text for the user if that fails. */
async function askUser(ask, on) {
  const answer = ask();
  answer.catch(() => {}); // If `on` throws first, nothing else handles the failure of `answer`.
  await on("asking");
  try {
    return await answer;
  } catch (error) {
    // A password manager may reject with any value, not only with an Error.
    if (error?.name === "AbortError") throw error;
    throw new Error(REASONS[error?.name] ?? `The browser reports: ${error?.message ?? error}`, { cause: error });
  }
}

const REASONS = {
  // The browser gives many reasons the same name, so that a page cannot learn who has a passkey (14.5.1 and 14.5.2).
  NotAllowedError:
    "The passkey was not used: you cancelled, the time was up, or this device has no matching passkey. To protect your " +
    "privacy, the browser does not report which.",
  InvalidStateError: "This authenticator already has a passkey of this account (excludeCredentials).",
  SecurityError: "The domain of this page does not match the relying party's id.",
};
