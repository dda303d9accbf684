// The dialog of a step-up: before a sensitive request the user proves their identity again, with a passkey or the password.
//
// A login counts as the first proof, for 10 minutes. After that, the server rejects a sensitive request with 403
// step_up_required, and lists the methods that it accepts. The dialog asks for one of them, and the request is repeated.

import { session, stepUp } from "./backend.js";
import { stepUpWithPasskey, stepUpWithPassword } from "./ceremonies.js";
import { find } from "./elements.js";
import { clearFieldErrors, onPress, onSubmit } from "./forms.js";

const TEXTS = {
  "webauthn,password": "To change this, confirm your identity with a passkey of this account or with your password.",
  password: "To change this, confirm your identity with your password.",
  webauthn: "To change this, confirm your identity with a passkey of this account.",
};

/** The rejected request that waits for a proof: `{problem, methods, needsBoth, resolve, reject}`. */
let pending = null;
let startRun = null;

/** Set up the dialog, once. `start(flow)` begins the flow "step-up" and returns its Run. */
export function setUpStepUp(start) {
  startRun = start;
  const form = find("step-up-form");
  onPress(find("step-up-passkey"), form.querySelector(".problem"), () => prove(withPasskey));
  onSubmit(form, () => prove(pending.methods.includes("password") ? withPassword : withPasskey));
  find("step-up-cancel").addEventListener("click", cancel);
  find("step-up").addEventListener("cancel", cancel); // Escape
  session.addEventListener("change", ({ detail: { isRenewal } }) => {
    if (!isRenewal) cancel();
  });
}

/** Call `action()`. If the server requires a step-up, ask the user for a proof of identity and call it once more. */
export function withStepUp(action) {
  return stepUp.during(action, ({ problem, methods }) => {
    cancel();
    return new Promise((resolve, reject) => {
      pending = { problem, methods, needsBoth: false, resolve, reject };
      open();
    });
  });
}

function open() {
  const { methods, needsBoth } = pending;
  const form = find("step-up-form");
  form.querySelector(".problem").replaceChildren();
  clearFieldErrors(form);
  find("step-up-text").textContent = TEXTS[methods];
  find("step-up-password-field").hidden = !methods.includes("password") && !needsBoth;
  find("step-up-with-password").hidden = !methods.includes("password");
  find("step-up-passkey").hidden = !methods.includes("webauthn");
  find("step-up").showModal();
}

/** Close the dialog without a proof: the rejected request stays rejected. */
function cancel() {
  close();
  pending?.reject(new DOMException("The step-up was cancelled.", "AbortError"));
  pending = null;
}

function close() {
  find("step-up").close();
  find("step-up-form").reset();
}

/**
 * Send a proof. The dialog is closed meanwhile, because the browser shows its own and because the diagram has a button.
 * It opens again if the proof is rejected.
 */
async function prove(way) {
  const request = pending;
  const password = find("step-up-password").value;
  if (!password && (way === withPassword || request.needsBoth)) {
    // The server would count an empty password as a wrong one.
    throw Object.assign(new Error("Enter your password."), { errors: [{ field: "current_password", message: "is missing" }] });
  }
  close();
  try {
    await way(startRun("step-up"), request, password);
  } catch (error) {
    if (pending !== request) return; // The step-up was cancelled, or another request waits.
    if (error.name === "AbortError") {
      cancel(); // Another ceremony has replaced this one.
      return;
    }
    request.needsBoth ||= error.code === "password_required";
    open();
    throw error;
  }
  if (pending !== request) return;
  pending = null;
  request.resolve();
}

function withPassword(run, { problem }, password) {
  return stepUpWithPassword(run, problem, password);
}

function withPasskey(run, { problem, needsBoth }, password) {
  return stepUpWithPasskey(run, problem, needsBoth ? password : undefined);
}
