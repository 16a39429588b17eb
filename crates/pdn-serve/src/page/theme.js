// Light or dark: as the system has it, until the button says otherwise.

import { $ } from "./state.js";

const themes = ["system", "light", "dark"];
const dark = matchMedia("(prefers-color-scheme: dark)");

function setTheme(theme) {
  document.documentElement.dataset.theme = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
  $("theme").textContent = `Theme: ${theme}`;
  localStorage.setItem("theme", theme);
}

const theme = () => (themes.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "system");

$("theme").onclick = () => setTheme(themes[(themes.indexOf(theme()) + 1) % themes.length]);
dark.addEventListener("change", () => setTheme(theme()));
setTheme(theme());
