// The HTTP client: JSON in, JSON out, and every failure as a Problem (RFC 9457).

/** A request that did not succeed. `errors` has the faults of single fields; `document` is the answer as it came. */
export class Problem extends Error {
  constructor(status, document) {
    super(document?.detail ?? document?.message ?? "The server gave no reason.");
    this.status = status;
    this.code = document?.code ?? "";
    this.errors = document?.errors ?? [];
    this.requestId = document?.request_id ?? "";
    this.document = document;
  }
}

/**
 * Send a request to this origin. Return `{status, body}`; `body` is null where the answer has none.
 *
 * Throws a Problem for each status but 2xx, for a 2xx that is not JSON, and with status 0 if there is no response.
 */
export async function call(method, path, { body, token, stepUpToken } = {}) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  if (stepUpToken) headers["Step-Up-Token"] = stepUpToken;
  let response;
  let text;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      // Nothing but the token says who we are; the service sets no cookies. Not "omit": the browser would not heed the
      // Clear-Site-Data of a logout.
      credentials: "same-origin",
      redirect: "error",
    });
    text = await response.text();
  } catch {
    throw new Problem(0, { detail: "The server does not answer.", code: "network_error" });
  }
  const answer = parse(text);
  if (!response.ok) throw new Problem(response.status, answer);
  // For example the login page of a hotel's network.
  if (text && answer === null) throw new Problem(response.status, { detail: "This is not the service's response.", code: "not_json" });
  return { status: response.status, body: answer };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // no body; or a gateway's page, which is no concern of ours
  }
}
