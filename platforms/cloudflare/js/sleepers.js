// The sleeps of one invocation, on at most one timer of the host. Nearly every sleep is a deadline that does not pass, and a
// timer costs more than what it guards: so a sleep that is over leaves the timer alone, and the next one uses it.
export class Sleepers {
  #until = new Map(); // by operation, in milliseconds since the epoch
  #wake;
  #timer;
  #rings = Infinity; // when the timer rings

  // `wake` is called with each operation whose time has come.
  constructor(wake) {
    this.#wake = wake;
  }

  add(operation, milliseconds) {
    const until = Date.now() + milliseconds;
    this.#until.set(operation, until);
    if (until < this.#rings) this.#set(until);
  }

  remove(operation) {
    this.#until.delete(operation);
  }

  // No operation is woken any more.
  stop() {
    clearTimeout(this.#timer);
    this.#until.clear();
  }

  #set(rings) {
    clearTimeout(this.#timer);
    this.#rings = rings;
    this.#timer = setTimeout(() => this.#ring(), Math.max(rings - Date.now(), 0));
  }

  #ring() {
    this.#rings = Infinity;
    const now = Date.now();
    const due = [...this.#until].filter(([, until]) => until <= now).sort(([, one], [, other]) => one - other);
    for (const [operation] of due) this.#until.delete(operation);
    const next = Math.min(...this.#until.values());
    if (next !== Infinity) this.#set(next);
    for (const [operation] of due) this.#wake(operation);
  }
}
