// Workers KV on one machine: the protocol that a `kvNamespace` binding speaks to its service, over a SQLite table.
import { DurableObject } from "cloudflare:workers";

const seconds = () => Math.floor(Date.now() / 1000);

export class Store extends DurableObject {
  constructor(context, env) {
    super(context, env);
    this.sql = context.storage.sql;
    this.sql.exec(`CREATE TABLE IF NOT EXISTS entries (
      key TEXT PRIMARY KEY, value BLOB NOT NULL, expires INTEGER, metadata TEXT)`);
  }

  async fetch(request) {
    const url = new URL(request.url);
    const key = decodeURIComponent(url.pathname.slice(1));
    if (request.method === "PUT") return this.put(key, url.searchParams, request);
    if (request.method === "DELETE") return this.delete(key);
    return key ? this.get(key) : this.list(url.searchParams);
  }

  async put(key, options, request) {
    const ttl = options.get("expiration_ttl");
    const expires = ttl ? seconds() + Number(ttl) : options.has("expiration") ? Number(options.get("expiration")) : null;
    const value = await request.arrayBuffer();
    this.sql.exec("DELETE FROM entries WHERE expires <= ?", seconds());
    const metadata = request.headers.get("cf-kv-metadata");
    this.sql.exec("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", key, value, expires, metadata);
    return new Response(null);
  }

  delete(key) {
    this.sql.exec("DELETE FROM entries WHERE key = ?", key);
    return new Response(null);
  }

  get(key) {
    const query = "SELECT value, metadata FROM entries WHERE key = ? AND (expires IS NULL OR expires > ?)";
    const [entry] = this.sql.exec(query, key, seconds()).toArray();
    if (!entry) return new Response(null, { status: 404 });
    return new Response(entry.value, { headers: entry.metadata ? { "cf-kv-metadata": entry.metadata } : {} });
  }

  list(options) {
    const prefix = options.get("prefix") ?? "";
    const query = "SELECT key AS name FROM entries WHERE substr(key, 1, ?) = ? AND (expires IS NULL OR expires > ?) ORDER BY key";
    const keys = this.sql.exec(query, prefix.length, prefix, seconds()).toArray();
    return Response.json({ keys, list_complete: true, cacheStatus: null });
  }
}

export default {
  fetch(request, env) {
    return env.STORE.getByName("store").fetch(request);
  },
};
