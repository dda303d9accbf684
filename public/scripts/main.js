// The page: who sees which part of it, and the ways in. What the parts do is in the files that this one imports.

import { loadMe, loadSessions, setUpAccount } from "./account-panels.js";
import { call } from "./api.js";
import { isSupported, logInWithPasskey, showPasswordStep } from "./ceremonies.js";
import { Diagram } from "./diagram.js";
import { find, say } from "./elements.js";
import { examplePerson } from "./example-person.js";
import { onSubmit } from "./forms.js";
import { loadPasskeys, setUpPasskeys } from "./passkeys-panel.js";
import { session } from "./session.js";
import { setUpToken } from "./token-panel.js";

const diagram = new Diagram();

/** A login with the right password that waits for the passkey: its e-mail, the server's answer, the diagram's run. */
let secondFactor = null;

/** Show the parts for "out", "second-factor" or "in", and put the focus where it goes on. */
function show(state, heading) {
  for (const part of document.querySelectorAll("[data-when]")) part.hidden = part.dataset.when !== state;
  find(heading).focus();
}

function startLogin(tokens) {
  secondFactor = null;
  session.start(tokens);
}

session.addEventListener("change", ({ detail: { reason, isSameSession } }) => {
  if (isSameSession) return;
  if (!session.tokens) {
    find("who").textContent = "Nobody is logged in";
    for (const id of ["me", "passkeys", "sessions"]) find(id).replaceChildren();
    for (const form of document.forms) form.reset();
    find("step-up").hidden = true;
    show("out", "login-heading");
    say(reason);
    return;
  }
  show("in", "me-heading");
  say("You are logged in.");
  Promise.all([loadMe(), loadPasskeys(), loadSessions()]);
});

onSubmit(find("register-form"), async (person) => {
  await call("POST", "/users", { body: person });
  find("register-form").reset();
  find("register-password").type = "password";
  find("login-email").value = person.email;
  find("login-password").value = person.password;
  find("login-form").querySelector("button").focus();
  say("You are registered. Now log in.");
});

onSubmit(find("login-form"), async ({ email, password }) => {
  const answer = await call("POST", "/login", { body: { email, password } });
  find("login-form").reset(); // the password is needed no more
  if (!answer.body.mfa_required) {
    startLogin(answer.body);
    return;
  }
  const run = diagram.start("second-factor");
  secondFactor = { email, answer, run };
  show("second-factor", "second-factor-heading");
  await showPasswordStep(run, email, answer);
});

onSubmit(find("second-factor-form"), async () => {
  const { email, answer } = secondFactor;
  if (secondFactor.run.isOver) {
    // The first try failed. The password was right all the same.
    secondFactor.run = diagram.start("second-factor");
    await showPasswordStep(secondFactor.run, email, answer);
  }
  startLogin(await logInWithPasskey(secondFactor.run, answer.body.mfa_token));
});

find("start-again").addEventListener("click", () => {
  secondFactor.run.abandon();
  secondFactor = null;
  show("out", "login-heading");
});

onSubmit(find("passkey-login-form"), async () => {
  startLogin(await logInWithPasskey(diagram.start("passkey-alone")));
});

find("example-person").addEventListener("click", () => {
  for (const [name, value] of Object.entries(examplePerson())) find("register-form").elements.namedItem(name).value = value;
});

find("register-reveal").addEventListener("change", ({ target }) => {
  find("register-password").type = target.checked ? "text" : "password";
});

/** A passkey is bound to a domain. An address of numbers is none, so no browser makes one for it. */
function checkAddress() {
  const isNumber = /^[\d.]+$|^\[/.test(location.hostname);
  find("localhost-link").href = `http://localhost:${location.port}${location.pathname}`;
  find("notice-address").hidden = !isNumber;
  find("notice-support").hidden = isNumber || isSupported;
  if (isNumber || !isSupported) for (const button of document.querySelectorAll("[data-needs-passkeys]")) button.disabled = true;
}

checkAddress();
setUpAccount();
setUpPasskeys(diagram);
setUpToken();
