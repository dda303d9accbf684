// Passkeys in the autofill of a login form (conditional mediation, WebAuthn section 5.1.4). A request waits in the
// background until the user selects a passkey in a field with autocomplete="username webauthn".

/** Milliseconds after which a waiting request gets a new challenge. The server's challenges expire after 5 minutes. */
const CHALLENGE_TIME = 4 * 60_000;

export class Autofill {
  #logIn;
  /** `{on, onError}` while the page offers passkeys, otherwise null. */
  #offer = null;
  /** Aborts the waiting request. */
  #waiting = null;
  #isRunning = false;
  #pauses = 0;
  /** When the server accepts the next request, in milliseconds of `performance.now()`. */
  #notBefore = 0;

  /** `logIn(options)` logs in with a passkey. `options` are those of `usePasskey` in passkeys.js. */
  constructor(logIn) {
    this.#logIn = logIn;
    document.addEventListener("visibilitychange", () => this.#run());
  }

  /** Offer passkeys until `stop` is called. `onError(error)` is called if the server rejects a passkey that the user selected. */
  start(offer) {
    this.#offer = offer;
    this.#run();
  }

  stop() {
    this.#offer = null;
    this.#waiting?.abort();
  }

  /** Call `ceremony()` without a waiting request, because a browser has one request at a time. */
  async pausedDuring(ceremony) {
    this.#pauses += 1;
    this.#waiting?.abort();
    try {
      return await ceremony();
    } catch (error) {
      this.#postpone(error);
      throw error;
    } finally {
      this.#pauses -= 1;
      this.#run();
    }
  }

  /** Keep one request waiting. A hidden page renews none, so that a forgotten tab sends no requests. */
  async #run() {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      let isUseful = await isAvailable();
      while (isUseful && this.#mayWait) isUseful = await this.#wait(this.#offer);
    } finally {
      this.#isRunning = false;
    }
  }

  #postpone({ retryAfter = 0 }) {
    this.#notBefore = Math.max(this.#notBefore, performance.now() + 1000 * retryAfter);
  }

  get #mayWait() {
    return this.#offer && this.#pauses === 0 && !document.hidden && performance.now() >= this.#notBefore;
  }

  /** Wait for a passkey. Return whether another request is useful: not if the server or the browser has rejected this one. */
  async #wait({ on = () => {}, onError = () => {} }) {
    this.#waiting = new AbortController();
    const timer = setTimeout(() => this.#waiting.abort(), CHALLENGE_TIME);
    let isSelected = false;
    const observe = (step, detail) => {
      if (step === "credential") {
        isSelected = true;
        clearTimeout(timer); // The challenge is used now.
      }
      return on(step, detail);
    };
    try {
      await this.#logIn({ mediation: "conditional", signal: this.#waiting.signal, on: observe });
      return false;
    } catch (error) {
      if (this.#waiting.signal.aborted) return true;
      this.#postpone(error);
      if (isSelected) onError(error);
      return isSelected;
    } finally {
      clearTimeout(timer);
    }
  }
}

async function isAvailable() {
  try {
    return Boolean(await globalThis.PublicKeyCredential?.isConditionalMediationAvailable?.());
  } catch {
    return false;
  }
}
