"use strict";

// What an address names is opened, and so is what it stands in.
function reveal() {
  const named = document.getElementById(location.hash.slice(1));
  for (let one = named?.closest("details"); one; one = one.parentElement.closest("details")) one.open = true;
  named?.scrollIntoView();
}
window.addEventListener("hashchange", reveal);
if (location.hash) {
  // Charts that are drawn above it push it away, until the reader acts.
  const pushed = new ResizeObserver(reveal);
  pushed.observe(document.body);
  for (const act of ["wheel", "touchmove", "keydown", "pointerdown"]) window.addEventListener(act, () => pushed.disconnect(), { once: true });
}

// A group whose rows are all filtered away is hidden, and one with rows that were asked for is opened.
const groups = [...document.querySelectorAll("details.group")];
const first = groups.map((group) => group.open);
document.getElementById("filter")?.addEventListener("input", (event) => {
  groups.forEach((group, i) => {
    group.hidden = !group.querySelector("[data-filtered]:not([hidden])");
    group.open = event.target.value.trim() ? !group.hidden : first[i];
  });
});
