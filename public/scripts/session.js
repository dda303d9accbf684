// The login: the two tokens, and the requests that need one.
//
// The tokens live in this variable and nowhere else. What localStorage or sessionStorage hold can be read by any script
// that ever gets into the page, also long afterwards, and outlives the tab; a variable of a module cannot be reached from
// outside it. The price: a user who reloads the page has to log in again. A product that wants to spare users that keeps
// the refresh token in a cookie with HttpOnly, Secure and SameSite=Strict, out of every script's reach.

import { call } from "./api.js";
import { decodeJson } from "./base64url.js";

/** Failures of a refresh after which the server may have exchanged the token: the response was lost on its way. */
const LOST = [0, 502, 504];

/** Sends "change" when a user has logged in or out, or when the same login has other tokens. */
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

  /** The access token's claims, unverified: for showing. Only the server's verdict counts. */
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

  /** Begin a login with the tokens that the server has sent. */
  start(tokens) {
    this.#begin(tokens, "");
  }

  /** Forget the tokens. `reason` is shown. */
  end(reason) {
    this.#begin(null, reason);
  }

  /**
   * Send a request with the access token. If the token has expired or the server rejects it with 401, refresh it and
   * send the request once more. `options` are those of `call` in api.js.
   *
   * Throws a Problem, or an AbortError if the login has ended or been replaced meanwhile: the response is then another
   * login's, and must be neither shown nor repeated with the new login's token.
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
      // Only this verdict ends the login. Without a network, or while the server fails, the tokens stay.
      if (problem.status === 401) this.end("This session has ended.");
      this.#require(login);
      throw problem;
    } finally {
      if (this.#login === login) this.#renewing = null;
    }
  }

  #require(login) {
    if (this.#login !== login || !this.#tokens) throw new DOMException("This login has ended.", "AbortError");
  }

  #begin(tokens, reason) {
    this.#login += 1;
    this.#renewing = null; // an exchange that is still under way is the last login's
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
