// Who is logged in: the two tokens, and the requests that need one.
//
// The tokens live in this variable and nowhere else. What localStorage or sessionStorage hold can be read by any script
// that ever gets into the page, also long afterwards, and outlives the tab; a variable of a module cannot be reached from
// outside it. The price: whoever reloads the page has to log in again. A product that wants to spare people that keeps
// the refresh token in a cookie with HttpOnly, Secure and SameSite=Strict, out of every script's reach.

import { call } from "./api.js";
import { decodeJson } from "./base64url.js";

/** Sends "change" when somebody has logged in or out, or the same person has other tokens. */
class Session extends EventTarget {
  #tokens = null;
  #renewing = null;

  /** The token pair as the server sent it, or null. */
  get tokens() {
    return this.#tokens;
  }

  /** The access token's claims, unverified: for showing. Only the server's verdict counts. */
  get claims() {
    return this.#tokens && decodeJson(this.#tokens.access_token.split(".")[1]);
  }

  /** Somebody has logged in, or has proved once more who they are. */
  start(tokens) {
    this.#set(tokens, "");
  }

  /** Forget the tokens. `reason` is shown. */
  end(reason) {
    this.#set(null, reason);
  }

  /** Send a request with the access token, renewed before if it has expired. A 401 ends this session. */
  async call(method, path, body) {
    if (this.claims.exp * 1000 <= Date.now()) await this.renew();
    const { access_token: token } = this.#tokens;
    try {
      return await call(method, path, { body, token });
    } catch (problem) {
      // Unless it was answered for a token that we have replaced in the meantime.
      if (problem.status === 401 && this.#tokens?.access_token === token) this.end("This session has ended.");
      throw problem;
    }
  }

  /** Exchange the refresh token, which works once. Requests that need it at the same time share one exchange. */
  async renew() {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  async #renew() {
    const { refresh_token } = this.#tokens;
    try {
      const { body } = await call("POST", "/token/refresh", { body: { refresh_token } });
      if (this.#tokens) this.#set(body, ""); // somebody may have logged out meanwhile
    } catch (problem) {
      if (problem.status === 401) this.end("This session has ended.");
      throw problem;
    }
  }

  #set(tokens, reason) {
    const before = this.claims?.sub;
    this.#tokens = tokens;
    const isSamePerson = before === this.claims?.sub;
    this.dispatchEvent(new CustomEvent("change", { detail: { reason, isSamePerson } }));
  }
}

export const session = new Session();
