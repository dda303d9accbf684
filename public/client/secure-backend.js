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
    const { login } = this.session;
    const { body } = await this.send("POST", "/login", { body: { email, password }, token: this.#replacedToken });
    await this.#enter(body, login);
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
    const tokens = await usePasskey({
      begin: () => this.send("POST", "/webauthn/login/begin", { body: mfa_token ? { mfa_token } : {} }),
      complete: (body) => this.send("POST", "/webauthn/login/complete", { body, token: this.#replacedToken }),
      ...options,
    });
    await this.#enter(tokens, login);
  }

  /** Log out, in all tabs of this session. */
  async logOut() {
    await this.session.call("POST", "/logout");
    this.session.end("logged_out");
  }

  /** Return the user's passkeys, newest first, and tell the authenticators which passkeys are valid. */
  async listPasskeys() {
    const { body } = await this.session.call("GET", "/webauthn/credentials");
    signalPasskeys(body);
    return body.items;
  }

  /** Add a passkey, and return it. An empty `name` is the server's default. This is a sensitive request. */
  async addPasskey({ name = "", ...options } = {}) {
    const passkey = await createPasskey({
      begin: () => this.stepUp.call("POST", "/webauthn/register/begin", {}),
      complete: (body) => this.session.call("POST", "/webauthn/register/complete", { ...body, ...(name && { name }) }),
      ...options,
    });
    this.stepUp.forget();
    return passkey;
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
    const completed = await this.session.call("POST", "/step-up", { current_password });
    this.stepUp.keep(completed.body);
    return completed;
  }

  /** Step up with a passkey. Add the password if the server responds with the code `password_required`. */
  async stepUpWithPasskey({ current_password, ...options } = {}) {
    const more = current_password === undefined ? {} : { current_password };
    const token = await usePasskey({
      begin: () => this.session.call("POST", "/step-up", {}),
      complete: (body) => this.session.call("POST", "/step-up", { ...body, ...more }),
      ...options,
    });
    this.stepUp.keep(token);
  }

  /** The access token of the session that a login replaces. The server then revokes this session (ASVS 5.0 7.2.4). */
  get #replacedToken() {
    return this.session.tokens?.access_token;
  }

  /** Start the session of a login, unless another login was faster since `login`. Then revoke this late session. */
  async #enter(body, login) {
    if (this.session.login === login) {
      if (!body.mfa_required) this.session.start(body);
      return;
    }
    if (!body.mfa_required) await this.send("POST", "/logout", { token: body.access_token });
    throw new DOMException("Another login was faster.", "AbortError");
  }
}
