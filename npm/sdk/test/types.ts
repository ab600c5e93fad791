/**
 * Compiles, or the types are wrong: the sources against the declarations, and what users may and may not write.
 * Nothing here runs.
 */
import * as declared from "@rivulet/sdk";
import { flush, init, track, type FlushResult, type InitOptions, type Properties } from "@rivulet/sdk";
import * as inert from "../src/inert.ts";
import * as main from "../src/index.ts";

/** Both entries are what the declarations say. */
export const entries: (typeof declared)[] = [main, inert];

/** And the other way round, so that the declarations promise no less than there is. */
export const exact: Pick<typeof main, keyof typeof declared> = declared;

const options: InitOptions = { project: "p", key: "k", host: "https://events.example.com" };
init(options);
init({ ...options, debug: true, wasm: new URL("https://events.example.com/sdk_wasm_bg.wasm") });
init({ ...options, wasm: fetch("/sdk_wasm_bg.wasm") });
// @ts-expect-error the key is missing
init({ project: "p", host: "https://events.example.com" });
// @ts-expect-error no such option
init({ ...options, hots: "x" });

const properties: Properties = { text: "a", number: 1, yes: true, none: null, list: [1, "b"], inner: { at: new Date() } };
track("clicks", properties);
track("clicks", { missing: undefined });
track("clicks");
// @ts-expect-error a collection is needed
track();
// @ts-expect-error not JSON
track("clicks", { count: 1n });
// @ts-expect-error not JSON
track("clicks", { handler: () => 1 });

export const result: Promise<FlushResult> = flush();
