// Forms: sent by script, one request at a time, and the server's word about each field beside that field.

import { make, say } from "./elements.js";
import { Problem } from "./api.js";

/**
 * Do `action(data)` when a form is submitted; `data` has the fields that have a name. What goes wrong is shown in the
 * form. The browser's own checks are off (`novalidate`): what is valid, one place decides, and that is the server.
 */
export function onSubmit(form, action) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const problem = form.querySelector(".problem");
    clearFieldErrors(form);
    attempt(form.querySelector("[type=submit]"), problem, async () => {
      try {
        await action(Object.fromEntries(new FormData(form)));
      } catch (error) {
        showFieldErrors(form, error);
        throw error;
      }
    });
  });
}

/** Do `action()` when a button is pressed, and show in `problem` what goes wrong. */
export function onPress(button, problem, action) {
  button.addEventListener("click", () => attempt(button, problem, action));
}

/** Do `action()` unless this button's last one is still under way. */
async function attempt(button, problem, action) {
  // Not `disabled`, which would take the focus away from whoever uses the keyboard.
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  problem.replaceChildren();
  say(""); // the words about the last request are not about this one
  try {
    await action();
  } catch (error) {
    showProblem(problem, error);
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

/** Show what went wrong, in words, and for who wants to look it up also the code. */
export function showProblem(place, error) {
  if (error.name === "AbortError") return; // another ceremony has taken its place
  place.replaceChildren(make("span", {}, error.message));
  if (error instanceof Problem && error.code) {
    place.append(" ", make("code", {}, error.status ? `${error.status} ${error.code}` : error.code));
  }
}

/** Put the problem's `errors` beside their fields, and the focus into the first of them. */
function showFieldErrors(form, error) {
  const fields = (error.errors ?? []).filter(({ field }) => form.elements.namedItem(field));
  // The server judges a password when all else is right. That there is none, the person learns in the same round.
  if (fields.length) {
    for (const { name, value } of form.querySelectorAll("[required]")) {
      if (!value && !fields.some(({ field }) => field === name)) fields.push({ field: name, message: "is missing" });
    }
  }
  for (const { field, message } of fields) {
    const input = form.elements.namedItem(field);
    const label = form.querySelector(`label[for="${input.id}"]`).textContent;
    input.setAttribute("aria-invalid", "true");
    // The input's aria-describedby names this element, so a screen reader reads it with the field.
    document.getElementById(`${input.id}-error`).textContent = `${label} ${message}.`;
  }
  if (fields.length) form.elements.namedItem(fields[0].field).focus();
}

/** Take away what is said beside the fields. */
export function clearFieldErrors(form) {
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    document.getElementById(`${input.id}-error`).textContent = "";
  }
}
