// The page of the security team: access to it, and its updates after a new range, a new filter and a poll.

import { session } from "../backend.js";
import { find, say } from "../elements.js";
import { showProblem } from "../forms.js";
import { setUpLogin, show } from "../login.js";
import { Run } from "../run.js";
import { readSummary } from "./audit-log.js";
import { explainRefusal } from "./denied.js";
import { closeEvent, setUpEventDialog } from "./event-dialog.js";
import { EventList } from "./event-list.js";
import { Filters } from "./filters.js";
import { showHeadlines } from "./headlines.js";
import { LoginChart } from "./login-chart.js";
import { Polling } from "./polling.js";
import { currentRange, setUpRanges } from "./ranges.js";
import { showRankings } from "./rankings.js";

/** Milliseconds after which the numbers are loaded again even without new events, because their range moves. */
const NUMBERS_AGE = 60_000;

const filters = new Filters(() => list.load());
const list = new EventList(() => filters, currentRange);
const chart = new LoginChart((times) => filters.replace(times));
const polling = new Polling(poll);
let numbersSince = 0;
let run = null;

async function loadNumbers() {
  const since = Date.now();
  numbersSince = since;
  const summary = await readSummary(currentRange());
  if (numbersSince !== since) return; // The user has selected another range, or has logged out.
  showHeadlines(summary, (values) => filters.replace(values));
  showRankings(summary, (values) => filters.replace(values));
  chart.show(summary);
}

async function poll() {
  const arrived = await list.poll();
  if (session.tokens && (arrived || Date.now() - numbersSince >= NUMBERS_AGE)) await loadNumbers();
}

async function enter() {
  say("You are logged in. The page is reading the audit log.");
  find("page-problem").replaceChildren();
  let me = null;
  try {
    ({ body: me } = await session.call("GET", `/users/${session.claims.sub}`));
    find("who").textContent = me.name;
    await loadNumbers();
  } catch (error) {
    if (error.name === "AbortError") return; // The session has ended, and the page shows that.
    say("");
    if (me && explainRefusal(error, me)) show("denied", "denied-heading");
    else showProblem(find("page-problem"), error);
    return;
  }
  show("in", "numbers-heading");
  say("");
  await load();
  polling.start();
}

/** Load the list, and show an error if that fails. */
async function load() {
  try {
    await list.load();
  } catch (error) {
    showProblem(find("poll-problem"), error);
  }
}

setUpLogin(
  () => {
    run?.abandon(); // The user and the authenticator can do one ceremony at a time.
    run = new Run();
    return run;
  },
  {
    onIn: enter,
    onOut() {
      polling.stop();
      list.clear();
      closeEvent();
      for (const id of ["headlines", "reasons", "sources", "accounts", "denied"]) find(id).replaceChildren();
      find("poll-problem").replaceChildren();
      chart.clear();
      numbersSince = 0;
    },
  },
);
setUpEventDialog();
setUpRanges(() => Promise.all([loadNumbers().catch((error) => showProblem(find("page-problem"), error)), load()]));
