/**
 * Tells every chart of the page whom to ask. A page that is made for one project writes these three attributes into its
 * HTML and needs no script of its own.
 */
"use strict";

const demo = window.RIVULET_DEMO;

if (demo) {
  for (const chart of document.querySelectorAll("rivulet-chart")) {
    chart.setAttribute("server", demo.server);
    chart.setAttribute("project", demo.project);
    chart.setAttribute("key", demo.readKey);
  }
} else {
  const problem = document.getElementById("problem");
  problem.textContent = "There is no demo.js, so nobody knows whom to ask: `cargo xtask up` writes it.";
  problem.hidden = false;
}
