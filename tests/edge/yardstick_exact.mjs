/**
 * What `JSON.parse` can't keep: a name that comes twice in an object, and whole numbers beyond a double.
 *
 * Separate because it is only asked when an event, written again, is not the text that came: what `JSON.stringify` makes of
 * an event is nearly always what the sender's `JSON.stringify` made of it, and then nothing was lost.
 */
class Walk {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  next() {
    while (" \n\r\t".includes(this.text[this.at])) this.at += 1;
    return this.text[this.at];
  }

  string() {
    const start = this.at;
    this.at += 1;
    while (this.text[this.at] !== '"') this.at += this.text[this.at] === "\\" ? 2 : 1;
    this.at += 1;
    return JSON.parse(this.text.slice(start, this.at));
  }

  /** Whether one value is kept exactly; `each` is told of the members of the outermost list or object. */
  value(each) {
    const open = this.next();
    if (open === '"') {
      this.string();
      return true;
    }
    if (open !== "{" && open !== "[") {
      const word = /[^,\]}\s]*/y;
      word.lastIndex = this.at;
      const [number] = word.exec(this.text);
      this.at += number.length;
      if (!/^-?\d{16,}$/.test(number)) return true;
      const exact = BigInt(number);
      return BigInt.asIntN(64, exact) === exact || String(Number(number)) === number;
    }
    const names = new Set();
    let [isExact, count] = [true, 0];
    this.at += 1;
    while (!"}]".includes(this.next())) {
      let name;
      if (open === "{") {
        name = this.string();
        isExact &&= !names.has(name);
        names.add(name);
        this.next();
        this.at += 1;
      }
      this.next();
      const start = this.at;
      const isKept = this.value();
      each?.(name ?? count, start, this.at, isKept);
      isExact &&= isKept;
      count += 1;
      if (this.next() === ",") this.at += 1;
    }
    this.at += 1;
    return isExact;
  }
}

/** For each event of a batch whether it is kept exactly, and the text of its properties. The text is JSON. */
export function look(text) {
  const found = [];
  new Walk(text).value((name, start, end) => {
    if (name !== "events") return;
    new Walk(text.slice(start, end)).value((_index, from, to, isExact) => {
      const event = text.slice(start + from, start + to);
      let properties = "{}";
      new Walk(event).value((member, first, last) => {
        if (member === "properties") properties = event.slice(first, last);
      });
      found.push({ isExact, properties });
    });
  });
  return found;
}
