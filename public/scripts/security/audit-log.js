// The client of the audit log: GET /audit/events and GET /audit/summary. The service records each of these requests.

import { session } from "../backend.js";

/** Names of security events to which this page gives a meaning of its own. */
export const LOGIN = "authn_login_success";
export const FAILED_LOGIN = "authn_login_fail";
export const LOCK = "authn_login_lock";
export const TOKEN_REUSE = "authn_token_reuse";
export const REFUSED_ACCESS = "authz_fail";

export const STARTUP = "sys_startup";

/** The reason of events that record a request to the audit log. */
export const READING = "audit_log";

/** Return the summary of the events between two Dates. */
export async function readSummary({ from, to }) {
  const { body } = await session.call("GET", `/audit/summary?${queryString({ from, to })}`);
  return body;
}

/** Return a page of events, newest first: `{items, next_cursor}`. */
export async function readEvents(query, cursor = null) {
  const { body } = await session.call("GET", `/audit/events?${queryString({ ...query, cursor })}`);
  return body;
}

/** Return a query string without the parameters that are null, undefined or empty. */
function queryString(parameters) {
  const asked = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return new URLSearchParams(asked.map(([name, value]) => [name, value instanceof Date ? value.toISOString() : value]));
}
