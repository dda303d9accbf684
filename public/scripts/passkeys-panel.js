// The passkeys of the account that is logged in: list, add, rename, delete. Each change may need a step-up.

import { loadSessions } from "./account-panels.js";
import { backend, session } from "./backend.js";
import { registerPasskey } from "./ceremonies.js";
import { find, make, makeButton, makeTime, say } from "./elements.js";
import { onPress, onSubmit, showProblem } from "./forms.js";
import { withStepUp } from "./step-up-dialog.js";

/** The text of the status line, repeated near the button, because the status line may be scrolled out of view. */
const words = make("p", { class: "words" });
let diagram = null;
/** Whether the page may offer a passkey: once after a login with the password, until the user declines or has one. */
let mayOffer = false;
/** The number of requests for the list. Only the response to the newest one is shown. */
let listRequests = 0;

/** Set up the panel, once. `theDiagram` draws the ceremonies. */
export function setUpPasskeys(theDiagram) {
  diagram = theDiagram;
  const form = find("passkey-form");
  onSubmit(form, async ({ name }) => {
    await add(name.trim());
    find("passkey-name").value = "";
  });
  onPress(find("accept-passkey-offer"), find("passkey-offer").querySelector(".problem"), async () => {
    await add("");
    find("passkeys-heading").focus();
  });
  find("decline-passkey-offer").addEventListener("click", () => {
    mayOffer = false;
    find("passkey-offer").hidden = true;
    find("passkeys-heading").focus();
  });
  session.addEventListener("change", ({ detail: { isRenewal } }) => {
    // A tab that has joined the session has no step-up token. login.js disables the button if passkeys do not work here.
    if (!isRenewal) mayOffer = !find("accept-passkey-offer").disabled && Boolean(session.tokens?.step_up_token);
  });
}

/** Add a passkey, and show it. */
async function add(name) {
  words.remove();
  const passkey = await withStepUp(() => registerPasskey(diagram.start("registration"), name));
  await loadBoth();
  tell(`The passkey “${passkey.name}” is registered.`, find("passkey-form").querySelector("[type=submit]"));
}

/** Remove the list and its errors. */
export function clearPasskeys() {
  find("passkeys").replaceChildren();
  find("passkey-offer").hidden = true;
  find("passkey-advice").hidden = true;
  for (const problem of find("passkey-form").parentElement.querySelectorAll(".problem")) problem.replaceChildren();
  words.remove();
}

/** Show a text in the status line and after an element. */
function tell(text, element) {
  say(text);
  words.textContent = text;
  element.after(words);
  words.scrollIntoView({ block: "nearest" });
}

/** Show the passkeys and the sessions: adding or deleting a passkey revokes the other sessions. */
async function loadBoth() {
  await Promise.all([loadPasskeys(), loadSessions()]);
}

/** Show the passkeys. */
export async function loadPasskeys() {
  const request = ++listRequests;
  try {
    const passkeys = await backend.listPasskeys();
    if (request !== listRequests) return;
    const items = passkeys.map(entry);
    find("passkeys").replaceChildren(...(items.length ? items : [make("li", { class: "none" }, "You have no passkey yet.")]));
    mayOffer &&= items.length === 0;
    find("passkey-offer").hidden = !mayOffer;
    find("passkey-advice").hidden = items.length !== 1;
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

/** Make the confirmation of a deletion, with both buttons. `keep()` removes the confirmation. */
function confirmation({ id, name }, keep) {
  const question = make(
    "p",
    { class: "question", id: `delete-${id}` },
    `Delete “${name}”? You cannot undo this, and all your other sessions are revoked.`,
  );
  const problem = make("p", { class: "problem", role: "alert" });
  const remove = makeButton("Delete permanently", { quiet: false });
  const cancel = makeButton("Keep", {}, keep);
  cancel.classList.add("keep");
  onPress(remove, problem, async () => {
    words.remove();
    await withStepUp(() => backend.deletePasskey(id));
    await loadBoth();
    find("passkeys-heading").focus();
    tell(`The passkey “${name}” is deleted. Your device may still offer it: delete it there too.`, find("passkeys-heading"));
  });
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

/** Replace an entry of the list by a form for its name. */
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
    await withStepUp(() => backend.renamePasskey(id, data.name));
    say("The passkey has a new name.");
    await finish();
  });
  words.remove();
  item.replaceChildren(form);
  input.select();
}
