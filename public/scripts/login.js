// Login and logout, for both pages: with a password and then a passkey, or with the passkey alone.

import { isSupported } from "../client/passkeys.js";
import { backend, session } from "./backend.js";
import { autofillObserver, logInWithPasskey, showPasswordStep } from "./ceremonies.js";
import { find, say } from "./elements.js";
import { onPress, onSubmit, showProblem } from "./forms.js";

/** Texts for the reasons of a session's end. */
const REASONS = {
  logged_out: "You are logged out.",
  expired: "Your session has expired or was revoked. Log in again.",
};

/** A login with a correct password that waits for the passkey: `{email, answer, run}`. `answer` is the response's body. */
let secondFactor = null;

/** Show the parts of the page for a state ("out", "second-factor", "in", ...), and focus a heading. */
export function show(state, heading) {
  for (const part of document.querySelectorAll("[data-when]")) part.hidden = !part.dataset.when.split(" ").includes(state);
  find(heading).focus();
}

/**
 * Set up the forms for login and logout, once.
 *
 * `startRun(flow)` starts the ceremony "second-factor" or "passkey-alone" and returns its Run. `onIn()` is called after a
 * login, and `onOut()` after a logout.
 */
export function setUpLogin(startRun, { onIn, onOut }) {
  session.addEventListener("change", ({ detail: { reason, isRenewal } }) => {
    if (isRenewal) return;
    secondFactor = null;
    if (session.tokens) {
      find("login-form").reset(); // The password is no longer needed.
      onIn();
      return;
    }
    find("who").textContent = "Not logged in";
    for (const form of document.forms) form.reset();
    onOut();
    show("out", "login-heading");
    say(REASONS[reason]);
    offerPasskeys(startRun);
  });

  onSubmit(find("login-form"), async ({ email, password }) => {
    const answer = await backend.logIn(email, password);
    if (!answer.mfa_required) return;
    find("login-form").reset();
    const run = startRun("second-factor");
    secondFactor = { email, answer, run };
    show("second-factor", "second-factor-heading");
    await showPasswordStep(run, email, answer);
  });

  onSubmit(find("second-factor-form"), async () => {
    const { email, answer } = secondFactor;
    if (secondFactor.run.isOver) {
      // The first attempt with the passkey failed, but the password was correct.
      secondFactor.run = startRun("second-factor");
      await showPasswordStep(secondFactor.run, email, answer);
    }
    await logInWithPasskey(secondFactor.run, answer.mfa_token);
  });

  find("start-again").addEventListener("click", () => {
    secondFactor.run.abandon();
    secondFactor = null;
    show("out", "login-heading");
  });

  onSubmit(find("passkey-login-form"), async () => {
    await logInWithPasskey(startRun("passkey-alone"));
  });

  onPress(find("log-out"), find("log-out-problem"), () => backend.logOut());

  checkAddress();
  session.join().then(() => offerPasskeys(startRun));
}

/** Offer passkeys in the autofill of the login form. */
function offerPasskeys(startRun) {
  const { on, onError } = autofillObserver(() => startRun("passkey-alone"));
  backend.offerAutofill({
    on,
    onError(error) {
      onError(error);
      showProblem(find("passkey-login-form").querySelector(".problem"), error);
    },
  });
}

/** Explain why passkeys do not work, if the host of the page is an IP address or the browser does not support them. */
function checkAddress() {
  const isNumber = /^[\d.]+$|^\[/.test(location.hostname);
  find("localhost-link").href = `http://localhost:${location.port}${location.pathname}`;
  find("notice-address").hidden = !isNumber;
  find("notice-support").hidden = isNumber || isSupported;
  if (isNumber || !isSupported) for (const button of document.querySelectorAll("[data-needs-passkeys]")) button.disabled = true;
}
