// The passkeys of the account that is logged in: list, add, rename, delete; and the step-up that two of these can need.

import { loadSessions } from "./account-panels.js";
import { call } from "./api.js";
import { decodeJson } from "./base64url.js";
import { logInWithPasskey, registerPasskey } from "./ceremonies.js";
import { find, make, makeButton, makeTime, say } from "./elements.js";
import { onPress, onSubmit, showProblem } from "./forms.js";
import { session } from "./session.js";

/** What the status line has just said, repeated where the person is: on a phone the status line is out of sight. */
const words = make("p", { class: "words" });
let diagram = null;

/** Set up the panel, once. `theDiagram` draws the ceremonies. */
export function setUpPasskeys(theDiagram) {
  diagram = theDiagram;
  const form = find("passkey-form");
  const button = form.querySelector("[type=submit]");
  onSubmit(form, ({ name }) =>
    withFreshLogin(form.querySelector(".problem"), button, async () => {
      const passkey = await registerPasskey(diagram.start("registration"), name.trim());
      find("passkey-name").value = "";
      await loadBoth();
      tell(`The passkey “${passkey.name}” is registered.`, button);
    }),
  );
}

/** Forget whose passkeys they were. */
export function clearPasskeys() {
  find("passkeys").replaceChildren();
  for (const problem of find("passkey-form").parentElement.querySelectorAll(".problem")) problem.replaceChildren();
  find("passkey-form").querySelector(".step-up")?.remove();
  words.remove();
}

/** Say something, and put it behind an element, too. */
function tell(text, element) {
  say(text);
  words.textContent = text;
  element.after(words);
  words.scrollIntoView({ block: "nearest" });
}

/** Show the passkeys, and the sessions too: the first passkey and each deletion end the other ones. */
async function loadBoth() {
  await Promise.all([loadPasskeys(), loadSessions()]);
}

/** Show the passkeys. */
export async function loadPasskeys() {
  try {
    const { body } = await session.call("GET", "/webauthn/credentials");
    const items = body.items.map(entry);
    find("passkeys").replaceChildren(...(items.length ? items : [make("li", { class: "none" }, "There is none yet.")]));
  } catch (error) {
    showProblem(find("passkeys-problem"), error);
  }
}

function entry(passkey) {
  const { id, name, created_at, last_used_at, transports, backed_up } = passkey;
  const used = last_used_at ? [" · last used ", makeTime(last_used_at)] : [" · not used yet"];
  const rename = makeButton("Rename", { label: `Rename ${name}` });
  const remove = makeButton("Delete", { label: `Delete ${name}` });
  const actions = make("div", { class: "entry-actions" }, rename, remove);
  const item = make(
    "li",
    { "data-passkey": id },
    make("p", { class: "entry-name" }, name, ...(backed_up ? [" ", make("span", { class: "tag" }, "synchronised")] : [])),
    make("p", { class: "entry-facts" }, "since ", makeTime(created_at), ...used, transports.length ? ` · ${transports.join(", ")}` : ""),
    actions,
  );
  rename.addEventListener("click", () => startRenaming(item, passkey));
  remove.addEventListener("click", () => {
    words.remove();
    const question = confirmation(passkey, () => {
      question.replaceWith(actions);
      remove.focus();
    });
    actions.replaceWith(question);
    question.querySelector(".keep").focus();
  });
  return item;
}

/** The second step of a deletion: what it does, and both ways on. `keep()` takes it away again. */
function confirmation({ id, name }, keep) {
  const question = make(
    "p",
    { class: "question", id: `delete-${id}` },
    `Delete “${name}”? Nobody can bring it back, and you are logged out everywhere else.`,
  );
  const problem = make("p", { class: "problem", role: "alert" });
  const remove = makeButton("Delete for good", { quiet: false });
  const cancel = makeButton("Keep", {}, keep);
  cancel.classList.add("keep");
  onPress(remove, problem, () =>
    withFreshLogin(problem, remove, async () => {
      await session.call("DELETE", `/webauthn/credentials/${id}`);
      await loadBoth();
      find("passkeys-heading").focus();
      tell(`The passkey “${name}” is deleted. Your device may still offer it: delete it there too.`, find("passkeys-heading"));
    }),
  );
  const group = make(
    "div",
    { class: "confirming", role: "group", "aria-labelledby": question.id },
    question,
    problem,
    make("div", { class: "actions" }, remove, cancel),
  );
  group.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") keep();
  });
  return group;
}

/** Put a form in an entry's place. */
function startRenaming(item, { id, name }) {
  const inputId = `rename-${id}`;
  const input = make("input", { id: inputId, name: "name", value: name, maxlength: "100", autocomplete: "off", "aria-describedby": `${inputId}-error` });
  const cancel = makeButton("Cancel", {});
  const form = make(
    "form",
    { class: "renaming", novalidate: true },
    make("p", { class: "problem", role: "alert" }),
    make("div", { class: "field" }, make("label", { for: inputId }, "New name"), input, make("p", { class: "error", id: `${inputId}-error` })),
    make("div", { class: "actions" }, make("button", { type: "submit", class: "small" }, "Save"), cancel),
  );
  const finish = async () => {
    await loadPasskeys();
    find("passkeys").querySelector(`[data-passkey="${id}"] button`)?.focus();
  };
  cancel.addEventListener("click", finish);
  onSubmit(form, async (data) => {
    await session.call("PATCH", `/webauthn/credentials/${id}`, data);
    say("The passkey has a new name.");
    await finish();
  });
  words.remove();
  item.replaceChildren(form);
  input.select();
}

/**
 * Do what wants a fresh login, with a passkey where there is one (RFC 9470). Where it is refused for want of that, offer
 * one behind `problem`, where the refusal is shown, and then press `button` once more in the person's place.
 */
async function withFreshLogin(problem, button, action) {
  words.remove();
  problem.parentElement.querySelector(".step-up")?.remove();
  try {
    await action();
  } catch (error) {
    if (error.code === "step_up_required" && find("passkeys").querySelector("[data-passkey]")) {
      error.message = "This takes a fresh login. Confirm with a passkey, and it is done at once.";
      offerStepUp(problem, button);
    }
    throw error;
  }
}

function offerStepUp(problem, button) {
  const confirm = makeButton("Confirm with a passkey", { quiet: false });
  confirm.disabled = find("passkey-form").querySelector("[type=submit]").disabled; // for want of passkeys in this browser
  onPress(confirm, problem, async () => {
    await stepUp();
    await loadSessions();
    button.focus();
    button.click();
  });
  problem.after(make("p", { class: "step-up" }, confirm));
}

/** Log in once more, with a passkey alone, and put the new session in the place of the old one. */
async function stepUp() {
  const { sub } = session.claims;
  const tokens = await logInWithPasskey(diagram.start("passkey-alone"));
  // Somebody else's passkey logs somebody else in: that session is not wanted here.
  const isSamePerson = decodeJson(tokens.access_token.split(".")[1]).sub === sub;
  const unwanted = isSamePerson ? session.tokens : tokens;
  if (isSamePerson) session.replace(tokens);
  await call("POST", "/logout", { token: unwanted.access_token });
  if (!isSamePerson) throw new Error("That was a passkey of another account.");
}
