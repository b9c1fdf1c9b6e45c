"use strict";

// Before the page is drawn, so that it is drawn in one language.
function speak(language) {
  const root = document.documentElement;
  root.lang = language;
  document.title = language === "en" ? root.dataset.titleEn : root.dataset.titleZh;
}
// A link may name the language; the pages that follow stay in it.
const named = new URLSearchParams(location.search).get("language");
if (named === "en" || named === "zh-CN") localStorage.setItem("language", named);
speak(localStorage.getItem("language") || (navigator.language.startsWith("zh") ? "zh-CN" : "en"));
