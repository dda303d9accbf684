// A page that uses the service from another origin, with the client in client/.

import { SecureBackend } from "./client/secure-backend.js";

const backend = new SecureBackend({ url: "http://localhost:8000" });
const { session, stepUp } = backend;
const find = (id) => document.getElementById(id);

/** Show these parts of the page only. */
function show(...ids) {
  for (const id of ["login", "second-factor", "account", "proof"]) find(id).hidden = !ids.includes(id);
}

/** Call `action()`, and show its error. An AbortError means that a newer action has replaced this one. */
async function attempt(action) {
  find("status").textContent = "";
  try {
    await action();
  } catch (error) {
    if (error.name !== "AbortError") find("status").textContent = error.message;
  }
}

function onSubmit(form, action) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(() => action(Object.fromEntries(new FormData(form))));
  });
}

function onPress(button, action) {
  button.addEventListener("click", () => attempt(action));
}

// --- Login and logout ------------------------------------------------------------------------------------------------

let mfa_token = null;

session.addEventListener("change", ({ detail: { reason, isRenewal } }) => {
  if (isRenewal) return;
  mfa_token = null;
  for (const form of document.forms) form.reset();
  find("me").textContent = "";
  find("passkeys").replaceChildren();
  proof?.reject(new DOMException("The session has ended.", "AbortError"));
  if (session.tokens) {
    show("account");
    attempt(showAccount);
  } else {
    show("login");
    find("status").textContent = reason === "expired" ? "Log in again." : "You are logged out.";
    offerAutofill();
  }
});

/** Offer passkeys in the autofill of the field for the e-mail address. */
function offerAutofill() {
  backend.offerAutofill({ onError: (error) => (find("status").textContent = error.message) });
}

onSubmit(find("login"), async ({ email, password }) => {
  ({ mfa_token } = await backend.logIn(email, password));
  if (mfa_token) show("second-factor");
});
onSubmit(find("second-factor"), () => backend.logInWithPasskey({ mfa_token }));
onPress(find("passkey-login"), () => backend.logInWithPasskey());
onPress(find("start-again"), () => show("login"));
onPress(find("log-out"), () => backend.logOut());

// --- The account -------------------------------------------------------------------------------------------------------

async function showAccount() {
  const [me, passkeys] = await Promise.all([session.call("GET", `/users/${session.claims.sub}`), backend.listPasskeys()]);
  find("me").textContent = `${me.body.name}, ${me.body.email}`;
  const items = passkeys.map(({ name }) => Object.assign(document.createElement("li"), { textContent: name }));
  find("passkeys").replaceChildren(...items);
}

onPress(find("add-passkey"), async () => {
  await stepUp.during(() => backend.addPasskey({ name: "My passkey" }), prove);
  await showAccount();
});

// --- Step-up -----------------------------------------------------------------------------------------------------------

/** The proof that the user is asked for: `{resolve, reject}`. */
let proof = null;

/** Prove the identity of the user again: with a passkey if the account has one, otherwise with the password. */
async function prove({ methods }) {
  if (methods.includes("webauthn")) {
    await backend.stepUpWithPasskey();
    return;
  }
  find("proof").hidden = false;
  try {
    await backend.stepUpWithPassword(await new Promise((resolve, reject) => (proof = { resolve, reject })));
  } finally {
    proof = null;
    find("proof").reset();
    find("proof").hidden = true;
  }
}

onSubmit(find("proof"), ({ current_password }) => proof.resolve(current_password));
onPress(find("no-proof"), () => proof.reject(new DOMException("The user has cancelled.", "AbortError")));

show("login");
session.join().then(offerAutofill);
