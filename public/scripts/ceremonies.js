// What the page shows of a WebAuthn ceremony. client/passkeys.js runs the ceremony and reports its steps. Each step has a
// description in flows.js. The code here decodes the messages and shows them there.

import { decode } from "../client/base64url.js";
import { backend } from "./backend.js";
import { authenticationChecks, registrationChecks } from "./checks.js";
import { find, say } from "./elements.js";
import {
  decodeAttestationObject, decodeAuthenticatorData, decodeClientData, FLAGS_IN_WORDS, sha256,
} from "./webauthn-data.js";

const ASKING = "Your browser is asking you for a passkey.";
const UNSEEN = "A page cannot see this message. It is reconstructed here from the options and the result.";
const UNREADABLE = "This page cannot decode the authenticator's bytes. The server decodes and verifies them itself.";

// --- Registration (WebAuthn section 7.1) ---------------------------------------------------------------------------

/** Add a passkey to the account that is logged in, and return it. `name` may be empty. */
export function registerPasskey(run, name) {
  return run.during(() => shown(run, registrationSteps(run, name), (options) => backend.addPasskey({ name, ...options })));
}

function registrationSteps(run, name) {
  let options;
  let command;
  let seen;
  return {
    // The access token identifies the user. An attacker who has stolen only the access token has no step-up token.
    begin: () => run.reach("begin", [request("/webauthn/register/begin", {}, "with the access token and the step-up token")]),

    // 5.4: the options as JSON. They contain base64url instead of bytes, and are converted as in 5.1.8.
    options: (begun) => run.reach("options", [response(begun)]),

    // 6.3.2: the browser and the authenticator exchange messages until the user has agreed.
    ask(json) {
      options = json;
      command = {
        hash: "SHA-256 of the client data, which the browser writes next",
        rpEntity: options.rp,
        userEntity: options.user,
        credTypesAndPubKeyAlgs: options.pubKeyCredParams,
        excludeCredentialDescriptorList: options.excludeCredentials ?? [],
        authenticatorSelection: options.authenticatorSelection,
      };
      return run.reach("make", [unseen("authenticatorMakeCredential", command)]);
    },

    // 5.1: the response as JSON, RegistrationResponseJSON.
    async credential({ challenge_id, credential }) {
      const clientData = tryTo(() => decodeClientData(credential.response.clientDataJSON));
      const attestation = tryTo(() => decodeAttestationObject(credential.response.attestationObject));
      const hash = await sha256(decode(credential.response.clientDataJSON));
      seen = { options, credential, clientData, authenticatorData: attestation?.authData };
      run.show("make", [unseen("authenticatorMakeCredential", { ...command, hash })]);
      run.show("consent", [flags(attestation?.authData)]);
      await run.reach("attested", [decoded("Attestation object", attestation)]);
      await run.reach("credential", [decoded("Client data", clientData), { title: "RegistrationResponseJSON", json: credential }]);
      const body = { challenge_id, credential, ...(name && { name }) };
      await run.reach("complete", [request("/webauthn/register/complete", body, "with the access token")]);
    },

    // 7.1: the relying party has verified the credential.
    async done(completed) {
      await run.reach("checks", await comparisons(registrationChecks, seen));
      await run.reach("stored", [response(completed)]);
    },
  };
}

// --- Authentication (WebAuthn section 7.2) -------------------------------------------------------------------------

/** Show the steps of a correct password. `body` is the response of the login, with the mfa_token. */
export function showPasswordStep(run, email, body) {
  return run.during(async () => {
    await run.reach("password", [request("/login", { email, password: "(not shown)" })]);
    await run.reach("mfa", [response({ status: 200, body })]);
  });
}

/** Log in with a passkey. With an `mfa_token` the passkey is the second factor. */
export function logInWithPasskey(run, mfa_token) {
  return run.during(() => shown(run, loginSteps(run, mfa_token), (options) => backend.logInWithPasskey({ mfa_token, ...options })));
}

function loginSteps(run, mfa_token) {
  return authenticationSteps(run, {
    begin: request("/webauthn/login/begin", mfa_token ? { mfa_token } : {}),
    complete: (body) => request("/webauthn/login/complete", body),
  });
}

/**
 * Return the functions `on` and `onError` that show a login by autofill. Its request waits unseen until the user selects a
 * passkey. Then `startRun()` returns the run that shows the earlier steps and the next ones.
 */
export function autofillObserver(startRun) {
  let earlier = [];
  let run = null;
  let show = null;
  async function on(step, detail) {
    if (step === "begin") {
      earlier = [];
      show = null;
    }
    if (step === "credential") {
      run = startRun();
      const observe = observer(run, loginSteps(run));
      show = (...event) => run.during(() => observe(...event));
      for (const event of earlier) await show(...event);
    }
    if (show) await show(step, detail);
    else earlier.push([step, detail]);
  }
  function onError(error) {
    stopAsking();
    if (!run.isOver) run.fail(error);
  }
  return { on, onError };
}

/**
 * Step up with a passkey. `problem` is the 403 that requires the step-up. Set `current_password` if the server does not
 * accept the passkey alone.
 */
export function stepUpWithPasskey(run, problem, current_password) {
  const more = current_password === undefined ? {} : { current_password };
  const steps = authenticationSteps(run, {
    begin: request("/step-up", {}, "with the access token"),
    complete: (body) => request("/step-up", hidePassword({ ...body, ...more }), "with the access token"),
  });
  return run.during(async () => {
    await run.reach("refused", [response({ status: problem.status, body: problem.document })]);
    await shown(run, steps, (options) => backend.stepUpWithPasskey({ current_password, ...options }));
  });
}

/** Step up with the password. */
export function stepUpWithPassword(run, problem, current_password) {
  return run.during(async () => {
    await run.reach("refused", [response({ status: problem.status, body: problem.document })]);
    await run.reach("complete", [request("/step-up", hidePassword({ current_password }), "with the access token")]);
    const completed = await backend.stepUpWithPassword(current_password);
    await run.reach("tokens", [response(completed)]);
    run.finish();
  });
}

/** Return the steps of a login or a step-up. `begin` and `complete(body)` are the requests to show. */
function authenticationSteps(run, { begin, complete }) {
  let options;
  let command;
  let seen;
  return {
    begin: () => run.reach("begin", [begin]),

    // 5.5: the options, converted by 5.1.9.
    options: (begun) => run.reach("options", [response(begun)]),

    // 6.3.3: the authenticator finds a key of this site, the user agrees, and the key signs.
    ask(json) {
      options = json;
      command = {
        rpId: options.rpId,
        hash: "SHA-256 of the client data, which the browser writes next",
        allowCredentialDescriptorList: options.allowCredentials ?? [],
        userVerification: options.userVerification,
      };
      return run.reach("get", [unseen("authenticatorGetAssertion", command)]);
    },

    // 5.1: the response as JSON, AuthenticationResponseJSON.
    async credential({ challenge_id, credential }) {
      const clientData = tryTo(() => decodeClientData(credential.response.clientDataJSON));
      const authenticatorData = tryTo(() => decodeAuthenticatorData(credential.response.authenticatorData));
      const hash = await sha256(decode(credential.response.clientDataJSON));
      const { signature, userHandle } = credential.response;
      seen = { options, credential, clientData, authenticatorData };
      run.show("get", [unseen("authenticatorGetAssertion", { ...command, hash })]);
      run.show("consent", [flags(authenticatorData)]);
      await run.reach("assertion", [decoded("Assertion", authenticatorData && { authenticatorData, signature, userHandle })]);
      await run.reach("credential", [decoded("Client data", clientData), { title: "AuthenticationResponseJSON", json: credential }]);
      await run.reach("complete", [complete({ challenge_id, credential })]);
    },

    // 7.2: the relying party has verified the assertion.
    async done(completed) {
      await run.reach("checks", await comparisons(authenticationChecks, seen));
      await run.reach("tokens", [response(completed)]);
    },
  };
}

function hidePassword(body) {
  return "current_password" in body ? { ...body, current_password: "(not shown)" } : body;
}

// --- Both ceremonies -----------------------------------------------------------------------------------------------

/** Run a ceremony of the client, and show its `steps` in `run`. `start(options)` begins it. */
async function shown(run, steps, start) {
  try {
    return await start({ signal: run.signal, on: observer(run, steps) });
  } finally {
    stopAsking();
  }
}

function observer(run, steps) {
  return async (step, detail) => {
    if (step === "options") run.marked = detail.body.options.challenge;
    if (step === "asking") {
      say(ASKING);
      await run.reach("consent");
      return;
    }
    stopAsking();
    await steps[step](detail);
    if (step === "done") run.finish();
  };
}

function stopAsking() {
  // A logout, for example, may have replaced the text.
  if (find("status").textContent === ASKING) say("");
}

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
