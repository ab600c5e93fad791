// Counts checks and says how each went, one line each; the last line is what `cargo xtask test` reads.
//
// A check that fails does not stop the next one, unless the next one needs what it made.

let passed = 0;
let failed = 0;

/** Runs one check. Its name states a fact. Gives what the check gives, or `undefined` when it failed. */
export async function check(name, body) {
  const started = performance.now();
  try {
    const value = await body();
    passed += 1;
    console.log(`ok - ${name} (${Math.round(performance.now() - started)} ms)`);
    return value;
  } catch (error) {
    failed += 1;
    console.log(`not ok - ${name}\n${String(error?.stack ?? error).replace(/^/gm, "    ")}`);
    return undefined;
  }
}

/** Prints the count and ends the process accordingly. */
export function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed > 0 || passed === 0 ? 1 : 0);
}
