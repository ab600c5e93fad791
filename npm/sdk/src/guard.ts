/**
 * Stands between the page and the WebAssembly: a trap in there reaches neither the page's code nor its `error` and
 * `unhandledrejection` listeners.
 *
 * `build.mjs` puts `guard` into the generated glue, so that timers, listeners and promises that call into the module
 * directly pass through it too. Knows nothing of what the functions do.
 */

let trapped: ((error: unknown) => void) | undefined;
let broken = false;
let depth = 0;

/** Sets who is told, once, that the module trapped. After that every call into it does nothing. */
export function onTrap(listener: (error: unknown) => void): void {
  trapped = listener;
}

/** The exports of a module, each function guarded. */
export function guard(exports: WebAssembly.Exports): WebAssembly.Exports {
  const guarded: WebAssembly.Exports = {};
  for (const [name, item] of Object.entries(exports)) {
    guarded[name] = typeof item === "function" ? guardOne(item as (...args: unknown[]) => unknown) : item;
  }
  return guarded;
}

function guardOne(call: (...args: unknown[]) => unknown): (...args: unknown[]) => unknown {
  return (...args) => {
    if (broken) return undefined;
    depth += 1;
    try {
      return call(...args);
    } catch (error) {
      broken = true;
      // Within another call into the module: that one must not go on with a wrong answer.
      if (depth > 1) throw error;
      trapped?.(error);
      return undefined;
    } finally {
      depth -= 1;
    }
  };
}
