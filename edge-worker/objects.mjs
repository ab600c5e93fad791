/**
 * The Durable Objects: what all isolates share.
 *
 * Separate from the Rust because an object outlives requests, and a panic in one of them ends the module; so the objects
 * keep nothing in it. They store and nothing else: what a budget is, is computed by `lease`, which keeps nothing.
 */

const DAY_MS = 86_400_000;
/** Seconds for which a salt is kept beyond its day, for isolates whose clock is behind. */
const SALT_SPARE_S = 3_600;

/**
 * The meters of one project's keys, in SQLite: one row for each key, so there are as few as the project has keys.
 *
 * @param {Function} lease The arithmetic, of the collector.
 */
export function limits(lease) {
  return class Limits {
    constructor(state) {
      this.sql = state.storage.sql;
      this.sql.exec("CREATE TABLE IF NOT EXISTS meters (subject TEXT PRIMARY KEY, events TEXT, bytes TEXT) WITHOUT ROWID");
    }

    async fetch(request) {
      const { subject, budgets } = await request.json();
      const [row] = this.sql.exec("SELECT events, bytes FROM meters WHERE subject = ?", subject);
      const now = BigInt(Date.now());
      const meters = [row?.events ?? "0", row?.bytes ?? "0"];
      const answers = budgets.map((budget, place) =>
        [...lease(budget.per_s, budget.burst, BigInt(meters[place]), now, budget.spent, budget.wanted)],
      );
      // Nanoseconds don't fit a JavaScript number, so they are text.
      const [events, bytes] = answers.map(([meter]) => String(meter));
      this.sql.exec("INSERT OR REPLACE INTO meters VALUES (?, ?, ?)", subject, events, bytes);
      const lent = answers.map(([, lent]) => Number(lent));
      return Response.json({ lent, wait_s: Math.max(...answers.map(([, , wait]) => Number(wait))) });
    }
  };
}

/**
 * The day's salt for visitors. One object for all, so that all isolates use the same.
 *
 * It is not kept in the object's own storage, which Cloudflare can turn back for 30 days, but in KV with an end: it
 * must be gone, beyond anybody's reach, within 48 hours.
 */
export class Salt {
  constructor(_state, env) {
    this.env = env;
    this.day = -1;
  }

  async fetch() {
    const day = Math.floor(Date.now() / DAY_MS);
    if (day !== this.day) {
      this.day = day;
      this.salt = this.find(day);
    }
    try {
      return Response.json({ day, salt: await this.salt });
    } catch (error) {
      this.day = -1;
      throw error;
    }
  }

  async find(day) {
    const name = `salt:${day}`;
    const known = await this.env.KEYS.get(name);
    if (known) return known;
    const bytes = crypto.getRandomValues(new Uint8Array(32));
    const salt = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    await this.env.KEYS.put(name, salt, { expiration: ((day + 1) * DAY_MS) / 1_000 + SALT_SPARE_S });
    return salt;
  }
}
