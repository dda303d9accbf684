// The HTTP client. It sends and returns JSON, and throws each failure as a Problem (RFC 9457).

/**
 * A failed request. `errors` lists the invalid fields. `document` is the body of the response. `retryAfter` is the number
 * of seconds after which the service accepts the request again, or 0 if the response does not say so.
 */
export class Problem extends Error {
  constructor(status, document, retryAfter = 0) {
    super(document?.detail ?? document?.message ?? "The server gave no reason.");
    this.status = status;
    this.code = document?.code ?? "";
    this.errors = document?.errors ?? [];
    this.requestId = document?.request_id ?? "";
    this.document = document;
    this.retryAfter = retryAfter;
  }
}

/**
 * Return the function `send(method, path, { body, token, stepUpToken, signal })` for the service at `url`. The empty text
 * is the origin of this page. `send` returns `{status, body}`. `body` is null if the response has none.
 *
 * `send` throws a TypeError for a path that leads to another origin, such as "//attacker.example/": the token would be sent
 * there. `send` throws a Problem for each status outside 2xx and for a body that is not JSON. If there is no response, its status
 * is 0. `send` throws an AbortError if the caller aborts `signal`.
 */
export function createSend(url) {
  const { origin } = new URL(url, location.href);
  return async function send(method, path, { body, token, stepUpToken, signal } = {}) {
    if (new URL(url + path, location.href).origin !== origin) throw new TypeError(`${path} is not a path of this service.`);
    const headers = {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (token) headers.Authorization = `Bearer ${token}`;
    if (stepUpToken) headers["Step-Up-Token"] = stepUpToken;
    let response;
    let text;
    try {
      response = await fetch(url + path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        // The service sets no cookies: only the token identifies the user. With "omit" the browser would ignore the header
        // Clear-Site-Data of a logout.
        credentials: "same-origin",
        redirect: "error",
        signal,
      });
      text = await response.text();
    } catch (error) {
      if (error.name === "AbortError") throw error; // The caller has aborted `signal`.
      throw new Problem(0, { detail: "The server does not respond.", code: "network_error" });
    }
    const answer = parse(text);
    // This service sends seconds. A gateway may send a date, which counts as 0.
    if (!response.ok) throw new Problem(response.status, answer, Number(response.headers.get("Retry-After")) || 0);
    // For example, the login page of a hotel's network.
    if (text && answer === null) throw new Problem(response.status, { detail: "This is not the service's response.", code: "not_json" });
    return { status: response.status, body: answer };
  };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // No body, or the HTML page of a gateway.
  }
}
