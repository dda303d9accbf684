// Why a user may not read the audit log, and how the user can get access.

import { find, make } from "../elements.js";
import { visible } from "./texts.js";

/** Show the explanation of a 403 by its code. Return false if there is none. */
export function explainRefusal(problem, me) {
  const explanation = EXPLANATIONS[problem.code];
  if (problem.status !== 403 || !explanation) return false;
  find("denied").replaceChildren(...explanation(me));
  return true;
}

const EXPLANATIONS = {
  forbidden: ({ email, role }) => [
    make("p", {}, "The audit log is for the roles ", make("code", {}, "security"), " and ", make("code", {}, "admin"), ". Your account has the role ", make("code", {}, visible(role)), "."),
    make("p", {}, "An operator can give you the role with this command on the service's machine:"),
    make("pre", { class: "command" }, make("code", {}, `uv run accounts role ${quote(visible(email))} security`)),
    make("p", {}, "The command revokes all your sessions. Then log in again, with a passkey."),
  ],
  passkey_login_required: () => [
    make("p", {}, "Your account has the right role. The audit log also requires a login with a passkey of your account, because a password can be guessed or phished."),
    make("p", {}, "Add a passkey at ", make("a", { href: "index.html" }, "the page for accounts"), ", come back, and log in with it."),
  ],
};

/** Quote a text for a shell. An address may have characters such as ' or |, and an operator copies the command. */
function quote(text) {
  return /^[\w.@+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
