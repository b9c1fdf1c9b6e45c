"use strict";

// Before the page is drawn, so that it is drawn in one language.
function speak(language) {
  const root = document.documentElement;
  root.lang = language;
  document.title = language === "en" ? root.dataset.titleEn : root.dataset.titleZh;
}
speak(localStorage.getItem("language") || (navigator.language.startsWith("zh") ? "zh-CN" : "en"));
