// The passkeys of the account that is logged in: list, add, rename, delete; and the step-up that the last ones can need.

import { loadSessions } from "./account-panels.js";
import { call } from "./api.js";
import { decodeJson } from "./base64url.js";
import { logInWithPasskey, registerPasskey } from "./ceremonies.js";
import { find, make, makeButton, makeTime, say } from "./elements.js";
import { onPress, onSubmit, showProblem } from "./forms.js";
import { session } from "./session.js";

/** Set up the panel, once. */
export function setUpPasskeys(diagram) {
  onSubmit(find("passkey-form"), async ({ name }) => {
    try {
      const passkey = await registerPasskey(diagram.start("registration"), name.trim());
      find("passkey-name").value = "";
      say(`The passkey “${passkey.name}” is registered.`);
      await loadBoth();
    } catch (error) {
      offerStepUp(error);
      throw error;
    }
  });
  onPress(find("step-up-button"), find("passkeys-problem"), async () => {
    await stepUp(diagram);
    find("step-up").hidden = true;
    say("Confirmed. You can go on.");
    find("passkeys-heading").focus();
  });
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
  const problem = find("passkeys-problem");
  const rename = makeButton("Rename", { label: `Rename ${name}` });
  const remove = makeButton("Delete", { label: `Delete ${name}` });
  const item = make(
    "li",
    { "data-passkey": id },
    make("p", { class: "entry-name" }, name, ...(backed_up ? [" ", make("span", { class: "tag" }, "synchronised")] : [])),
    make("p", { class: "entry-facts" }, "since ", makeTime(created_at), ...used, transports.length ? ` · ${transports.join(", ")}` : ""),
    make("div", { class: "entry-actions" }, rename, remove),
  );
  rename.addEventListener("click", () => startRenaming(item, passkey));
  onPress(remove, problem, async () => {
    try {
      await session.call("DELETE", `/webauthn/credentials/${id}`);
      say(`The passkey “${name}” is deleted. Your device may still offer it: delete it there too.`);
      await loadBoth();
      find("passkeys-heading").focus();
    } catch (error) {
      offerStepUp(error);
      throw error;
    }
  });
  return item;
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
  item.replaceChildren(form);
  input.select();
}

/** Adding and deleting want a fresh login, with a passkey where there is one (RFC 9470): offer that. */
function offerStepUp(error) {
  if (error.code === "step_up_required") find("step-up").hidden = find("passkeys").querySelector("[data-passkey]") === null;
}

/** Log in once more, with a passkey alone, and put the new session in the place of the old one. */
async function stepUp(diagram) {
  const { sub } = session.claims;
  const tokens = await logInWithPasskey(diagram.start("passkey-alone"));
  // Somebody else's passkey logs somebody else in: that session is not wanted here.
  const isSamePerson = decodeJson(tokens.access_token.split(".")[1]).sub === sub;
  const unwanted = isSamePerson ? session.tokens : tokens;
  if (isSamePerson) session.start(tokens);
  await call("POST", "/logout", { token: unwanted.access_token });
  if (!isSamePerson) throw new Error("That was a passkey of another account.");
}
