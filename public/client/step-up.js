// The step-up token: the second secret of a sensitive request. A client sends its access token to other services too,
// where it may be stolen. It sends the step-up token only to this service, with the requests that need it.

/** Seconds for which the step-up token of a login is valid. The login's response does not contain this number. */
const LIFETIME = 600;

/** The methods of a proof that this client has. */
const METHODS = ["webauthn", "password"];

export class StepUp {
  #session;
  #token = null;
  /** When it expires, in milliseconds of `performance.now()`: the device's clock may be wrong. */
  #expiresAt = 0;

  constructor(session) {
    this.#session = session;
    session.addEventListener("change", ({ detail: { isRenewal } }) => {
      if (!isRenewal) this.keep({ step_up_token: session.tokens?.step_up_token, expires_in: LIFETIME });
    });
  }

  /** Keep the step-up token of a response in memory. It replaces the one before, as it does on the server. */
  keep({ step_up_token = null, expires_in }) {
    this.#token = step_up_token;
    this.#expiresAt = performance.now() + 1000 * expires_in;
  }

  /** Forget the step-up token. Each passkey added or removed, for example, deletes it on the server. */
  forget() {
    this.#token = null;
  }

  /** Send a sensitive request: with the access token and, unless it has expired, the step-up token. */
  call(method, path, body) {
    return this.#session.call(method, path, body, { stepUpToken: performance.now() < this.#expiresAt ? this.#token : null });
  }

  /**
   * Call `action()`. If the server requires a step-up, call `prove({problem, methods})` and then `action()` once more.
   * `prove` asks the user for one of the methods, "webauthn" or "password", and sends the proof. If it throws, the request
   * stays rejected.
   */
  async during(action, prove) {
    try {
      return await action();
    } catch (problem) {
      const methods = problem.code === "step_up_required" ? METHODS.filter((method) => problem.document.methods?.includes(method)) : [];
      if (!methods.length) throw problem;
      await prove({ problem, methods });
      return action();
    }
  }
}
