// Opens Chromium and listens for everything a page complains about.
//
// The console is part of what is tested: a page that works but throws is broken on somebody else's machine.
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** Screenshots stay here for whoever looks at a run. */
export const artifacts = join(dirname(fileURLToPath(import.meta.url)), "..", "artifacts");

/** Where Chromium usually is; RIVULET_CHROMIUM names another one. */
const USUAL = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Opens the browser. HiDPI, so that a canvas that forgets the device's pixels is seen. */
export async function openBrowser() {
  mkdirSync(artifacts, { recursive: true });
  const executablePath = [process.env.RIVULET_CHROMIUM, ...USUAL].find((path) => path && existsSync(path));
  if (!executablePath) throw new Error("Chromium is not installed; `cargo xtask test` says how to get it");
  // Chromium refuses its own sandbox to root, which CI usually is.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  const browser = await chromium.launch({ executablePath, args });
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, deviceScaleFactor: 2 });
  return { browser, context };
}

/** Opens a page whose complaints are collected in `complaints`. */
export async function openPage(context, url) {
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      complaints.push(`${message.type()}: ${message.text()} (${message.location().url})`);
    }
  });
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
  page.on("requestfailed", (request) => {
    // A page that goes away cancels what it was asking for.
    if (request.failure()?.errorText !== "net::ERR_ABORTED") {
      complaints.push(`request failed: ${request.url()} ${request.failure()?.errorText}`);
    }
  });
  await page.goto(url, { waitUntil: "load" });
  return { page, complaints };
}
