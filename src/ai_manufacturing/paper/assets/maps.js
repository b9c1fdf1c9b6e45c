"use strict";

// Run through the years, from the first one where the last is shown.
const player = document.getElementById("play");
const played = charts.get(document.getElementById("figure-map"));
let playing;

function stop() {
  clearInterval(playing);
  playing = undefined;
  player.setAttribute("aria-pressed", "false");
}

async function step(first, last) {
  const year = played.view.signal("year");
  await played.view.signal("year", year >= last ? first : year + 1).runAsync();
  if (played.view.signal("year") >= last) stop();
}

player?.addEventListener("click", async () => {
  if (playing) return stop();
  await played.draw();
  const { min, max } = played.specifications[language()].params.find((param) => param.name === "year").bind;
  player.setAttribute("aria-pressed", "true");
  playing = setInterval(step, 900, min, max);
  step(min, max);
});
