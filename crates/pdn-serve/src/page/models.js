// The models to choose from, by what they are for.

import { $, changed, element, model, onChange, state } from "./state.js";

/** Letters of an entry at most. */
const LONG = 26;

/** A model in a few words: what it is for, up to the first pause, or as many words as there is room for. */
function label({ name, description, default: recommended }) {
  const clause = description.split(/[,;.:]/)[0].trim();
  const short = clause.length <= LONG ? clause : clause.slice(0, LONG).replace(/ (as|from|of|with|by|and) .*$| \S*$/, "");
  return `${short || name}${recommended ? " (recommended)" : ""}`;
}

export function listModels() {
  const option = (m, text) => element("option", { value: m.name, textContent: text });
  const { models } = state;
  const [usual, benchmarks] = [models.filter((m) => !m.benchmark), models.filter((m) => m.benchmark)];
  const group = element("optgroup", { label: "For benchmarks" }, ...benchmarks.map((m) => option(m, m.name)));
  $("model").replaceChildren(...usual.map((m) => option(m, label(m))), ...(benchmarks.length ? [group] : []));
  $("model").value = models.find((m) => m.default)?.name ?? models[0]?.name;
}

$("model").onchange = changed;

onChange(() => {
  const { name, description, scale } = model() ?? {};
  $("model-hint").textContent = name ? description || `${name}, ${scale} times.` : "";
});
