/**
 * The element `<rivulet-chart>`: asks a query with a read key, draws the answer, and asks again every `refresh`
 * seconds.
 *
 * It holds the way to the server (what to ask, when, and what to say when there is no answer); pictures are
 * `mount.ts`'s. What the server says is only ever shown as text.
 */

import { mount } from "./mount.js";
import type { Answer, Chart, ChartOptions, ChartType } from "../types/index.js";

/** Attributes that go into the query as they are, with their names in the API. */
const TEXTS = {
  "event-collection": "event_collection",
  "target-property": "target_property",
  timeframe: "timeframe",
  interval: "interval",
  timezone: "timezone",
};

/** Attributes that may be JSON: `filters='[…]'`, `group-by='["a","b"]'`, `timeframe='{"start":…}'`. */
const STRUCTURES = {
  "group-by": "group_by",
  filters: "filters",
  "order-by": "order_by",
  limit: "limit",
  percentile: "percentile",
};

/** Attributes that change the picture but not the query. */
const LOOKS = ["chart", "title", "theme"];

const SHEET = `
:host { display: block; position: relative; height: 240px; contain: layout paint; }
:host([hidden]) { display: none; }
#words { position: absolute; inset: 0; z-index: 1; display: flex; align-items: center; justify-content: center;
  margin: 0; padding: 12px; box-sizing: border-box; text-align: center; overflow: auto; overflow-wrap: anywhere; color: #5b6675;
  font: 14px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
#words[hidden] { display: none; }
#words[role=alert] { color: #a3260f; background: #fdf1ee; }
#words.note { inset: auto 0 0 auto; max-width: 100%; padding: 3px 8px; font-size: 12px; border-radius: 4px 0 0 0; }
@media (prefers-color-scheme: dark) {
  #words { color: #a3aebc; }
  #words[role=alert] { color: #ffb4a5; background: #3a1a14; }
}`;

/** Longest wait after failures, in seconds: a server that is back is noticed within a minute. */
const WAIT_MAX = 60;

/**
 * Registers `<rivulet-chart>`, once; the script-tag build does it by itself.
 *
 * ```html
 * <rivulet-chart server="https://events.example.com" project="…" key="rvr…" analysis="count"
 *   event-collection="clicks" timeframe="this_14_days" interval="daily" refresh="10"></rivulet-chart>
 * ```
 */
export function defineElement(): void {
  if (customElements.get("rivulet-chart")) return;
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(SHEET);
  customElements.define(
    "rivulet-chart",
    class extends HTMLElement {
      static observedAttributes = [
        "server",
        "project",
        "key",
        "analysis",
        "refresh",
        ...LOOKS,
        ...Object.keys(TEXTS),
        ...Object.keys(STRUCTURES),
      ];

      #chart?: Chart;
      #kind?: string | null;
      #answer?: Answer;
      #words = document.createElement("p");
      #asking?: AbortController;
      #timer = 0;
      #failures = 0;
      #due = false;

      constructor() {
        super();
        const root = this.attachShadow({ mode: "open" });
        root.adoptedStyleSheets = [sheet];
        this.#words.id = "words";
        root.append(this.#words);
      }

      connectedCallback() {
        document.addEventListener("visibilitychange", this.#visible);
        this.#draw();
        this.#start();
      }

      disconnectedCallback() {
        document.removeEventListener("visibilitychange", this.#visible);
        this.#stop();
        this.#chart?.destroy();
        this.#chart = undefined;
      }

      attributeChangedCallback(name: string, before: string | null, now: string | null) {
        if (!this.isConnected || before === now) return;
        if (LOOKS.includes(name)) this.#draw();
        else this.#start();
      }

      /** Asks anew, once all attributes of this turn are set. */
      #start() {
        this.#stop();
        this.#failures = 0;
        if (!this.#answer) this.#say("Loading…");
        this.#timer = setTimeout(() => this.#ask());
      }

      #stop() {
        clearTimeout(this.#timer);
        this.#asking?.abort();
        this.#asking = undefined;
      }

      /** What fell due while the page was hidden is done when it is shown. */
      #visible = () => {
        if (!document.hidden && this.#due) this.#ask();
      };

      async #ask() {
        this.#due = document.hidden && !!this.#answer;
        if (this.#due) return;
        const asking = (this.#asking = new AbortController());
        let after = 0;
        try {
          const answer = await ask(this, asking.signal);
          if (asking.signal.aborted) return;
          this.#answer = answer;
          this.#failures = 0;
          this.#draw();
        } catch (error) {
          if (asking.signal.aborted) return;
          after = Math.min(2 ** this.#failures++, WAIT_MAX);
          this.#say((error as Error).message, true);
          // What was refused will be refused again; only an attribute can change that.
          if (error instanceof Refused) return;
        }
        const refresh = Number(this.getAttribute("refresh"));
        if (refresh > 0) this.#timer = setTimeout(() => this.#ask(), Math.max(refresh, after, 0.25) * 1e3);
      }

      #draw() {
        if (!this.#answer) return;
        const kind = this.getAttribute("chart");
        const options: ChartOptions = {
          title: this.title,
          theme: (this.getAttribute("theme") as ChartOptions["theme"]) ?? undefined,
          timezone: this.getAttribute("timezone") ?? undefined,
        };
        if (this.#chart && kind !== this.#kind) {
          this.#chart.destroy();
          this.#chart = undefined;
        }
        this.#kind = kind;
        try {
          this.#chart ??= mount(this.shadowRoot!, (kind as ChartType) ?? undefined);
          this.#chart.update(this.#answer, options);
          this.#words.hidden = true;
        } catch (error) {
          this.#say((error as Error).message, true);
        }
      }

      /** Says something in place of the chart, or, when there is one, in its corner. */
      #say(text: string, wrong = false) {
        // Saying the same again would have it read aloud again.
        if (this.#words.textContent !== text) this.#words.textContent = text;
        this.#words.className = this.#chart ? "note" : "";
        this.#words.setAttribute("role", wrong ? "alert" : "status");
        this.#words.hidden = false;
      }
    },
  );
}

/** The server's own refusal, for which waiting doesn't help. */
class Refused extends Error {}

/** One query; throws with the server's message as its own. */
async function ask(element: HTMLElement, signal: AbortSignal): Promise<Answer> {
  const attribute = (name: string) => element.getAttribute(name);
  const query: Record<string, unknown> = {};
  for (const [name, key] of Object.entries({ ...TEXTS, ...STRUCTURES })) {
    const value = attribute(name);
    if (value) query[key] = name in STRUCTURES || value[0] === "{" ? structure(value) : value;
  }
  if (query.timezone === "local") query.timezone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const [server, project, key] = ["server", "project", "key"].map((name) => attribute(name) ?? "");
  const analysis = attribute("analysis") ?? "count";
  const base = `${server.replace(/\/+$/, "")}/3.0/projects/${encodeURIComponent(project)}`;
  const url = `${base}/queries/${encodeURIComponent(analysis)}`;
  let reply: Response;
  let body: unknown;
  try {
    reply = await fetch(url, {
      method: "POST",
      headers: { Authorization: key, "Content-Type": "application/json" },
      body: JSON.stringify(query),
      credentials: "omit",
      signal,
    });
    body = await reply.json().catch(() => undefined);
  } catch {
    throw new Error("The server can't be reached.");
  }
  if (reply.ok && body) return body as Answer;
  const message = (body as { message?: unknown } | undefined)?.message;
  const text = typeof message === "string" ? message : `The server answered with ${reply.status}.`;
  throw reply.status >= 400 && reply.status < 500 && reply.status !== 429 ? new Refused(text) : new Error(text);
}

/** JSON when it is some, else the text itself. */
function structure(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
