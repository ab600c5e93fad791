/**
 * What the yardstick takes out of texts: e-mail addresses, card, account and phone numbers, tokens, as the collector does.
 *
 * Separate because it knows nothing of events. Ordinary texts are looked at once, character by character, and only what
 * has the signs of something is held against the patterns. Not complete: the collector knows more spellings.
 */
const DIGIT = 1;
const RUN = 2;
const AT = 4;
const LARGE = 8;
/** What stands between words. */
const GAP = 16;

const CLASSES = new Uint8Array(256).fill(GAP);
for (let code = 0; code < 128; code += 1) {
  const letter = String.fromCharCode(code);
  if (/[0-9]/.test(letter)) CLASSES[code] = DIGIT | RUN;
  else if (/[A-Z]/.test(letter)) CLASSES[code] = LARGE | RUN;
  else if (/[a-z_+/-]/.test(letter)) CLASSES[code] = RUN;
  else if (/[@%]/.test(letter)) CLASSES[code] = AT | GAP;
}

const MAIL = /[\w.+%-]{1,64}(?:@|%40)[\w-]+(?:\.[\w-]+)+/gi;
const CARD = /(?<![\w.])\d(?:[ -]?\d){13,18}(?!\w)/g;
const IBAN = /(?<!\w)[A-Z]{2}\d{2}(?: ?[0-9A-Z]){11,30}(?!\w)/g;
const PHONE =
  /(?<![\w.#/@$-])(?:\+[1-9]|%2B[1-9]|00[1-9]|\(?0[1-9]|\([2-9]\d\d\) ?)(?:[ ().\/-]{0,3}\d){6,13}(?!\w)/g;
const NAMED_PHONE =
  /(?<=\b(?:phone|tel|mobile|cell|fax|call|sms|telefon)\W{1,3})\d(?:[ ().\/-]{0,3}\d){6,13}(?!\w)/gi;
const WEB_TOKEN = /(?<!\w)eyJ[\w=-]{7,}(?:\.[\w=-]*){2,4}/g;
const KNOWN_KEY = /(?<!\w)(?:AIza|AKIA|ASIA|gh[opsru]_|github_pat_|glpat-|npm_|pypi-AgE|[prs]k_(?:live|test)_|sk-|xox[abeprs][.-]|ya29\.|whsec_|rv[mrwa])[\w-]{20,}/g;
const NAMED =
  /(?<=(?:token|secret|api_?key|passw\w*|signature|sess\w*|bearer|oauth|jwt|credential)(?:[:=] ?| |%3[AD]))[\w+/-]{16,}={0,2}/gi;
const RANDOM = /[\w+-]{32,}={0,2}/g;
const HASHES = new Set([32, 40, 64]);

function isCard(text) {
  const digits = text.replace(/\D/g, "");
  let sum = 0;
  for (let place = 0; place < digits.length; place += 1) {
    let digit = digits.charCodeAt(digits.length - 1 - place) - 48;
    if (place % 2 === 1) digit = digit > 4 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return sum % 10 === 0 && /^(?:3|4|5|6|2[2-7])/.test(digits);
}

function isIban(text) {
  const plain = text.replaceAll(" ", "");
  let rest = 0;
  for (const letter of plain.slice(4) + plain.slice(0, 4)) {
    const value = parseInt(letter, 36);
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97;
  }
  return rest === 1;
}

function isRandom(text) {
  if (/^[0-9a-fA-F]+$/.test(text)) return !HASHES.has(text.length) && /[a-f]/i.test(text) && /\d/.test(text);
  const changes = text.match(/[a-z](?=[A-Z0-9])|[A-Z](?=[0-9])|\d(?=[A-Za-z])/g)?.length ?? 0;
  return /\d/.test(text) && changes * 4 >= text.length;
}

/** The text with what was found replaced; the same text when nothing was. */
export function scrub(text) {
  const length = text.length;
  if (length < 6) return text;
  let [seen, digits, run, longest] = [0, 0, 0, 0];
  for (let at = 0; at < length; at += 1) {
    const code = text.charCodeAt(at);
    const kind = code < 256 ? CLASSES[code] : GAP;
    seen |= kind;
    digits += kind & DIGIT;
    run = kind & RUN ? run + 1 : 0;
    if (run > longest) longest = run;
  }
  let clean = text;
  if (seen & AT) clean = clean.replace(MAIL, "[email]");
  if (digits >= 7) {
    if (seen & LARGE) clean = clean.replace(IBAN, (found) => (isIban(found) ? "[iban]" : found));
    if (digits >= 14) clean = clean.replace(CARD, (found) => (isCard(found) ? "[card]" : found));
    clean = clean.replace(PHONE, "[phone]");
    if (seen & GAP) clean = clean.replace(NAMED_PHONE, "[phone]");
  }
  if (longest >= 16 && (digits > 0 || seen & LARGE)) {
    if (clean.includes("eyJ")) clean = clean.replace(WEB_TOKEN, "[token]");
    if (seen & (LARGE | GAP) || clean.includes("_") || clean.includes("-")) clean = clean.replace(KNOWN_KEY, "[token]");
    if (seen & GAP) clean = clean.replace(NAMED, "[token]");
    if (longest >= 32) clean = clean.replace(RANDOM, (found) => (isRandom(found) ? "[token]" : found));
  }
  return clean;
}
