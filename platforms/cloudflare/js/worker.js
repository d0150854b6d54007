// The Worker's entry: what workerd and Cloudflare call. Everything else is in host.js and in WASM.
import { DurableObject } from "cloudflare:workers";
import * as edge from "./index.js";
import { failure, generation, pack, start, startRequest } from "./host.js";

export default {
  fetch(request, env, context) {
    return startRequest(request, env, context, (id) => edge.handle(id, pack(request))) ?? failure(request);
  },
  async scheduled(event, env, context) {
    await start(env, context, (id) => edge.scheduled(id, event.cron, event.scheduledTime));
  },
};

// One object per shard. The state lives in WASM; after a panic the instance that held it is gone, and the object is
// made again from what its alarm last stored.
export class Ledger extends DurableObject {
  constructor(context, env) {
    super(context, env);
    context.blockConcurrencyWhile(() => this.remake());
  }

  async remake() {
    await start(this.env, this.ctx, (id) => {
      this.made = generation();
      this.inner = new edge.Ledger(this.ctx);
      this.inner.load(id);
    });
  }

  take(takes) {
    return this.made === generation() ? this.inner.take(takes) : this.remake().then(() => this.inner.take(takes));
  }

  async alarm() {
    if (this.made !== generation()) await this.remake();
    await start(this.env, this.ctx, (id) => this.inner.flush(id));
  }
}
