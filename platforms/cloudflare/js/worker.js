// The Worker's entry: what workerd and Cloudflare call. Everything else is in host.js and in WASM.
import { DurableObject } from "cloudflare:workers";
import * as edge from "./index.js";
import { call, failure, generation, pack, start, startRequest } from "./host.js";

export default {
  fetch(request, env, context) {
    return startRequest(request, env, context, (id) => edge.handle(id, pack(request))) ?? failure(request);
  },
  async scheduled(event, env, context) {
    await start(env, context, (id) => edge.scheduled(id, event.cron, event.scheduledTime));
  },
};

const ALARM_AGAIN_AFTER = 1000;

// One object per name. What it holds is in WASM; after a panic the instance that held it is gone, and the object is made
// again from its storage. Reading and changing it takes no time to wait in, so nothing comes in between.
export class Ledger extends DurableObject {
  #rust;
  #made; // in which instance

  take(takes) {
    return call(this.env, () => this.#inner().take(takes));
  }

  apply(operations) {
    return call(this.env, () => this.#inner().apply(operations));
  }

  async alarm() {
    const before = generation();
    try {
      await start(this.env, this.ctx, (id) => this.#inner().alarm(id));
      if (before === generation()) return;
    } catch {
      // Said already.
    }
    await this.ctx.storage.setAlarm(Date.now() + ALARM_AGAIN_AFTER);
  }

  #inner() {
    if (this.#made !== generation()) {
      this.#made = generation();
      this.#rust = new edge.Ledger(this.ctx.storage);
    }
    return this.#rust;
  }
}
