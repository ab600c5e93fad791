/**
 * Where the script-tag build was loaded from, noted while the script runs because later nobody knows; `build.mjs` puts
 * it in place of `__BASE__`. Modules use `import.meta.url`.
 */

const script = document.currentScript;

export const __BASE__ = script instanceof HTMLScriptElement ? script.src : document.baseURI;
