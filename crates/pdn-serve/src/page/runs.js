// What was upscaled so far, and which of it is shown.

import { $, changed, element, onChange, say, seconds, state } from "./state.js";
import { listMasks, showMask } from "./masks.js";
import { ask } from "./server.js";

/** Results that are listed at most. */
const LISTED = 12;

export function addRun(run) {
  state.runs.unshift(run);
  for (const old of state.runs.splice(LISTED)) URL.revokeObjectURL(old.url);
}

/** Forgets all, here and on the server. */
export function forgetRuns() {
  for (const run of state.runs) {
    URL.revokeObjectURL(run.url);
    ask(`/v1/jobs/${run.job.id}`, { method: "DELETE" }).catch(() => {});
  }
  state.runs = [];
  return show(null);
}

export async function show(run) {
  state.shown = run;
  for (const id of ["after", "after-tag", "line", "split"]) $(id).hidden = !run;
  await showMask("");
  if (run) {
    $("after").src = run.url;
    await $("after").decode().catch(() => {});
    listMasks(run);
  }
  changed();
}

function listRuns() {
  $("results").hidden = state.runs.length < 2;
  $("runs").replaceChildren(...state.runs.map((run) => {
    const texts = [run.words, seconds(run.job.seconds.running)].map((textContent) => element("span", { textContent }));
    const button = element("button", { type: "button", className: "quiet", title: run.words, "aria-pressed": run === state.shown }, ...texts);
    button.onclick = async () => {
      const at = state.runs.indexOf(run);
      await show(run);
      $("runs").children[at]?.querySelector("button")?.focus();
      say(`Showing: ${run.words}`);
    };
    return element("li", {}, button);
  }));
}

onChange(() => {
  const { shown } = state;
  listRuns();
  $("masks").hidden = !shown?.hasMasks;
  $("no-masks").hidden = Boolean(shown?.hasMasks);
  $("notes").replaceChildren(...(shown?.job.notes ?? []).map((textContent) => element("li", { textContent })));
  $("notes").hidden = !shown?.job.notes.length;
});
