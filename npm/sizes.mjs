// Measures what the packages publish: raw, gzip -9 and brotli 11 bytes of every file of their dist folders.
//
// --print shows the table, --write keeps it as npm/sizes.txt, --check fails when the kept table does not describe the
// build any more, so that a size changes only in the commit that changes it.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const kept = join(here, "sizes.txt");
/** Compilers and compressors of different machines differ by a few bytes; more than this share is a change. */
const TOLERANCE = 0.01;
/** Below this many bytes the share means nothing. */
const TOLERANCE_BYTES = 64;

/** Every file of the packages' dist folders, sorted. */
function published() {
  const files = [];
  for (const name of ["sdk", "charts"]) {
    const dist = join(here, name, "dist");
    for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
      if (entry.isFile() && !entry.name.endsWith(".map")) files.push(join(entry.parentPath, entry.name));
    }
  }
  return files.sort();
}

/** The sizes of one file. */
function measure(file) {
  const bytes = readFileSync(file);
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  return [bytes.length, gzipSync(bytes, { level: 9 }).length, brotliCompressSync(bytes, { params }).length];
}

/** The table as text: one file per line. */
function print(rows) {
  const lines = [["raw", "gzip", "brotli", "file"], ...rows.map(([name, sizes]) => [...sizes.map(String), name])];
  return lines.map(([raw, gzip, brotli, name]) =>
    `${raw.padStart(9)}${gzip.padStart(9)}${brotli.padStart(9)}  ${name}`).join("\n") + "\n";
}

/** Reads such a table back. */
function parse(text) {
  const rows = text.split("\n").slice(1).filter(Boolean).map((line) => line.trim().split(/\s+/));
  return new Map(rows.map(([raw, gzip, brotli, name]) => [name, [raw, gzip, brotli].map(Number)]));
}

/** What differs between the kept table and the build, one line each. */
function differences(before, rows) {
  const found = [];
  const now = new Map(rows);
  for (const name of new Set([...before.keys(), ...now.keys()])) {
    const [old, fresh] = [before.get(name), now.get(name)];
    if (!old) found.push(`${name}: new, ${fresh.join(" / ")} bytes`);
    else if (!fresh) found.push(`${name}: no longer built`);
    else if (old.some((bytes, at) => Math.abs(fresh[at] - bytes) > Math.max(bytes * TOLERANCE, TOLERANCE_BYTES))) {
      found.push(`${name}: ${old.join(" / ")} bytes are now ${fresh.join(" / ")}`);
    }
  }
  return found;
}

const rows = published().map((file) => [relative(here, file), measure(file)]);
switch (process.argv[2]) {
  case "--write":
    writeFileSync(kept, print(rows));
    console.log(print(rows).trimEnd());
    break;
  case "--check": {
    let before = "";
    try {
      before = readFileSync(kept, "utf8");
    } catch {
      // Reported below: every file is new.
    }
    const found = differences(parse(before), rows);
    if (found.length > 0) {
      console.error(["npm/sizes.txt does not describe the build; run `cargo xtask npm` and commit it:", ...found].join("\n"));
      process.exit(1);
    }
    console.log(print(rows).trimEnd());
    break;
  }
  default:
    console.log(print(rows).trimEnd());
}
