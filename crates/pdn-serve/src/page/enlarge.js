// A job: asked for, watched, cancelled, done.

import { $, changed, model, number, onChange, pixels, say, seconds, state } from "./state.js";
import { toldFaults, toldInWords } from "./faults.js";
import { showProblem } from "./problems.js";
import { addRun, show } from "./runs.js";
import { Problem, ask, blobUrl, events } from "./server.js";
import { asked, inWords } from "./sizes.js";
import { bringIntoView } from "./view.js";

function formOf(picture, want) {
  const form = new FormData();
  if (picture.id) form.append("picture_id", picture.id);
  else form.append("picture", picture.file, "picture");
  form.append("model", $("model").value);
  for (const [name, value] of Object.entries(want)) form.append(name, value);
  if (!model().takes_prompt) return form;
  const text = $("prompt").value.trim();
  if (text) form.append("prompt", text);
  const faults = toldFaults();
  if (faults) form.append("faults", faults);
  if (state.reference) form.append("prompt_picture", state.reference.file, "prompt");
  for (const { left, top, width, height, text, told } of state.parts) {
    const numbers = `${left},${top},${width},${height}`;
    form.append("region", `${numbers}=${text}`);
    const faults = toldFaults(told);
    if (faults) form.append("region_faults", `${numbers}=${faults}`);
  }
  return form;
}

/** Keeps a picture on the server, and gives its id there; the result is awaited before anything else is sent of it. */
export async function keep(picture) {
  if (picture.id) return picture.id;
  picture.keeping ??= (async () => {
    const form = new FormData();
    form.append("picture", picture.file, "picture");
    const kept = await (await ask("/v1/pictures", { method: "POST", body: form })).json();
    picture.id = kept.id;
  })().finally(() => (picture.keeping = null));
  await picture.keeping;
  return picture.id;
}

async function submit(picture, want) {
  // If it cannot be kept, sending it again says why.
  await picture.keeping?.catch(() => {});
  try {
    return await (await ask("/v1/jobs", { method: "POST", body: formOf(picture, want) })).json();
  } catch (error) {
    // The picture has expired there: it is sent again.
    if (error.status !== 404 || !picture.id) throw error;
    picture.id = null;
    return submit(picture, want);
  }
}

/** What was asked for, for the list of results. */
function describe(used, want, output) {
  const said = [$("prompt").value.trim(), state.reference?.file.name, ...state.parts.map((part) => part.text)].filter(Boolean);
  const regions = state.parts.flatMap((part, at) => toldInWords(part.told).map((words) => `region ${at + 1} ${words}`));
  const words = [...said, ...toldInWords(), ...regions];
  const steered = !used.takes_prompt ? used.name : words.join(" · ") || "no prompt";
  return `${steered}, ${inWords(want, output)}`;
}

export async function enlarge() {
  const { picture } = state;
  if (!picture || state.job) return;
  const want = asked();
  if (!want) return showProblem(Problem.of("size"));
  const [used, parts, sent, stop] = [model(), state.parts.length, Boolean(picture.id), new AbortController()];
  state.job = { stop };
  showProblem(null);
  $("outcome").textContent = "";
  working(true);
  try {
    $("progress-text").textContent = sent ? "Starting" : "Uploading the picture";
    const job = await submit(picture, want);
    const words = describe(used, want, job.output);
    Object.assign(picture, { id: job.picture.id });
    Object.assign(state.job, job);
    if (stop.signal.aborted) await ask(`/v1/jobs/${job.id}`, { method: "DELETE" });
    const ended = await watch(job);
    if (state.picture !== picture || ended.state === "cancelled") return cancelled();
    if (ended.state !== "done") throw new Problem(ended.problem);
    // Masks are of one prompt.
    await done(ended, { asked: want, words, hasMasks: used.takes_prompt && !parts });
  } catch (error) {
    showProblem(error);
  } finally {
    const anew = state.job.anew && state.picture === picture;
    state.job = null;
    working(false);
    if (anew) enlarge();
  }
}

/** Upscales anew after a change, if there is a result to compare with; a job in hand is given up for it. */
export function again() {
  if (state.job) {
    state.job.anew = true;
    cancel();
  } else if (state.shown) {
    enlarge();
  }
}

function cancelled() {
  if (state.job.anew) return;
  $("outcome").textContent = "Cancelled.";
  say("Cancelled.");
}

async function watch({ id, links }) {
  for await (const { name, job } of events(links.events)) {
    showProgress(job);
    if (name !== "progress") return job;
  }
  return (await ask(`/v1/jobs/${id}`)).json();
}

function showProgress(job) {
  if (job.state === "queued") {
    $("progress").removeAttribute("value");
    $("progress-text").textContent = job.ahead ? `Waiting, ${job.ahead} ahead` : "Waiting";
  } else {
    $("progress").value = job.progress;
    const left = job.seconds.left ? `, about ${seconds(Math.max(1, Math.round(job.seconds.left)))} left` : "";
    const text = `${pixels(job.pixels.done)} of ${pixels(job.pixels.total)}, ${(job.seconds.running ?? 0).toFixed(1)} s${left}`;
    $("progress-text").textContent = text;
  }
  say($("progress-text").textContent, false);
}

async function done(job, more) {
  const run = { job, url: await blobUrl(job.preview ? job.links.preview : job.links.result), masks: null, ...more };
  addRun(run);
  $("outcome").textContent = `Upscaled in ${seconds(job.seconds.running)}.`;
  say(`${$("outcome").textContent} ${job.output.width} by ${job.output.height} pixels.`);
  await show(run);
  bringIntoView();
}

/** Where the focus was, to which it returns from Cancel. */
let began = null;

function working(on) {
  if (on) began = document.activeElement;
  const lost = [$("cancel"), document.body].includes(document.activeElement);
  $("working").hidden = !on;
  $("go").hidden = on;
  $("enlarge").disabled = on || !state.picture;
  $("progress").value = 0;
  // A choice of faults keeps the focus, for the next one.
  if (on && !began?.closest("#faults, .faults")) $("cancel").focus({ preventScroll: true });
  else if (lost) back().focus({ preventScroll: true });
}

/** Where the focus goes when there is nothing to cancel any more. */
function back() {
  if (began?.isConnected && began !== document.body && began.offsetParent) return began;
  return $("take").hidden ? $("enlarge") : $("download");
}

export async function cancel() {
  if (!state.job) return;
  state.job.stop.abort();
  if (state.job.id) await ask(`/v1/jobs/${state.job.id}`, { method: "DELETE" }).catch(() => {});
}

$("panel").addEventListener("submit", (event) => {
  event.preventDefault();
  enlarge();
});
$("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  enlarge();
});
$("prompt").addEventListener("input", changed);
$("cancel").onclick = cancel;

/** What the folded part holds, so that nothing steers unseen. */
function held() {
  const words = $("prompt").value.trim() ? 1 : 0;
  const kinds = [[words, "a prompt"], [state.reference ? 1 : 0, "a reference picture"], [state.parts.length, state.parts.length === 1 ? "a region" : `${number(state.parts.length)} regions`]];
  return kinds.filter(([count]) => count).map(([, name]) => name);
}

let holding = 0;
onChange(() => {
  const steered = model()?.takes_prompt ?? true;
  const want = asked();
  $("enlarge").textContent = state.shown ? "Upscale again" : want?.scale ? `Upscale by ${want.scale}` : "Upscale";
  $("enlarge").disabled = !state.picture || Boolean(state.job);
  for (const id of ["prompt", "add-reference"]) $(id).disabled = !steered;
  $("prompt-hint").textContent = steered ? "Describe the picture in a sentence (optional)." : "This model takes no prompt.";
  const holds = steered ? held() : [];
  $("advanced-holds").textContent = holds.length ? `: ${holds.join(", ")}` : "";
  if (holds.length > holding) $("advanced").open = true;
  holding = holds.length;
});
