// The picture's faults: what it shows of them, and what the visitor says instead.

import { $, changed, element, model, onChange, say, state } from "./state.js";
import { again, keep } from "./enlarge.js";
import { ask } from "./server.js";

/** What the visitor says: the name of a slot and one of its levels. Anything else is as seen. */
let told = {};

/** The faults that are told, as requests have them; nothing if there are none, or if the model hears none. */
export function toldFaults() {
  const chosen = Object.entries(model()?.hears_faults ? told : {});
  return chosen.map(([name, level]) => `${name}=${level}`).join(",");
}

/** The same for people. */
export function toldInWords() {
  const chosen = state.slots.filter(({ name }) => model()?.hears_faults && told[name]);
  return chosen.map(({ name, label }) => `${label}: ${told[name]}`);
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

/** A slot with its levels; what is seen comes first. */
function control({ name, label, levels }) {
  const choose = element("select", { id: `fault-${name}` });
  const option = (value, textContent) => element("option", { value, textContent });
  choose.append(option("", "as seen"), ...levels.map((level) => option(level, level)));
  choose.onchange = () => {
    if (choose.value) told[name] = choose.value;
    else delete told[name];
    say(`${label}: ${choose.selectedOptions[0].textContent}`);
    changed();
    again();
  };
  return element("div", {}, element("label", { htmlFor: choose.id, textContent: label }), choose);
}

/** Lists the slots that the server has. */
export function listSlots() {
  $("slots").replaceChildren(...state.slots.map(control));
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
  $("steered").textContent = steered && steered !== picture.seen?.words ? `This result: ${steered}` : "";
  for (const { name } of state.slots) {
    const choose = $(`fault-${name}`);
    choose.value = told[name] ?? "";
    choose.options[0].textContent = seen[name] ? `as seen (${seen[name].level})` : "as seen";
  }
});
