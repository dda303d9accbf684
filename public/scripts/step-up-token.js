// The step-up token: the second secret of a sensitive request. A client sends its access token to other services too,
// where it may be stolen. It sends the step-up token only to this service, with the requests that need it.

import { session } from "./session.js";

/** Seconds for which the step-up token of a login is valid. The login's response does not contain this number. */
const LIFETIME = 600;

let token = null;
/** When it expires, in milliseconds of `performance.now()`: the device's clock may be wrong. */
let expiresAt = 0;

session.addEventListener("change", ({ detail: { isRenewal } }) => {
  if (!isRenewal) keepStepUpToken({ step_up_token: session.tokens?.step_up_token, expires_in: LIFETIME });
});

/** Keep the step-up token of a response in memory. It replaces the one before, as it does on the server. */
export function keepStepUpToken({ step_up_token = null, expires_in }) {
  token = step_up_token;
  expiresAt = performance.now() + 1000 * expires_in;
}

/** Forget the step-up token. Each passkey added or removed, for example, deletes it on the server. */
export function forgetStepUpToken() {
  token = null;
}

/** Send a sensitive request: with the access token and, unless it has expired, the step-up token. */
export function sensitiveCall(method, path, body) {
  return session.call(method, path, body, { stepUpToken: performance.now() < expiresAt ? token : null });
}
