// The session: the token pair, and requests with the access token.
//
// Only a variable of this module has the tokens. Any script that an attacker brings into the page can read localStorage
// and sessionStorage, also later, but not a variable of a module. The drawback: a user who reloads the page has to log in
// again. To avoid that, a product can keep the refresh token in a cookie with HttpOnly, Secure and SameSite=Strict, which
// no script can read.

import { call } from "./api.js";
import { decodeJson } from "./base64url.js";

/** Statuses of a failed refresh whose response may have been lost: the server may have exchanged the token. */
const LOST = [0, 502, 504];

/** Dispatches "change" after a login, a logout and a refresh. */
class Session extends EventTarget {
  #tokens = null;
  /** When the access token expires, in milliseconds of `performance.now()`. */
  #expiresAt = 0;
  #renewing = null;
  #login = 0;

  /** The token pair as the server sent it, or null. */
  get tokens() {
    return this.#tokens;
  }

  /** The claims of the access token, not verified. The page only shows them: the server verifies each token. */
  get claims() {
    return this.#tokens && decodeJson(this.#tokens.access_token.split(".")[1]);
  }

  /** The number of this login. Each login and logout changes it, so compare it before you use a late response. */
  get login() {
    return this.#login;
  }

  /**
   * The access token's remaining lifetime in seconds, counted from the moment at which it arrived. The device's clock
   * may be wrong, so it is never compared with the claim `exp`.
   */
  get secondsLeft() {
    return Math.max(0, (this.#expiresAt - performance.now()) / 1000);
  }

  /** Start a session with a token pair. */
  start(tokens) {
    this.#begin(tokens, "");
  }

  /** Forget the tokens. The page shows `reason`. */
  end(reason) {
    this.#begin(null, reason);
  }

  /**
   * Send a request with the access token. If the token has expired or the server rejects it with 401, refresh it and
   * send the request once more. `options` are those of `call` in api.js.
   *
   * Throws a Problem. Throws an AbortError if the session has ended or been replaced meanwhile, because the response
   * belongs to another session: do not show it, and do not repeat the request with the new token.
   */
  async call(method, path, body, options = {}) {
    const login = this.#login;
    const send = async () => {
      this.#require(login);
      try {
        return await call(method, path, { ...options, body, token: this.#tokens.access_token });
      } finally {
        this.#require(login);
      }
    };
    if (this.#tokens && this.secondsLeft === 0) await this.renew();
    const before = this.#tokens;
    try {
      return await send();
    } catch (problem) {
      if (problem.status !== 401) throw problem;
      // Another request may have refreshed the tokens while this one was under way.
      if (this.#tokens === before) await this.renew();
      return await send();
    }
  }

  /** Exchange the refresh token, which works once. Requests that need it at the same time share one exchange. */
  async renew() {
    this.#renewing ??= this.#renew(this.#login);
    await this.#renewing;
  }

  async #renew(login) {
    try {
      const { body } = await exchange(this.#tokens?.refresh_token);
      this.#require(login);
      this.#set(body, { reason: "", isRenewal: true });
    } catch (problem) {
      this.#require(login);
      // Only a 401 ends the session. After a network error or a 5xx the tokens are kept.
      if (problem.status === 401) this.end("Your session has expired or was revoked. Log in again.");
      this.#require(login);
      throw problem;
    } finally {
      if (this.#login === login) this.#renewing = null;
    }
  }

  #require(login) {
    if (this.#login !== login || !this.#tokens) throw new DOMException("This session is over.", "AbortError");
  }

  #begin(tokens, reason) {
    this.#login += 1;
    this.#renewing = null; // A refresh that is still running belongs to the previous session.
    this.#set(tokens, { reason, isRenewal: false });
  }

  #set(tokens, detail) {
    this.#tokens = tokens;
    this.#expiresAt = performance.now() + 1000 * (tokens?.expires_in ?? 0);
    this.dispatchEvent(new CustomEvent("change", { detail }));
  }
}

/** Send the refresh token. If the response is lost, send it again: the server accepts it twice within 10 seconds. */
async function exchange(refresh_token) {
  const send = () => call("POST", "/token/refresh", { body: { refresh_token } });
  try {
    return await send();
  } catch (problem) {
    if (!LOST.includes(problem.status)) throw problem;
    return send();
  }
}

export const session = new Session();
