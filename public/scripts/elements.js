// Functions that make elements. They insert text as text and never as markup, so it cannot become code.

/** Return the element of the page with this id. */
export function find(id) {
  return document.getElementById(id);
}

/** Make an element. An attribute with the value null or false is left out. Children are nodes or texts. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Make a button. `label` is for screen readers, if the text alone is not enough. */
export function makeButton(text, { label = null, quiet = true }, onPress) {
  const button = make("button", { type: "button", class: quiet ? "quiet small" : "small", "aria-label": label }, text);
  button.addEventListener("click", onPress);
  return button;
}

/** Make a time. `when` is in RFC 3339 or in seconds since 1970. `format` has options of Intl.DateTimeFormat. */
export function makeTime(when, format = { dateStyle: "medium", timeStyle: "short" }) {
  const date = new Date(typeof when === "number" ? when * 1000 : when);
  const text = date.toLocaleString("en-GB", format);
  return make("time", { datetime: date.toISOString() }, text);
}

/**
 * Replace the children of `parent`. If a button in it has the keyboard focus, focus the new button of the same name. If
 * there is none, focus the button at the same position.
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

/** Make the rows of a <dl> from pairs [name, value]. A value is a text or a node. */
export function makeFacts(facts) {
  return facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
}

/** Show a text in the page's status line, which screen readers announce. */
export function say(text) {
  find("status").textContent = text;
}
