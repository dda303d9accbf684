// The pages that links in mails open: verify-email.html, confirm-email.html, register-again.html, reset-password.html and
// secure-account.html.
//
// A link has its token in the fragment, which browsers send to no server. The page sends the token only after the user has
// submitted a form, because mail scanners open links and run scripts.

import { backend, session } from "./backend.js";
import { find, say } from "./elements.js";
import { onSubmit } from "./forms.js";

/** The token of the link. Only this variable has it, so a reload forgets it. */
let token = "";

/** What each form does. A page has some of these forms. */
const ACTIONS = {
  async "verify-form"({ password }) {
    await verifyEmail({ token }, password);
    finish();
  },
  async "code-form"({ email, code, password }) {
    await verifyEmail({ email, code }, password);
    finish();
  },
  async "verification-form"({ email }) {
    await backend.send("POST", "/email/verification", { body: { email } });
    say("If an account with this address is not verified yet, a mail with a link and a code is on its way.");
  },
  async "register-again-form"(person) {
    await backend.send("POST", "/users", { body: { ...person, address_token: token } });
    finish();
  },
  async "reset-form"({ new_password }) {
    await backend.send("POST", "/password/reset/complete", { body: { token, new_password } });
    finish();
  },
  async "secure-form"() {
    await backend.send("POST", "/account/secure", { body: { token } });
    finish();
  },
  async "reset-request-form"({ email }) {
    await backend.send("POST", "/password/reset", { body: { email } });
    say("If this address has an account, a mail with a link is on its way.");
  },
};

/** Verify an address. Without a password, the session of another open tab proves that the account is the user's. */
async function verifyEmail(proof, password) {
  if (password) return backend.send("POST", "/email/verify", { body: { ...proof, password } });
  await session.join();
  if (session.tokens) return session.call("POST", "/email/verify", proof);
  return backend.send("POST", "/email/verify", { body: proof });
}

/** Remove the token of a link from the address bar and from the history of the tab, and keep it. */
function takeToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found === null) return;
  history.replaceState(null, "", location.pathname + location.search);
  token = found;
  show("token");
}

function finish() {
  token = "";
  for (const form of document.forms) form.reset();
  show("done");
  find("done-heading").focus();
}

function show(state) {
  for (const part of document.querySelectorAll("[data-when]")) part.hidden = !part.dataset.when.split(" ").includes(state);
}

show("no-token");
takeToken();
// A second link that is opened in this tab changes only the fragment, so the browser does not load the page again.
addEventListener("hashchange", takeToken);

for (const [id, action] of Object.entries(ACTIONS)) if (find(id)) onSubmit(find(id), action);

for (const box of document.querySelectorAll("[data-reveals]")) {
  box.addEventListener("change", () => (find(box.dataset.reveals).type = box.checked ? "text" : "password"));
}
