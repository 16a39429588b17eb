// Where the network looks: its masks, as colours over the picture.

import { $, element, say, state } from "./state.js";
import { showProblem } from "./problems.js";
import { ask, blobUrl } from "./server.js";

const INFERNO = ["#000004", "#1b0c41", "#4a0c6b", "#781c6d", "#a52c60", "#cf4446", "#ed6925", "#fb9b06", "#f7d13d", "#fcffa4"];
$("bar").style.background = `linear-gradient(90deg, ${INFERNO.join(", ")})`;
const heat = Array.from({ length: 256 }, (_, level) => {
  const at = (level / 255) * (INFERNO.length - 1);
  const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const [a, b] = [parts(INFERNO[Math.floor(at)]), parts(INFERNO[Math.ceil(at)])];
  return a.map((v, i) => v + (b[i] - v) * (at % 1));
});

const ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"];

/** A mask by its place among the network's steps. */
const label = (at) => `At the ${ORDINALS[at] ?? `${at + 1}th`} step`;

/** The list of a result's masks; before they are computed, one entry that asks for them. */
export function listMasks(run) {
  const option = (textContent, value) => element("option", { textContent, value });
  const found = run.masks?.map((mask, at) => option(label(at), mask.name)) ?? [option("Compute and show", "?")];
  $("module").replaceChildren(option("None", ""), ...found);
}

/** The masks of a result: computed on the server when they are first asked for. */
async function masks(run) {
  if (!run.masks) {
    say("Computing the masks.");
    $("module").disabled = $("mask-waiting").hidden = true;
    $("mask-waiting").hidden = false;
    try {
      run.masks = await (await ask(run.job.links.masks)).json();
    } finally {
      $("module").disabled = false;
      $("mask-waiting").hidden = true;
    }
  }
  return run.masks;
}

/** Shows a mask of what is shown; an empty name shows none, `?` the first. */
export async function showMask(name) {
  const run = state.shown;
  $("heat").hidden = $("mask-more").hidden = true;
  $("world").classList.remove("masked");
  if (!name || !run) return;
  const all = await masks(run);
  if (run !== state.shown) return;
  if (name === "?") {
    listMasks(run);
    if (!all.length) return say("This model has no masks.");
    name = all[0].name;
    $("module").value = name;
    $("module").focus();
  }
  const mask = all.find((mask) => mask.name === name);
  await paint(mask);
  $("low").textContent = mask.low.toFixed(3);
  $("high").textContent = mask.high.toFixed(3);
  $("heat").hidden = $("mask-more").hidden = false;
  $("world").classList.add("masked");
  say(`${label(all.indexOf(mask))}: ${mask.low.toFixed(3)} to ${mask.high.toFixed(3)}, ${mask.mean.toFixed(3)} on average.`);
}

/** Turns the grey of a mask into colours. */
async function paint(mask) {
  const url = await blobUrl(mask.link);
  const image = new Image();
  image.src = url;
  await image.decode();
  URL.revokeObjectURL(url);
  const canvas = $("heat");
  [canvas.width, canvas.height] = [mask.width, mask.height];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, mask.width, mask.height);
  for (let i = 0; i < data.data.length; i += 4) data.data.set(heat[data.data[i]], i);
  context.putImageData(data, 0, 0);
}

$("module").onchange = () => showMask($("module").value).catch((error) => {
  $("module").value = "";
  showProblem(error);
});
const setOpacity = () => ($("heat").style.opacity = $("opacity").value / 100);
$("opacity").oninput = setOpacity;
setOpacity();
