// Making elements. Text goes in as text and never as markup, so nothing that a server or a person wrote can become code.

/** Return the element with this id, which is in the page's markup. */
export function find(id) {
  return document.getElementById(id);
}

/** Make an element with attributes (a value of null or false leaves one out) and children: nodes or texts. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Make a button that does something when it is pressed. `label` is what screen readers say where the text is short. */
export function makeButton(text, { label = null, quiet = true }, onPress) {
  const button = make("button", { type: "button", class: quiet ? "quiet small" : "small", "aria-label": label }, text);
  button.addEventListener("click", onPress);
  return button;
}

/** Make a time that people and programs can read. `when` is RFC 3339, or seconds since 1970; `format` is Intl's. */
export function makeTime(when, format = { dateStyle: "medium", timeStyle: "short" }) {
  const date = new Date(typeof when === "number" ? when * 1000 : when);
  const text = date.toLocaleString("en-GB", format);
  return make("time", { datetime: date.toISOString() }, text);
}

/**
 * Replace the children of `parent`. If a button in it has the keyboard focus, focus the new button of the same name, or
 * the one at its place.
 */
export function redraw(parent, ...children) {
  const place = [...parent.querySelectorAll("button")].indexOf(document.activeElement);
  const name = place < 0 ? null : nameOf(document.activeElement);
  parent.replaceChildren(...children);
  if (place < 0) return;
  const buttons = [...parent.querySelectorAll("button")];
  const next = buttons.find((button) => nameOf(button) === name) ?? buttons[Math.min(place, buttons.length - 1)];
  next?.focus({ preventScroll: true });
}

function nameOf(button) {
  return button.getAttribute("aria-label") ?? button.textContent;
}

/** Make the rows of a list of facts: [name, value] pairs, of which a value is a text or a node. */
export function makeFacts(facts) {
  return facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
}

/** Say something in the page's status line, which screen readers read out. */
export function say(text) {
  find("status").textContent = text;
}
