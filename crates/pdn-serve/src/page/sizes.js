// How large the picture is to become.

import { $, changed, element, extent, model, onChange, pixels, state } from "./state.js";

/** Factors that the list has; a model of another scale adds its own. */
const FACTORS = [2, 3, 4, 8];

/** From so many pixels on a picture is large: twice is then offered first. */
const LARGE = 4e6;

/** Whether the visitor chose a size; until then it follows the model. */
let chosen = false;

const FIELDS = ["factor", "within", "megapixels"];

function listFactors(scale) {
  const factors = [...new Set([...FACTORS, scale])].sort((a, b) => a - b);
  const options = factors.map((by) => element("option", { value: by, textContent: `${by} times` }));
  const others = [["factor", "Another factor"], ["within", "Width and height"], ["megapixels", "Megapixels"]];
  const kept = $("size").value;
  $("size").replaceChildren(...options, ...others.map(([value, textContent]) => element("option", { value, textContent })));
  $("size").value = kept;
}

const above = (id) => (Number($(id).value) > 0 ? Number($(id).value) : undefined);

/** What is asked for, by the names of requests; nothing where a number is missing. */
export function asked() {
  switch ($("size").value) {
    case "factor": return above("factor") && { scale: above("factor") };
    case "megapixels": return above("megapixels") && { megapixels: above("megapixels") };
    case "within": {
      const [width, height] = [above("width"), above("height")].map((v) => v && Math.max(1, Math.round(v)));
      const both = width && height && $("exact").checked;
      return (width || height) && { ...(width && { width }), ...(height && { height }), ...(both && { exact: true }) };
    }
    default: return { scale: Number($("size").value) };
  }
}

/** Width and height of what a picture becomes, as the server has them. */
export function becomes({ width, height }, want = asked()) {
  if (!want) return null;
  if (want.exact) return { width: want.width, height: want.height };
  const by = want.scale
    ?? (want.megapixels ? Math.sqrt((want.megapixels * 1e6) / (width * height))
      : Math.min((want.width ?? Infinity) / width, (want.height ?? Infinity) / height));
  const side = (length) => Math.max(1, Math.round(length * by));
  return { width: side(width), height: side(height) };
}

/** Of a result, for the name of its file. */
export const suffix = ({ asked, job }) => (asked.scale ? `x${asked.scale}` : `${job.output.width}x${job.output.height}`);

/** In a few words, for the list of results. */
export const inWords = (want, output) => (want.scale ? `${want.scale} times` : extent(output));

/** Follows a picture that is new. */
export function followPicture() {
  if (!chosen) follow();
  changed();
}

function follow() {
  const { picture } = state;
  const large = picture && picture.width * picture.height >= LARGE;
  $("size").value = large ? 2 : (model()?.scale ?? 4);
}

$("size").onchange = () => {
  chosen = true;
  changed();
};
for (const id of ["factor", "width", "height", "megapixels", "exact"]) $(id).oninput = changed;

let of = null;
onChange(() => {
  if (model() && of !== model()) {
    of = model();
    listFactors(of.scale);
    if (!chosen || !$("size").value) follow();
  }
  for (const id of FIELDS) $(`size-${id}`).hidden = $("size").value !== id;
  const output = state.picture && becomes(state.picture);
  $("becomes").textContent = !state.picture ? "" : !output ? "Enter a number above 0."
    : `${extent(state.picture)} becomes ${extent(output)}, ${pixels(output.width * output.height)}.`;
});
