// The page for accounts and ceremonies: registration, and what follows a login and a logout. The login itself is in
// login.js, and each panel in a file of its own.

import { loadMe, loadSessions, setUpAccount } from "./account-panels.js";
import { backend } from "./backend.js";
import { Diagram } from "./diagram.js";
import { find, say } from "./elements.js";
import { examplePerson } from "./example-person.js";
import { onSubmit } from "./forms.js";
import { setUpLogin, show } from "./login.js";
import { clearPasskeys, loadPasskeys, setUpPasskeys } from "./passkeys-panel.js";
import { setUpStepUp } from "./step-up-dialog.js";
import { setUpToken } from "./token-panel.js";

const diagram = new Diagram();

setUpLogin((flow) => diagram.start(flow), {
  onIn() {
    show("in", "me-heading");
    say("You are logged in.");
    Promise.all([loadMe(), loadPasskeys(), loadSessions()]);
  },
  onOut() {
    for (const id of ["me", "sessions"]) find(id).replaceChildren();
    clearPasskeys();
    diagram.reset(); // Its messages contain tokens.
  },
});

onSubmit(find("register-form"), async (person) => {
  await backend.send("POST", "/users", { body: person });
  find("register-form").reset();
  find("register-password").type = "password";
  find("login-email").value = person.email;
  find("login-password").value = person.password;
  find("login-form").querySelector("button").focus();
  say("You are registered. Now log in.");
});

find("example-person").addEventListener("click", () => {
  for (const [name, value] of Object.entries(examplePerson())) find("register-form").elements.namedItem(name).value = value;
});

find("register-reveal").addEventListener("change", ({ target }) => {
  find("register-password").type = target.checked ? "text" : "password";
});

setUpAccount();
setUpPasskeys(diagram);
setUpStepUp((flow) => diagram.start(flow));
setUpToken();
