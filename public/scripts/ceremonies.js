// The page's side of the two WebAuthn ceremonies. Each step has a description in flows.js, and shows its messages there.
//
// A ceremony needs three calls: request options from the server, pass them to navigator.credentials, and send the
// resulting credential to the server. The other code here decodes the messages to show them.

import { call } from "./api.js";
import { decode } from "./base64url.js";
import { authenticationChecks, registrationChecks } from "./checks.js";
import { authenticationJson, creationOptions, registrationJson, requestOptions } from "./credential-json.js";
import { find, say } from "./elements.js";
import { session } from "./session.js";
import { sensitiveCall } from "./step-up-token.js";
import {
  decodeAttestationObject, decodeAuthenticatorData, decodeClientData, FLAGS_IN_WORDS, sha256,
} from "./webauthn-data.js";

/** Whether this browser supports WebAuthn on this page. WebAuthn needs HTTPS, except on localhost. */
export const isSupported = Boolean(globalThis.PublicKeyCredential && navigator.credentials?.create);

const UNSEEN = "A page cannot see this message. It is reconstructed here from the options and the result.";
const UNREADABLE = "This page cannot decode the authenticator's bytes. The server decodes and verifies them itself.";

// --- Registration (WebAuthn section 7.1) ---------------------------------------------------------------------------

/** Add a passkey to the account that is logged in. `name` may be empty. */
export function registerPasskey(run, name) {
  return run.during(async () => {
    // The access token identifies the user. An attacker who has stolen only the access token has no step-up token.
    await run.reach("begin", [request("/webauthn/register/begin", {}, "with the access token and the step-up token")]);
    const begun = await sensitiveCall("POST", "/webauthn/register/begin", {});

    // 5.4: the options as JSON. They contain base64url instead of bytes, and are converted as in 5.1.8.
    const { challenge_id, options } = begun.body;
    run.marked = options.challenge;
    await run.reach("options", [response(begun)]);
    const publicKey = creationOptions(options);

    // 6.3.2: the browser and the authenticator exchange messages until the user has agreed.
    const command = {
      hash: "SHA-256 of the client data, which the browser writes next",
      rpEntity: options.rp,
      userEntity: options.user,
      credTypesAndPubKeyAlgs: options.pubKeyCredParams,
      excludeCredentialDescriptorList: options.excludeCredentials ?? [],
      authenticatorSelection: options.authenticatorSelection,
    };
    await run.reach("make", [unseen("authenticatorMakeCredential", command)]);
    const credential = await askUser(run, () => navigator.credentials.create({ publicKey, signal: run.signal }));

    // 5.1: the response as JSON, RegistrationResponseJSON.
    const json = registrationJson(credential);
    const clientData = tryTo(() => decodeClientData(json.response.clientDataJSON));
    const attestation = tryTo(() => decodeAttestationObject(json.response.attestationObject));
    const hash = await sha256(decode(json.response.clientDataJSON));
    run.show("make", [unseen("authenticatorMakeCredential", { ...command, hash })]);
    run.show("consent", [flags(attestation?.authData)]);
    await run.reach("attested", [decoded("Attestation object", attestation)]);
    await run.reach("credential", [decoded("Client data", clientData), { title: "RegistrationResponseJSON", json }]);

    // 7.1: the relying party verifies the credential.
    const body = { challenge_id, credential: json, ...(name && { name }) };
    await run.reach("complete", [request("/webauthn/register/complete", body, "with the access token")]);
    const completed = await session.call("POST", "/webauthn/register/complete", body);
    const seen = { options, credential: json, clientData, authenticatorData: attestation?.authData };
    await run.reach("checks", await comparisons(registrationChecks, seen));
    await run.reach("stored", [response(completed)]);
    run.finish();
    return completed.body;
  });
}

// --- Authentication (WebAuthn section 7.2) -------------------------------------------------------------------------

/** Show the steps of a correct password. `answer` is the response of the login, with the mfa_token. */
export function showPasswordStep(run, email, answer) {
  return run.during(async () => {
    await run.reach("password", [request("/login", { email, password: "(not shown)" })]);
    await run.reach("mfa", [response(answer)]);
  });
}

/** Log in with a passkey and return the token pair. With an `mfa_token` the passkey is the second factor. */
export function logInWithPasskey(run, mfa_token) {
  return run.during(() =>
    authenticate(run, {
      begin: "/webauthn/login/begin",
      beginning: mfa_token ? { mfa_token } : {},
      complete: "/webauthn/login/complete",
      send: (path, body) => call("POST", path, { body }),
    }),
  );
}

/**
 * Step up with a passkey. Return `{step_up_token, expires_in}`. `problem` is the 403 that requires the step-up. Set
 * `current_password` if the server does not accept the passkey alone.
 */
export function stepUpWithPasskey(run, problem, current_password) {
  return run.during(async () => {
    await run.reach("refused", [response({ status: problem.status, body: problem.document })]);
    return authenticate(run, {
      begin: "/step-up",
      beginning: {},
      complete: "/step-up",
      more: current_password === undefined ? {} : { current_password },
      note: "with the access token",
      send: (path, body) => session.call("POST", path, body),
    });
  });
}

/** Step up with the password. Return `{step_up_token, expires_in}`. */
export function stepUpWithPassword(run, problem, current_password) {
  return run.during(async () => {
    await run.reach("refused", [response({ status: problem.status, body: problem.document })]);
    await run.reach("complete", [request("/step-up", hidePassword({ current_password }), "with the access token")]);
    const completed = await session.call("POST", "/step-up", { current_password });
    await run.reach("tokens", [response(completed)]);
    run.finish();
    return completed.body;
  });
}

async function authenticate(run, { begin, beginning, complete, more = {}, note, send }) {
  await run.reach("begin", [request(begin, beginning, note)]);
  const begun = await send(begin, beginning);

  // 5.5: the options, converted by 5.1.9.
  const { challenge_id, options } = begun.body;
  run.marked = options.challenge;
  await run.reach("options", [response(begun)]);
  const publicKey = requestOptions(options);

  // 6.3.3: the authenticator finds a key of this site, the user agrees, and the key signs.
  const command = {
    rpId: options.rpId,
    hash: "SHA-256 of the client data, which the browser writes next",
    allowCredentialDescriptorList: options.allowCredentials ?? [],
    userVerification: options.userVerification,
  };
  await run.reach("get", [unseen("authenticatorGetAssertion", command)]);
  const credential = await askUser(run, () => navigator.credentials.get({ publicKey, signal: run.signal }));

  // 5.1: the response as JSON, AuthenticationResponseJSON.
  const json = authenticationJson(credential);
  const clientData = tryTo(() => decodeClientData(json.response.clientDataJSON));
  const authenticatorData = tryTo(() => decodeAuthenticatorData(json.response.authenticatorData));
  const hash = await sha256(decode(json.response.clientDataJSON));
  run.show("get", [unseen("authenticatorGetAssertion", { ...command, hash })]);
  run.show("consent", [flags(authenticatorData)]);
  const { signature, userHandle } = json.response;
  await run.reach("assertion", [decoded("Assertion", authenticatorData && { authenticatorData, signature, userHandle })]);
  await run.reach("credential", [decoded("Client data", clientData), { title: "AuthenticationResponseJSON", json }]);

  // 7.2: the relying party verifies the assertion.
  const body = { challenge_id, credential: json, ...more };
  await run.reach("complete", [request(complete, hidePassword(body), note)]);
  const completed = await send(complete, body);
  const seen = { options, credential: json, clientData, authenticatorData };
  await run.reach("checks", await comparisons(authenticationChecks, seen));
  await run.reach("tokens", [response(completed)]);
  run.finish();
  return completed.body;
}

function hidePassword(body) {
  return "current_password" in body ? { ...body, current_password: "(not shown)" } : body;
}

// --- Both ceremonies -----------------------------------------------------------------------------------------------

/** Wait while the browser asks the user for a passkey. Throws an Error with a text for the user if that fails. */
async function askUser(run, ask) {
  const answer = ask();
  answer.catch(() => {}); // If `reach` throws first, nothing else handles the failure of `answer`.
  say(ASKING);
  await run.reach("consent");
  try {
    return await answer;
  } catch (error) {
    // A password manager may reject with any value, not only with an Error.
    if (error?.name === "AbortError") throw error;
    throw new Error(REASONS[error?.name] ?? `The browser reports: ${error?.message ?? error}`, { cause: error });
  } finally {
    // A logout, for example, may have replaced the text.
    if (find("status").textContent === ASKING) say("");
  }
}

const ASKING = "Your browser is asking you for a passkey.";

const REASONS = {
  // The browser gives many reasons the same name, so that a page cannot learn who has a passkey (14.5.1 and 14.5.2).
  NotAllowedError:
    "The passkey was not used: you cancelled, the time was up, or this device has no matching passkey. To protect your " +
    "privacy, the browser does not report which.",
  InvalidStateError: "This authenticator already has a passkey of this account (excludeCredentials).",
  SecurityError: "The domain of this page does not match the relying party's id.",
};

function request(path, json, note) {
  return { title: "Request", line: `POST ${path}`, note, json };
}

function response({ status, body }) {
  return { title: "Response", line: `HTTP ${status}`, json: body };
}

function unseen(title, json) {
  return { title, note: UNSEEN, json };
}

function flags(authenticatorData) {
  const title = "The flags that the device will send, decoded";
  return authenticatorData ? { title, note: FLAGS_IN_WORDS, json: authenticatorData.flags } : { title, note: UNREADABLE };
}

function decoded(title, json) {
  return { title: `${title}, decoded`, ...(json ? { json } : { note: UNREADABLE }) };
}

async function comparisons(checks, seen) {
  try {
    return [{ title: "Comparisons", checks: await checks(seen) }];
  } catch {
    return [{ title: "Comparisons", note: UNREADABLE }];
  }
}

/** Decode something to show it. Return null if it cannot be decoded: only the server decides what is valid. */
function tryTo(decodeIt) {
  try {
    return decodeIt();
  } catch {
    return null;
  }
}
