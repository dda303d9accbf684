// Polling, while the page is visible and the user has not paused it.

import { find } from "../elements.js";
import { showProblem } from "../forms.js";

const INTERVAL = 10_000;

export class Polling {
  #poll;
  #timer = null;
  #isOn = false;
  #isPaused = false;

  /** `poll()` is called again and again, each time INTERVAL milliseconds after the previous call has finished. */
  constructor(poll) {
    this.#poll = poll;
    document.addEventListener("visibilitychange", () => this.#schedule(0));
    find("pause").addEventListener("click", () => {
      this.#isPaused = !this.#isPaused;
      find("pause").setAttribute("aria-pressed", String(this.#isPaused));
      this.#schedule(0);
    });
  }

  start() {
    this.#isOn = true;
    this.#schedule(INTERVAL);
  }

  stop() {
    this.#isOn = false;
    this.#schedule(0);
  }

  #schedule(delay) {
    clearTimeout(this.#timer);
    if (!this.#isOn || this.#isPaused || document.visibilityState === "hidden") return;
    this.#timer = setTimeout(() => this.#run(), delay);
  }

  async #run() {
    const problem = find("poll-problem");
    const timer = this.#timer;
    try {
      await this.#poll();
      problem.replaceChildren();
    } catch (error) {
      showProblem(problem, error); // The next poll tries again.
    }
    if (timer === this.#timer) this.#schedule(INTERVAL);
  }
}
