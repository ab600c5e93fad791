/**
 * The demo shop: fills the shelves, switches pages, and says to Rivulet what the visitor does.
 *
 * All that a site has to do for analytics is in `tell` and its callers; the rest is the shop. Collections and
 * property names are those of the generated demo events, so both stand in the same charts.
 */
"use strict";

const ITEMS = [
  { id: "cup-blue", page: "/cups", name: "Cup, blue", price: 12.9, text: "Cobalt glaze, 180 ml, stacks well." },
  { id: "cup-white", page: "/cups", name: "Cup, white", price: 11.9, text: "Thin rim, 180 ml, no two alike." },
  { id: "darjeeling", page: "/teas", name: "Tea, Darjeeling", price: 8.9, text: "First flush, muscatel. 100 g." },
  { id: "sencha", page: "/teas", name: "Tea, Sencha", price: 10.5, text: "Green, grassy, spring harvest. 100 g." },
  { id: "teapot-glass", page: "/teapots", name: "Teapot, glass", price: 34.9, text: "0.8 l, to watch leaves unfold." },
  { id: "teapot-iron", page: "/teapots", name: "Teapot, cast iron", price: 79, text: "1.1 l, warm for an hour." },
  { id: "strainer", page: "/teas", name: "Strainer", price: 6.9, text: "Steel mesh that keeps every leaf." },
];
/** The shop's own pages; every other address shows the first. */
const PAGES = ["/", "/teas", "/cups", "/teapots", "/about"];

/** What every event says of the visitor. A real shop knows the country; here it is read from the language. */
const VISITOR = { country: countryOf(navigator.language), device: deviceOf(window.innerWidth) };

let bought = 0;
let total = 0;

const config = window.RIVULET_DEMO;
if (config) rivulet.init({ project: config.project, key: config.writeKey, host: config.server });

document.getElementById("shelf").append(...ITEMS.map(card));
window.addEventListener("hashchange", show);
document.addEventListener("click", clicked);
show();

/** Sends an event and shows it at the foot of the page. */
function tell(collection, properties) {
  rivulet.track(collection, { ...properties, ...VISITOR });
  document.getElementById("sent").textContent = `${collection} ${JSON.stringify({ ...properties, ...VISITOR })}`;
}

/** Shows the page that the address names, and counts the view. */
function show() {
  const page = currentPage();
  document.getElementById("about").hidden = page !== "/about";
  document.getElementById("shop").hidden = page === "/about";
  for (const item of ITEMS) document.getElementById(item.id).hidden = page !== "/" && page !== item.page;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${page}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  tell("pageviews", { page, referrer: document.referrer });
}

/** Counts clicks on whatever names a target; a click on a buy button is a purchase too. */
function clicked({ target }) {
  const element = target instanceof Element && target.closest("[data-target]");
  if (!element) return;
  tell("clicks", { target: element.dataset.target, page: currentPage() });
  const item = ITEMS.find(({ id }) => element.id === `buy-${id}`);
  if (item) buy(item, Number(document.getElementById(`quantity-${item.id}`).value) || 1);
}

function buy({ name, price }, quantity) {
  const revenue = Math.round(price * quantity * 100) / 100;
  tell("purchases", { item: { name, price }, quantity, revenue });
  bought += quantity;
  total += revenue;
  document.getElementById("basket-count").textContent = String(bought);
  document.getElementById("basket-total").textContent = total.toFixed(2);
}

/** One item on the shelf. Built from elements, not from text, as a policy with Trusted Types wants it. */
function card({ id, name, price, text }) {
  const photo = make("button", { className: `photo ${id}`, id: `look-${id}`, type: "button", ariaLabel: `Look at ${name}` });
  photo.dataset.target = "photo";
  const buyButton = make("button", { className: "buy", id: `buy-${id}`, type: "button", textContent: "Buy" });
  buyButton.dataset.target = "add-to-cart";
  const quantity = make("input", { id: `quantity-${id}`, type: "number", value: "1", min: "1", max: "99" });
  quantity.setAttribute("aria-label", `How many ${name}`);
  const pay = make("div", { className: "pay" });
  pay.append(make("span", { className: "price", textContent: `${price.toFixed(2)} €` }), quantity, buyButton);
  const item = make("li", { className: "item", id });
  item.append(photo, make("h2", { textContent: name }), make("p", { textContent: text }), pay);
  return item;
}

function make(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

function currentPage() {
  const page = location.hash.slice(1);
  return PAGES.includes(page) ? page : "/";
}

function countryOf(language) {
  return /-([A-Z]{2})$/.exec(language)?.[1] ?? "US";
}

function deviceOf(widthPx) {
  if (widthPx < 640) return "phone";
  return widthPx < 1024 ? "tablet" : "desktop";
}
