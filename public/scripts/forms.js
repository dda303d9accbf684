// Forms: a script sends them, one request at a time, and shows the server's errors beside the fields.

import { Problem } from "../client/http.js";
import { make, say } from "./elements.js";

/**
 * Call `action(data)` when a form is submitted. `data` contains the fields by name. Errors are shown in the form. The
 * forms turn off the browser's validation (`novalidate`), because only the server decides what is valid.
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

/** Call `action()` when a button is pressed, and show its error in `problem`. */
export function onPress(button, problem, action) {
  button.addEventListener("click", () => attempt(button, problem, action));
}

/** Call `action()`, unless the previous action of this button is still running. */
async function attempt(button, problem, action) {
  // `disabled` would remove the keyboard focus from the button.
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  problem.replaceChildren();
  say(""); // The text is about the previous request.
  try {
    await action();
  } catch (error) {
    showProblem(problem, error);
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

/** Show the message of an error, and its code, which the documentation lists. */
export function showProblem(place, error) {
  if (error.name === "AbortError") return; // Another ceremony has replaced this one.
  place.replaceChildren(make("span", {}, error.message));
  if (error instanceof Problem && error.code) {
    place.append(" ", make("code", {}, error.status ? `${error.status} ${error.code}` : error.code));
  }
}

/** Show the problem's `errors` beside their fields, and focus the first of these fields. */
function showFieldErrors(form, error) {
  const fields = (error.errors ?? []).filter(({ field }) => form.elements.namedItem(field));
  // The server checks a password only when the other fields are valid. Report an empty one together with the others.
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

/** Remove the errors beside the fields. */
export function clearFieldErrors(form) {
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    document.getElementById(`${input.id}-error`).textContent = "";
  }
}
