// Fires the Worker's scheduled handler on request, as Cloudflare's clock would: `GET /cdn-cgi/handler/scheduled?cron=…`.
export default {
  async fetch(request, env) {
    const cron = new URL(request.url).searchParams.get("cron") ?? "";
    const result = await env.WORKER.scheduled({ cron, scheduledTime: new Date() });
    return Response.json(result, { status: result.outcome === "ok" ? 200 : 500 });
  },
};
