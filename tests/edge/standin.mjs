/**
 * Stands for Cloudflare's queue and KV while the worker is measured: takes every message, and knows one project and its key.
 *
 * Separate because it runs in a service of its own in workerd, where bindings of these kinds are plain requests.
 */
const record = { project: "p", kind: "write", is_active: true, permitted: ["writes"], options: {} };

export default {
  async fetch(request) {
    if (request.method === "POST") {
      await request.arrayBuffer();
      const metrics = { backlogCount: 0, backlogBytes: 0, oldestMessageTimestamp: 0 };
      return Response.json({ metadata: { metrics } });
    }
    const name = decodeURIComponent(new URL(request.url).pathname.slice(1));
    if (name.startsWith("key:")) return Response.json(record);
    return name.startsWith("project:") ? Response.json({}) : new Response(null, { status: 404 });
  },
};
