// Regions of the picture with their own prompts: drawn, or entered as numbers.

import { $, changed, element, model, onChange, say, state } from "./state.js";
import { slotsOf } from "./faults.js";
import { bringIntoView, draw, placeBox } from "./view.js";

export function clearParts() {
  state.parts = [];
  drawParts();
}

function addPart(part) {
  state.parts.push({ text: "", told: {}, ...part });
  drawParts();
  $("advanced").open = true;
  $("parts").lastElementChild.querySelector(".words").focus();
}

function removePart(at) {
  state.parts.splice(at, 1);
  drawParts();
  $("draw").focus();
}

function drawParts() {
  $("parts").replaceChildren(...state.parts.map(item));
  placeParts();
  changed();
}

/** A part in the list: its words, where it is, and its faults. */
function item(part, at) {
  const words = element("input", { className: "words", value: part.text, placeholder: "what this region shows", "aria-label": `Prompt of region ${at + 1}` });
  words.oninput = () => (part.text = words.value);
  const remove = element("button", { type: "button", className: "quiet", textContent: "Remove", "aria-label": `Remove region ${at + 1}` });
  remove.onclick = () => removePart(at);
  const numbers = ["left", "top", "width", "height"].map((name) => element("label", {}, name, numberOf(part, name)));
  const slots = element("div", { className: "slots" }, ...slotsOf(part, at + 1));
  const faults = element("details", { className: "faults", open: Object.keys(part.told).length > 0 }, element("summary", { textContent: "Faults of this region" }), slots);
  return element("li", {}, element("div", { className: "row" }, words, remove), element("div", { className: "numbers" }, ...numbers), faults);
}

function numberOf(part, name) {
  const input = element("input", { type: "number", min: name === "left" || name === "top" ? 0 : 1, value: part[name] });
  input.oninput = () => {
    part[name] = Math.max(Number(input.min), Math.round(Number(input.value)) || 0);
    placeParts();
  };
  return input;
}

function placeParts() {
  $("rectangles").replaceChildren(...state.parts.map((part, at) => {
    const box = element("div", { "data-number": at + 1 });
    placeBox(box, part);
    return box;
  }));
}

function setDrawing(on) {
  $("draw").setAttribute("aria-pressed", on);
  $("draw").textContent = on ? "Stop drawing" : "Draw a region";
  draw(on ? (part) => {
    setDrawing(false);
    addPart(part);
  } : null);
  if (!on) return;
  bringIntoView();
  say("Drag over the picture to draw a region. Without a mouse, use Add by numbers.");
}

const isDrawing = () => $("draw").getAttribute("aria-pressed") === "true";

$("draw").onclick = () => setDrawing(!isDrawing());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && isDrawing()) setDrawing(false);
});
$("add-part").onclick = () => {
  const { width, height } = state.picture;
  addPart({ left: Math.floor(width / 4), top: Math.floor(height / 4), width: Math.ceil(width / 2), height: Math.ceil(height / 2) });
};

onChange(() => {
  const may = Boolean(state.picture && model()?.takes_prompt);
  for (const id of ["draw", "add-part"]) $(id).disabled = !may;
  if (!may && isDrawing()) setDrawing(false);
  for (const faults of document.querySelectorAll("#parts .faults")) faults.hidden = !model()?.hears_faults;
  if (state.picture) placeParts();
});
