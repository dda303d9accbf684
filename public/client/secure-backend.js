// The client of the service for a page in a browser: login, session, step-up and passkeys.

import { Autofill } from "./autofill.js";
import { createSend } from "./http.js";
import { createPasskey, usePasskey } from "./passkeys.js";
import { Session } from "./session.js";
import { signalPasskeys } from "./signals.js";
import { StepUp } from "./step-up.js";

export class SecureBackend {
  /** The session of this page. Send requests with `session.call(method, path, body)`. */
  session;
  /** Sensitive requests: `stepUp.during(() => stepUp.call(method, path, body), prove)`. */
  stepUp;
  #autofill = new Autofill((options) => this.#logInWithPasskey(options));
  /** The list of passkeys that was requested last. Null after an addition, because the list may lack the new passkey. */
  #newestList = null;
  /** The number of additions that are under way. */
  #additions = 0;

  /** `url` is the base URL of the service without a slash at its end. The default is the origin of this page. */
  constructor({ url = "" } = {}) {
    /** Send a request without a session, such as a registration. */
    this.send = createSend(url);
    this.session = new Session(this.send, `secure-backend ${url || location.origin}`);
    this.stepUp = new StepUp(this.session);
    this.session.addEventListener("change", () => this.session.tokens && this.#autofill.stop());
  }

  /**
   * Log in with a password, and return the body of the response. If it has `mfa_required`, the user is not logged in yet:
   * call `logInWithPasskey` with its `mfa_token`.
   *
   * Throws an AbortError if another login has started a session meanwhile.
   */
  async logIn(email, password) {
    const { body } = await this.#enter((token) => this.send("POST", "/login", { body: { email, password }, token }));
    return body;
  }

  /** Log in with a passkey: alone, or after a password with its `mfa_token`. `options` are `signal` and `on` of passkeys.js. */
  logInWithPasskey(options = {}) {
    return this.#autofill.pausedDuring(() => this.#logInWithPasskey(options));
  }

  /**
   * Offer passkeys in the autofill of a field with autocomplete="username webauthn", until the user is logged in. Does
   * nothing in browsers without conditional mediation. `on` is that of passkeys.js. `onError(error)` is called if the
   * server rejects the passkey that the user selected.
   */
  offerAutofill({ on, onError } = {}) {
    if (!this.session.tokens) this.#autofill.start({ on, onError });
  }

  async #logInWithPasskey({ mfa_token, ...options }) {
    const { login } = this.session;
    await usePasskey({
      begin: () => this.send("POST", "/webauthn/login/begin", { body: mfa_token ? { mfa_token } : {} }),
      complete: (body) => {
        // A session that has started during the ceremony is not the one that this login was to replace.
        if (this.session.tokens && this.session.login !== login) throw lateLogin();
        const send = (token) => this.send("POST", "/webauthn/login/complete", { body, token });
        return this.#enter(send, options.signal);
      },
      ...options,
    });
  }

  /** Log out, in all tabs of this session. */
  async logOut() {
    await this.session.call("POST", "/logout");
    this.session.end("logged_out");
  }

  /**
   * Return the user's passkeys, newest first, and tell the authenticators which passkeys are valid. An older list, or one
   * from before the end of an addition, tells nothing: authenticators would hide a new passkey that is not in it.
   */
  async listPasskeys() {
    const list = Symbol("list");
    this.#newestList = list;
    const { body } = await this.session.call("GET", "/webauthn/credentials");
    if (this.#newestList === list && this.#additions === 0) signalPasskeys(body);
    return body.items;
  }

  /** Add a passkey, and return it. An empty `name` is the server's default. This is a sensitive request. */
  async addPasskey({ name = "", ...options } = {}) {
    this.#additions += 1;
    try {
      return await createPasskey({
        begin: () => this.stepUp.call("POST", "/webauthn/register/begin", {}),
        complete: async (body) => {
          const completed = await this.session.call("POST", "/webauthn/register/complete", { ...body, ...(name && { name }) });
          this.stepUp.forget();
          return completed;
        },
        ...options,
      });
    } finally {
      this.#additions -= 1;
      this.#newestList = null;
    }
  }

  /** Rename a passkey. This is a sensitive request. */
  async renamePasskey(id, name) {
    await this.stepUp.call("PATCH", `/webauthn/credentials/${id}`, { name });
  }

  /** Delete a passkey. This is a sensitive request. */
  async deletePasskey(id) {
    await this.stepUp.call("DELETE", `/webauthn/credentials/${id}`);
    this.stepUp.forget();
  }

  /** Step up with the password. */
  async stepUpWithPassword(current_password) {
    return this.#stepUpWith({ current_password });
  }

  /** Step up with a passkey. Add the password if the server responds with the code `password_required`. */
  async stepUpWithPasskey({ current_password, ...options } = {}) {
    const more = current_password === undefined ? {} : { current_password };
    await usePasskey({
      begin: () => this.session.call("POST", "/step-up", {}),
      complete: (body) => this.#stepUpWith({ ...body, ...more }),
      ...options,
    });
  }

  async #stepUpWith(proof) {
    const completed = await this.session.call("POST", "/step-up", proof);
    this.stepUp.keep(completed.body);
    return completed;
  }

  /**
   * Send the last request of a login, and start its session at once, so that the tab never has tokens that the server has
   * revoked. `send(token)` gets the access token of the session that the login replaces: the server revokes that session
   * (ASVS 5.0 7.2.4).
   *
   * If another login was faster, or the caller has aborted `signal`, revoke the new session and throw an AbortError.
   */
  async #enter(send, signal) {
    const isRefreshed = await this.#refreshReplacedSession();
    const { login, tokens, claims } = this.session;
    const completed = await send(tokens?.access_token);
    const isLate = this.session.login !== login || signal?.aborted;
    if (!completed.body.mfa_required) {
      if (isLate) await this.send("POST", "/logout", { token: completed.body.access_token });
      else {
        this.session.start(completed.body);
        if (!isRefreshed && claims) this.#revokeReplacedSession(claims);
      }
    }
    if (isLate) throw lateLogin();
    return completed;
  }

  /**
   * Give this tab's session a new access token, and return whether that has succeeded. The server ignores an expired token,
   * and the page cannot rule that out: `secondsLeft` does not count while the device sleeps. A failure does not stop the
   * login: only a page that is reloaded could log in, and the session would stay live too.
   */
  async #refreshReplacedSession() {
    try {
      if (this.session.tokens) await this.session.renew();
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Revoke a session whose access token may have expired before the login. The new session can revoke another one of the
   * same user only. A session of another user expires, and no tab has its tokens.
   */
  async #revokeReplacedSession({ sid, sub }) {
    if (this.session.claims?.sub !== sub) return;
    try {
      await this.stepUp.call("DELETE", `/sessions/${sid}`);
    } catch {
      // 404: the login has revoked it. After other errors it expires.
    }
  }
}

function lateLogin() {
  return new DOMException("Another login was faster.", "AbortError");
}
