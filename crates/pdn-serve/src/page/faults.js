// The picture's faults: what it shows of them, and what the visitor says instead.

import { $, changed, element, model, onChange, say, state } from "./state.js";
import { again, keep } from "./enlarge.js";
import { ask } from "./server.js";

/** What the visitor says: the name of a slot and one of its levels. Anything else is as seen. */
let told = {};

/** The faults that are told of the picture, or of a region and of the picture where not of the region, as requests have
 * them; nothing if there are none, or if the model hears none. */
export function toldFaults(region = {}) {
  const chosen = Object.entries(model()?.hears_faults ? { ...told, ...region } : {});
  return chosen.map(([name, level]) => `${name}=${level}`).join(",");
}

/** What is told of the picture, or of a region alone, for people. */
export function toldInWords(of = told) {
  const chosen = state.slots.filter(({ name }) => model()?.hears_faults && of[name]);
  return chosen.map(({ name, label }) => `${label}: ${of[name]}`);
}

/** Looks at a picture, once it is kept on the server; what cannot be looked at is upscaled without. */
async function look(picture) {
  try {
    const form = new FormData();
    form.append("picture_id", await keep(picture));
    picture.seen = await (await ask("/v1/faults", { method: "POST", body: form })).json();
  } catch {
    picture.seen = null;
  }
  if (picture !== state.picture) return;
  changed();
  if (!$("faults").hidden) say($("seen").textContent);
}

/** A slot with its levels; `first` stands for what nobody tells. What is chosen goes into what `of` returns. */
function control({ name, label, levels }, id, first, of) {
  const choose = element("select", { id: `${id}-${name}` });
  const option = (value, textContent) => element("option", { value, textContent });
  choose.append(option("", first), ...levels.map((level) => option(level, level)));
  choose.value = of()[name] ?? "";
  choose.onchange = () => {
    if (choose.value) of()[name] = choose.value;
    else delete of()[name];
    say(`${label}: ${choose.selectedOptions[0].textContent}`);
    changed();
    again();
  };
  return element("div", {}, element("label", { htmlFor: choose.id, textContent: label }), choose);
}

/** Lists the slots that the server has. */
export function listSlots() {
  $("slots").replaceChildren(...state.slots.map((slot) => control(slot, "fault", "as seen", () => told)));
}

/** The same for a region. */
export function slotsOf(part, number) {
  return state.slots.map((slot) => control(slot, `fault-${number}`, "as the picture", () => part.told));
}

let of = null;
onChange(() => {
  const { picture, shown } = state;
  $("faults").hidden = !picture || !model()?.hears_faults;
  if (of !== picture) [of, told] = [picture, {}];
  if ($("faults").hidden) return;
  picture.looking ??= look(picture);
  const seen = picture.seen?.slots ?? {};
  const sees = Object.keys(seen).length;
  $("seen").textContent = picture.seen === undefined ? "Looking at the picture" : sees ? `Seen: ${picture.seen.words}` : "Nothing is seen";
  // Where it is not what is seen.
  const steered = shown?.job.faults?.words;
  const regions = (shown?.job.region_faults ?? []).map(({ words }, at) => `region ${at + 1}: ${words}`);
  const parts = [steered && steered !== picture.seen?.words ? steered : "", ...regions].filter(Boolean);
  $("steered").textContent = parts.length ? `This result: ${parts.join("; ")}` : "";
  for (const { name } of state.slots) {
    const choose = $(`fault-${name}`);
    choose.value = told[name] ?? "";
    choose.options[0].textContent = seen[name] ? `as seen (${seen[name].level})` : "as seen";
  }
});
