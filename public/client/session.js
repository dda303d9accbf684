// The session: the token pair, requests with the access token, and the exchange of the refresh token.
//
// Only variables of this module have the tokens. Any script that an attacker brings into the page can read localStorage
// and sessionStorage, also later, but not a variable of a module. The drawback: a user who reloads the last open page has
// to log in again. To avoid that, a product can keep the refresh token in a cookie with HttpOnly, Secure and
// SameSite=Strict, which no script can read.
//
// The open pages ("tabs") of one origin share a session, because the user expects it. A refresh token works once, and the
// server revokes the session if a spent one arrives later than 10 seconds. So the tabs follow these rules:
//
// - One tab at a time exchanges the refresh token. First it asks the others whether they have a newer pair.
// - It announces the exchange. If it is closed before it has sent the new pair, the next tab repeats the exchange at once.
// - A tab receives a newer pair only for its own session. A tab without a session receives one only while it joins.
// - The end of the session in one tab is its end in all tabs.
// - Passwords, mfa_tokens and step-up tokens never leave their tab.

import { decodeJson } from "./base64url.js";
import { Tabs } from "./tabs.js";

/**
 * Statuses of a failed refresh after which the server may have exchanged the token: the response was lost, or for 503 the
 * database's response to the commit.
 */
const LOST = [0, 502, 503, 504];
/** Milliseconds to wait for a refresh: a second attempt must arrive within 10 seconds of the first. */
const EXCHANGE_TIME = 5_000;

/**
 * Dispatches "change" after a login, a logout and a refresh. The event's detail is `{reason, isRenewal}`. After the end of
 * a session `reason` is "logged_out" or "expired".
 */
export class Session extends EventTarget {
  #send;
  #tabs;
  #tokens = null;
  /** The number of exchanges since the login. The tab with the highest number has the refresh token that still works. */
  #generation = 0;
  /** When the access token expires, in milliseconds of `performance.now()`. */
  #expiresAt = 0;
  #renewing = null;
  #isJoining = false;
  #login = 0;

  /** `send` is made by `createSend` in http.js. Tabs with the same `name` share a session. */
  constructor(send, name) {
    super();
    this.#send = send;
    this.#tabs = new Tabs(name, (message) => this.#receive(message));
  }

  /** The token pair as the server sent it, or null. */
  get tokens() {
    return this.#tokens;
  }

  /** The claims of the access token, not verified. The page only shows them: the server verifies each token. */
  get claims() {
    return this.#tokens && claimsOf(this.#tokens);
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

  /** Start a session with a token pair. It replaces the session of this tab, which ends in the other tabs too. */
  start(tokens) {
    this.#announceEnd("logged_out");
    this.#begin(tokens, "");
  }

  /** Join the session of another open tab, if there is one and the user does not log in meanwhile. */
  async join() {
    this.#isJoining = true;
    await this.#tabs.ask(null, { type: "ask", sid: null });
    this.#isJoining = false;
  }

  /** Forget the tokens, in all tabs of this session. */
  end(reason) {
    this.#announceEnd(reason);
    this.#begin(null, reason);
  }

  #announceEnd(reason) {
    if (this.#tokens) this.#tabs.post({ type: "ended", sid: this.claims.sid, reason });
  }

  /**
   * Send a request with the access token. If the token has expired or the server rejects it with 401, refresh it and
   * send the request once more. `options` are those of `send` in http.js.
   *
   * Throws a Problem. Throws an AbortError if the session has ended or been replaced meanwhile, because the response
   * belongs to another session: do not show it, and do not repeat the request with the new token.
   */
  async call(method, path, body, options = {}) {
    const login = this.#login;
    const send = async () => {
      this.#require(login);
      try {
        return await this.#send(method, path, { ...options, body, token: this.#tokens.access_token });
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
      // Another request, or another tab, may have refreshed the tokens while this one was under way.
      if (this.#tokens === before) await this.renew();
      return await send();
    }
  }

  /**
   * Return an access token for another service: a body with `access_token` and `expires_in`. `resource` is the URI of that
   * service, which an operator has configured. Send the token to that service only, and keep it until it expires: each call
   * refreshes the session twice, the second time for this service. This service rejects the token.
   *
   * Throws a Problem, with the code `invalid_target` for an unknown service. Throws an AbortError like `call`.
   */
  async tokenFor(resource) {
    const login = this.#login;
    return this.#alone(login, async () => {
      const { access_token, expires_in } = await this.#exchangeAndShare(login, { resource });
      await this.#exchangeAndShare(login);
      return { access_token, expires_in };
    });
  }

  /** Exchange the refresh token, which works once. Requests that need it at the same time share one exchange. */
  async renew() {
    await this.#renewOnce({ isFollowing: false });
  }

  async #renewOnce({ isFollowing }) {
    this.#renewing ??= this.#renew(this.#login, isFollowing);
    await this.#renewing;
  }

  async #renew(login, isFollowing) {
    const generation = this.#generation;
    try {
      await this.#alone(login, async () => {
        if (this.#generation > generation) return; // Another tab has sent a newer pair.
        await this.#exchangeAndShare(login, { isFollowing });
      });
    } finally {
      if (this.#login === login) this.#renewing = null;
    }
  }

  /** Call `action()` while no other tab exchanges the refresh token, and after the others have sent their newest pair. */
  async #alone(login, action) {
    try {
      this.#require(login);
      const { sid } = this.claims;
      return await this.#tabs.exclusively(sid, async () => {
        this.#require(login);
        await this.#tabs.ask(sid, { type: "ask", sid });
        this.#require(login);
        return action();
      });
    } catch (problem) {
      this.#require(login);
      // Only a 401 ends the session. After a network error or a 5xx the tokens are kept.
      if (problem.status === 401) this.end("expired");
      this.#require(login);
      throw problem;
    }
  }

  /** Exchange the refresh token, and send the new pair to the other tabs. Return the body of the response. */
  async #exchangeAndShare(login, { isFollowing = false, resource } = {}) {
    const generation = this.#generation;
    // A tab that follows another one does not announce its attempt, so that tabs without a network do not take turns.
    if (!isFollowing) this.#tabs.post({ type: "exchanging", sid: this.claims.sid, generation });
    const { body } = await this.#exchange(resource);
    this.#require(login);
    // A token for another service does not become the token of this session.
    const [pair, secondsLeft] = resource ? [{ ...body, access_token: this.#tokens.access_token }, this.secondsLeft] : [body];
    this.#set(pair, generation + 1, { reason: "", isRenewal: true }, secondsLeft);
    this.#tabs.post(this.#pair());
    return body;
  }

  /** Send the refresh token. If the response is lost, send it again: the server accepts it twice within 10 seconds. */
  async #exchange(resource) {
    const body = { refresh_token: this.#tokens.refresh_token, ...(resource && { resource }) };
    const exchange = () => this.#send("POST", "/token/refresh", { body, signal: AbortSignal.timeout(EXCHANGE_TIME) });
    try {
      return await exchange();
    } catch (problem) {
      if (!LOST.includes(problem.status)) throw problem;
      return exchange();
    }
  }

  /** Process a message of another tab. */
  #receive(message) {
    const isOwn = this.#tokens !== null && message.sid === this.claims.sid;
    switch (message.type) {
      case "ask":
        if (isOwn || (this.#tokens && message.sid === null)) this.#tabs.post({ ...this.#pair(), answers: message.question });
        break;
      case "pair":
        if (isOwn && message.generation > this.#generation && claimsOf(message.tokens).sid === message.sid) this.#adopt(message, { isRenewal: true });
        else if (!this.#tokens && this.#isJoining) this.#adopt(message, { isRenewal: false });
        break;
      case "exchanging":
        // Wait for the lock, which is free when the other tab has sent the new pair or is closed.
        if (isOwn && message.generation >= this.#generation) this.#renewOnce({ isFollowing: true }).catch(() => {});
        break;
      case "ended":
        if (isOwn) this.#begin(null, message.reason);
        break;
    }
  }

  /** Return the message with the token pair. It has no step-up token: a tab that joins has to prove who its user is. */
  #pair() {
    const { step_up_token: _, ...tokens } = this.#tokens;
    return { type: "pair", sid: this.claims.sid, tokens, generation: this.#generation, secondsLeft: this.secondsLeft };
  }

  #adopt({ tokens, generation, secondsLeft }, { isRenewal }) {
    if (isRenewal) this.#set(tokens, generation, { reason: "", isRenewal }, secondsLeft);
    else this.#begin(tokens, "", generation, secondsLeft);
  }

  #require(login) {
    if (this.#login !== login || !this.#tokens) throw new DOMException("This session is over.", "AbortError");
  }

  #begin(tokens, reason, generation = 0, secondsLeft = tokens?.expires_in) {
    this.#login += 1;
    this.#renewing = null; // A refresh that is still running belongs to the previous session.
    this.#set(tokens, generation, { reason, isRenewal: false }, secondsLeft);
  }

  #set(tokens, generation, detail, secondsLeft = tokens?.expires_in) {
    this.#tokens = tokens;
    this.#generation = generation;
    this.#expiresAt = performance.now() + 1000 * (secondsLeft ?? 0);
    if (!detail.isRenewal) {
      if (tokens) this.#tabs.enter(this.claims.sid);
      else this.#tabs.leave();
    }
    this.dispatchEvent(new CustomEvent("change", { detail }));
  }
}

function claimsOf({ access_token }) {
  return decodeJson(access_token.split(".")[1]);
}
