// Why somebody may not read the audit log, and what opens it to them.

import { find, make } from "../elements.js";
import { visible } from "./texts.js";

/** Show why, by the code of the server's refusal. Return whether it is one that can be explained. */
export function explainRefusal(problem, me) {
  const explanation = EXPLANATIONS[problem.code];
  if (problem.status !== 403 || !explanation) return false;
  find("denied").replaceChildren(...explanation(me));
  return true;
}

const EXPLANATIONS = {
  forbidden: ({ email, role }) => [
    make("p", {}, "The audit log is for the roles ", make("code", {}, "security"), " and ", make("code", {}, "admin"), ". Your account has the role ", make("code", {}, visible(role)), "."),
    make("p", {}, "No page can give you another one. Whoever operates the service can, on its machine:"),
    make("pre", { class: "command" }, make("code", {}, `uv run accounts role ${visible(email)} security`)),
    make("p", {}, "That ends all of your sessions. Then log in again, with a passkey."),
  ],
  passkey_login_required: () => [
    make("p", {}, "You have the role for it. The audit log also takes a login with a passkey that your account has: a password can be guessed, or asked for by a look-alike page."),
    make("p", {}, "Add a passkey at ", make("a", { href: "index.html" }, "the page for accounts"), ", come back, and log in with it."),
  ],
};
