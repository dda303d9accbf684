// The panels for the data and the sessions of the account that is logged in.

import { session, stepUp } from "./backend.js";
import { find, make, makeButton, makeFacts, makeTime, say } from "./elements.js";
import { onPress, onSubmit, showProblem } from "./forms.js";
import { withStepUp } from "./step-up-dialog.js";

/** The number of requests for sessions. Only the response to the newest one is shown. */
let sessionRequests = 0;

/** Set up both panels, once. */
export function setUpAccount() {
  onPress(find("end-others"), find("sessions-problem"), async () => {
    await withStepUp(() => stepUp.call("DELETE", "/sessions?keep_current=true"));
    say("All other sessions are revoked.");
    await loadSessions();
  });
  const form = find("email-form");
  onSubmit(form, async ({ new_email }) => {
    await withStepUp(() => stepUp.call("PUT", `/users/${session.claims.sub}/email`, { new_email }));
    form.reset();
    find("email-change").open = false;
    say("A mail to the new address is on its way. Open its link to change the address.");
  });
}

/** Show the user's own data. */
export async function loadMe() {
  try {
    const { body: me } = await session.call("GET", `/users/${session.claims.sub}`);
    find("who").textContent = me.name;
    find("me").replaceChildren(
      ...makeFacts([
        ["Name", me.name],
        ["E-mail", me.email],
        ["Verified", me.email_verified ? "yes" : verificationLink()],
        ["Born", me.date_of_birth],
        ["Job title", me.job_title],
        ["Role", me.role],
        ["Since", makeTime(me.created_at)],
        ["Id", make("code", {}, me.id)],
      ]),
    );
  } catch (error) {
    showProblem(find("me-problem"), error);
  }
}

/** A new tab gets the session of this page, which would lose it. */
function verificationLink() {
  return make("a", { href: "verify-email.html", target: "_blank" }, "no, verify the address");
}

/** Show the first page of the sessions. */
export async function loadSessions() {
  find("sessions").replaceChildren();
  await loadMore("/sessions");
}

async function loadMore(path) {
  const request = ++sessionRequests;
  try {
    const { body: page } = await session.call("GET", path);
    if (request !== sessionRequests) return;
    find("sessions").append(...page.items.map(entry));
    const more = find("more-sessions");
    more.hidden = page.next_cursor === null;
    more.onclick = () => loadMore(`/sessions?cursor=${encodeURIComponent(page.next_cursor)}`);
  } catch (error) {
    showProblem(find("sessions-problem"), error);
  }
}

function entry({ id, device, ip, created_at, last_used_at, current }) {
  const item = make(
    "li",
    { "data-session": id },
    make("p", { class: "entry-name" }, device, ...(current ? [" ", make("span", { class: "tag" }, "this one")] : [])),
    make("p", { class: "entry-facts" }, ip, " · since ", makeTime(created_at), " · last used ", makeTime(last_used_at)),
  );
  if (!current) {
    const button = makeButton("Revoke", { label: `Revoke the session ${device} from ${ip}` });
    onPress(button, find("sessions-problem"), async () => {
      await withStepUp(() => stepUp.call("DELETE", `/sessions/${id}`));
      say("The session is revoked.");
      await loadSessions();
      find("sessions-heading").focus();
    });
    item.append(make("div", { class: "entry-actions" }, button));
  }
  return item;
}
