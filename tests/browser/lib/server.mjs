// Starts the real server on a folder of its own and asks it questions.
//
// What a browser test says is only worth something if the server is the one people run: the binary of RIVULET_BIN,
// created by its own command line, on a free port, with a new project. Nothing here knows what a test checks.
import { execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** How long a server may take to listen. */
const START_MS = 30_000;

/** The value of an environment variable that `cargo xtask test` sets. */
function needed(name) {
  const value = process.env[name];
  if (!value || !existsSync(value)) {
    throw new Error(`${name} does not name an existing file: run this through \`cargo xtask test --only browser\``);
  }
  return value;
}

/**
 * Starts a server with a project. With `site`, it serves a copy of the assembled web folder whose pages know it.
 * `stop()` ends it and removes the folder.
 */
export async function startServer({ site = true } = {}) {
  const binary = needed("RIVULET_BIN");
  const folder = mkdtempSync(join(tmpdir(), "rivulet-browser-"));
  const data = join(folder, "data");
  const web = join(folder, "web");
  const words = ["serve", "--data", data, "--listen", "127.0.0.1:0"];
  const made = execFileSync(binary, ["project", "create", "demo", "--json", "--data", data], { encoding: "utf8" });
  const project = JSON.parse(made);
  if (site) {
    cpSync(needed("RIVULET_WEB"), web, { recursive: true });
    words.push("--web", web);
  }
  const errors = join(folder, "stderr.log");
  const child = spawn(binary, words, { stdio: ["ignore", "pipe", openSync(errors, "a")] });
  const url = await listening(child, errors);
  if (site) {
    const demo = { server: url, project: project.project_id, writeKey: project.write_key, readKey: project.read_key };
    writeFileSync(join(web, "demo.js"), `window.RIVULET_DEMO = ${JSON.stringify(demo)};\n`);
  }
  return {
    url,
    web,
    project,
    query: (analysis, params) => query(url, project, analysis, params),
    async stop() {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The address that the server prints as its first line. */
function listening(child, errors) {
  return new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`${why}:\n${readFileSync(errors, "utf8").slice(-2000)}`));
    const timer = setTimeout(() => fail("the server does not listen"), START_MS);
    let text = "";
    child.stdout.on("data", (bytes) => {
      text += bytes;
      const found = /listens on (http:\S+)/.exec(text);
      if (found) {
        clearTimeout(timer);
        resolve(found[1]);
      }
    });
    child.once("exit", (code) => {
      clearTimeout(timer);
      fail(`the server ended with ${code}`);
    });
  });
}

/** Asks an analysis with the read key and gives its `result`. */
async function query(url, project, analysis, params) {
  const answer = await fetch(`${url}/3.0/projects/${project.project_id}/queries/${analysis}`, {
    method: "POST",
    headers: { Authorization: project.read_key, "Content-Type": "application/json" },
    body: JSON.stringify(params),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(`${analysis}: ${answer.status} ${JSON.stringify(body)}`);
  return body.result;
}

/** Calls `ask` until `holds` its answer, and gives that; fails with the last answer when the time is over. */
export async function eventually(what, milliseconds, ask, holds) {
  const end = performance.now() + milliseconds;
  for (;;) {
    const answer = await ask();
    if (holds(answer)) return answer;
    if (performance.now() > end) throw new Error(`${what}: still ${JSON.stringify(answer)} after ${milliseconds} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
