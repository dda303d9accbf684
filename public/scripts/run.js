// A WebAuthn ceremony while it runs. ceremonies.js reports each step to it. This class shows nothing. The subclass in
// diagram.js shows each step.

/** A run is over when it has finished or failed, or when the next run has started. */
export class Run {
  #abort = new AbortController();
  /** The challenge, which is highlighted in all messages. */
  marked = null;

  /** Aborts the browser's part of this ceremony. */
  get signal() {
    return this.#abort.signal;
  }

  get isOver() {
    return this.signal.aborted;
  }

  /** Continue with a step and show its messages. Throws if the run is over. */
  async reach() {
    this.signal.throwIfAborted();
  }

  /** Show the messages of a step. Replaces the messages that it has shown. */
  show() {}

  /** Run a part of the ceremony. If it throws, the ceremony has failed. */
  async during(part) {
    try {
      return await part();
    } catch (error) {
      if (!this.isOver) this.fail(error);
      throw error;
    }
  }

  /** End the run as failed. */
  fail() {
    this.abandon();
  }

  /** End the run as finished. */
  finish() {
    this.abandon();
  }

  /** End the run at its current step. */
  abandon() {
    this.#abort.abort();
  }
}
