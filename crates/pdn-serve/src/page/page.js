// The page of `pdn serve`: a picture is sent once and kept there; after that only prompts are.

const $ = (id) => document.getElementById(id);
const view = $("view"), world = $("world");

const state = {
  /** The picture: its file, its size, its id where the server keeps it. */
  picture: null,
  /** A picture of the like, as a prompt. */
  reference: null,
  /** Parts with words of their own: left, top, width, height in pixels of the picture, text. */
  regions: [],
  /** What was enlarged so far, and which of it is shown. */
  runs: [],
  shown: null,
  /** The job in hand, and what ends the wait for it. */
  job: null,
  models: [],
  zoom: { scale: 1, x: 0, y: 0, fitted: true },
  token: sessionStorage.getItem("token"),
};

// Talking to the server

class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (state.token) headers.authorization = `Bearer ${state.token}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server does not answer. Is pdn serve still running?");
  }
  if (response.status === 401 && (await askForToken())) return ask(path, options);
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Problem(response.status, problem.title ? `${problem.title}: ${problem.detail}` : `The server answered ${response.status}.`);
  }
  return response;
}

let asking = null;
function askForToken() {
  const dialog = $("ask-token");
  asking ??= new Promise((resolve) => {
    dialog.returnValue = "";
    dialog.showModal();
    dialog.addEventListener("close", () => {
      asking = null;
      const given = dialog.returnValue === "give" && $("token").value.trim();
      if (given) keepToken(given);
      $("token").value = "";
      resolve(Boolean(given));
    }, { once: true });
  });
  return asking;
}

$("not-now").onclick = () => $("ask-token").close();

function keepToken(token) {
  state.token = token;
  sessionStorage.setItem("token", token);
}

/** Server-sent events by fetch, which can send the token. */
async function* events(path, signal) {
  const reader = (await ask(path, { signal })).body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const field = (name) => block.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      if (field("data")) yield { name: field("event"), job: JSON.parse(field("data")) };
    }
  }
}

async function blobUrl(path) {
  return URL.createObjectURL(await (await ask(path)).blob());
}

// Saying

let said = 0;
/** To screen readers: not more often than they can speak. */
function say(text, always = true) {
  const now = performance.now();
  if (always || now - said > 4000) {
    said = now;
    $("live").textContent = text;
  }
}

function showProblem(error) {
  $("problem").hidden = !error;
  $("problem").textContent = error ? error.message : "";
}

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const pixels = (n) => (n >= 1e6 ? `${Number((n / 1e6).toFixed(n >= 1e7 ? 0 : 1))} megapixels` : `${number.format(n)} pixels`);
function seconds(s) {
  if (s < 0.0995) return `${Math.max(1, Math.round(s * 1000))} ms`;
  if (s < 60) return `${s.toFixed(s < 10 ? 2 : 0)} s`;
  return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
}

// The picture

const model = () => state.models.find((m) => m.name === $("model").value);
const factor = () => state.shown?.factor ?? model()?.scale ?? 4;

async function load(file) {
  showProblem(null);
  await cancel();
  try {
    const picture = await look(file);
    forgetRuns();
    if (state.picture?.url) URL.revokeObjectURL(state.picture.url);
    state.picture = picture;
    state.regions = [];
    drawRegions();
  } catch (error) {
    return showProblem(error);
  }
  const { url, width, height } = state.picture;
  $("before").src = url;
  $("empty").hidden = true;
  $("viewer").hidden = false;
  for (const id of ["enlarge", "draw", "add-region"]) $(id).disabled = false;
  update();
  fit();
  say(`A picture of ${width} by ${height} pixels is here.`);
}

/** The browser shows what it can; the rest the server turns into PNG. */
async function look(file) {
  const url = URL.createObjectURL(file);
  try {
    const { width, height } = await size(url);
    return { file, url, width, height, id: null };
  } catch {
    URL.revokeObjectURL(url);
  }
  const form = new FormData();
  form.append("picture", file, "picture");
  const kept = await (await ask("/v1/pictures", { method: "POST", body: form })).json();
  return { file, url: await blobUrl(`/v1/pictures/${kept.id}`), ...kept };
}

async function size(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return { width: image.naturalWidth, height: image.naturalHeight };
}

function forgetRuns() {
  for (const run of state.runs) {
    URL.revokeObjectURL(run.url);
    ask(`/v1/jobs/${run.job.id}`, { method: "DELETE" }).catch(() => {});
  }
  state.runs = [];
  show(null);
}

/** What depends on the picture, the model and what is shown. */
function update() {
  const { picture, shown } = state;
  const chosen = model();
  const steered = chosen?.takes_prompt ?? true;
  $("enlarge").textContent = chosen ? `Enlarge ${chosen.scale} times` : "Enlarge";
  for (const id of ["prompt", "add-reference"]) $(id).disabled = !steered;
  $("prompt-hint").textContent = steered ? "Left empty, the picture itself is its prompt." : "This model takes no prompt.";
  for (const id of ["draw", "add-region"]) $(id).disabled = !picture || !steered;
  if (!picture) return;
  const by = factor();
  world.style.width = `${picture.width * by}px`;
  world.style.height = `${picture.height * by}px`;
  const from = `${picture.width} × ${picture.height}`;
  $("facts").textContent = shown ? `${from} to ${picture.width * by} × ${picture.height * by}` : from;
  placeRectangles();
  place();
}

// Zoom and place

function place() {
  const { scale, x, y } = state.zoom;
  world.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
  world.style.setProperty("--zoom", scale);
  $("zoom").value = `${Math.round(scale * 100)} %`;
  const at = ($("split").value / 100) * view.clientWidth;
  $("line").style.left = `${at}px`;
  $("after").style.clipPath = `inset(0 0 0 ${Math.max(0, (at - x) / scale)}px)`;
}

function fit() {
  if (!state.picture) return;
  const [width, height] = [state.picture.width * factor(), state.picture.height * factor()];
  const scale = Math.min(view.clientWidth / width, view.clientHeight / height);
  state.zoom = { scale, x: (view.clientWidth - width * scale) / 2, y: (view.clientHeight - height * scale) / 2, fitted: true };
  place();
}

/** Zooms about a point of the view, its middle where none is named. */
function zoomTo(scale, px = view.clientWidth / 2, py = view.clientHeight / 2) {
  const old = state.zoom;
  scale = Math.min(32, Math.max(0.02, scale));
  const by = scale / old.scale;
  state.zoom = { scale, x: px - (px - old.x) * by, y: py - (py - old.y) * by, fitted: false };
  place();
}

function move(dx, dy) {
  state.zoom = { ...state.zoom, x: state.zoom.x + dx, y: state.zoom.y + dy, fitted: false };
  place();
}

const pointers = new Map();
let drawing = null;

function local(event) {
  const box = view.getBoundingClientRect();
  return { x: event.clientX - box.left - view.clientLeft, y: event.clientY - box.top - view.clientTop };
}

/** A point of the view in pixels of the small picture. */
function inPicture({ x, y }) {
  const { zoom, picture } = state;
  const by = zoom.scale * factor();
  const inside = (v, most) => Math.min(most, Math.max(0, Math.round(v)));
  return { x: inside((x - zoom.x) / by, picture.width), y: inside((y - zoom.y) / by, picture.height) };
}

view.addEventListener("pointerdown", (event) => {
  if (event.target === $("split") || event.button !== 0) return;
  view.setPointerCapture(event.pointerId);
  const at = local(event);
  pointers.set(event.pointerId, at);
  if ($("draw").getAttribute("aria-pressed") === "true" && pointers.size === 1) {
    drawing = { from: inPicture(at), box: document.createElement("div") };
    $("rectangles").append(drawing.box);
  } else {
    view.classList.add("moving");
  }
});

view.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const now = local(event);
  const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
  pointers.set(event.pointerId, now);
  if (drawing) {
    drawing.region = between(drawing.from, inPicture(now));
    placeRectangle(drawing.box, drawing.region);
  } else if (others.length) {
    const [other] = others;
    const far = (p) => Math.hypot(p.x - other.x, p.y - other.y) || 1;
    zoomTo(state.zoom.scale * (far(now) / far(before)), (now.x + other.x) / 2, (now.y + other.y) / 2);
    move((now.x - before.x) / 2, (now.y - before.y) / 2);
  } else {
    move(now.x - before.x, now.y - before.y);
  }
});

for (const name of ["pointerup", "pointercancel"]) {
  view.addEventListener(name, (event) => {
    pointers.delete(event.pointerId);
    view.classList.remove("moving");
    if (!drawing) return;
    const { region, box } = drawing;
    drawing = null;
    box.remove();
    if (name === "pointerup" && region?.width && region?.height) {
      setDrawing(false);
      addRegion(region);
    }
  });
}

view.addEventListener("wheel", (event) => {
  event.preventDefault();
  const at = local(event);
  const lines = event.deltaMode === 1 ? 18 : 1;
  zoomTo(state.zoom.scale * Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0015)), at.x, at.y);
}, { passive: false });

view.addEventListener("keydown", (event) => {
  if (event.target !== view || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = event.shiftKey ? 160 : 40;
  const keys = {
    "+": () => zoomTo(state.zoom.scale * 1.25),
    "=": () => zoomTo(state.zoom.scale * 1.25),
    "-": () => zoomTo(state.zoom.scale / 1.25),
    0: fit,
    1: () => zoomTo(1),
    ArrowLeft: () => move(step, 0),
    ArrowRight: () => move(-step, 0),
    ArrowUp: () => move(0, step),
    ArrowDown: () => move(0, -step),
    Escape: () => setDrawing(false),
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});

$("in").onclick = () => zoomTo(state.zoom.scale * 1.25);
$("out").onclick = () => zoomTo(state.zoom.scale / 1.25);
$("fit").onclick = fit;
$("actual").onclick = () => zoomTo(1);
$("split").oninput = () => {
  $("split").setAttribute("aria-valuetext", `${Math.round($("split").value)} % before`);
  place();
};
new ResizeObserver(() => (state.zoom.fitted ? fit() : place())).observe(view);

// Parts with words of their own

const between = (a, b) => ({
  left: Math.min(a.x, b.x),
  top: Math.min(a.y, b.y),
  width: Math.abs(a.x - b.x),
  height: Math.abs(a.y - b.y),
});

function setDrawing(on) {
  $("draw").setAttribute("aria-pressed", on);
  view.classList.toggle("drawing", on);
  if (on) say("Drag over the picture to draw a part. Without a mouse, add one by numbers.");
}

function addRegion(region) {
  state.regions.push({ text: "", ...region });
  drawRegions();
  $("regions").lastElementChild.querySelector(".words").focus();
}

function drawRegions() {
  const list = $("regions");
  list.replaceChildren(...state.regions.map((region, at) => {
    const item = document.createElement("li");
    const row = document.createElement("div");
    row.className = "row";
    const words = Object.assign(document.createElement("input"), { className: "words", value: region.text, placeholder: "what this part shows" });
    words.setAttribute("aria-label", `What part ${at + 1} shows`);
    words.oninput = () => (region.text = words.value);
    const remove = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: "Remove" });
    remove.setAttribute("aria-label", `Remove part ${at + 1}`);
    remove.onclick = () => {
      state.regions.splice(at, 1);
      drawRegions();
      $("draw").focus();
    };
    row.append(words, remove);
    const numbers = document.createElement("div");
    numbers.className = "numbers";
    for (const name of ["left", "top", "width", "height"]) {
      const input = Object.assign(document.createElement("input"), { type: "number", min: name === "left" || name === "top" ? 0 : 1, value: region[name] });
      input.oninput = () => {
        region[name] = Math.max(Number(input.min), Math.round(Number(input.value)) || 0);
        placeRectangles();
      };
      const label = document.createElement("label");
      label.append(name, input);
      numbers.append(label);
    }
    item.append(row, numbers);
    return item;
  }));
  placeRectangles();
}

function placeRectangles() {
  $("rectangles").replaceChildren(...state.regions.map((region, at) => {
    const box = document.createElement("div");
    box.dataset.number = at + 1;
    placeRectangle(box, region);
    return box;
  }));
}

function placeRectangle(box, region) {
  const by = factor();
  for (const name of ["left", "top", "width", "height"]) box.style[name] = `${region[name] * by}px`;
}

$("draw").onclick = () => setDrawing($("draw").getAttribute("aria-pressed") !== "true");
$("add-region").onclick = () => {
  const { width, height } = state.picture;
  addRegion({ left: Math.floor(width / 4), top: Math.floor(height / 4), width: Math.ceil(width / 2), height: Math.ceil(height / 2) });
};

// Enlarging

function formOf(picture) {
  const form = new FormData();
  if (picture.id) form.append("picture_id", picture.id);
  else form.append("picture", picture.file, "picture");
  form.append("model", $("model").value);
  if (!model().takes_prompt) return form;
  const text = $("prompt").value.trim();
  if (text) form.append("prompt", text);
  if (state.reference) form.append("prompt_picture", state.reference.file, "prompt");
  for (const { left, top, width, height, text } of state.regions) form.append("region", `${left},${top},${width},${height}=${text}`);
  return form;
}

async function submit(picture) {
  try {
    return await (await ask("/v1/jobs", { method: "POST", body: formOf(picture) })).json();
  } catch (error) {
    // The picture has expired there: it is sent again.
    if (error.status !== 404 || !picture.id) throw error;
    picture.id = null;
    return submit(picture);
  }
}

async function enlarge() {
  const { picture } = state;
  if (!picture || state.job) return;
  const only = Boolean(picture.id);
  const [used, parts, stop] = [model(), state.regions.length, new AbortController()];
  state.job = { stop };
  showProblem(null);
  $("outcome").textContent = "";
  working(true);
  try {
    $("progress-text").textContent = only ? "Sending the prompt" : "Sending the picture";
    const job = await submit(picture);
    Object.assign(picture, { id: job.picture.id });
    Object.assign(state.job, job);
    if (stop.signal.aborted) await ask(`/v1/jobs/${job.id}`, { method: "DELETE" });
    const ended = await watch(job);
    if (state.picture !== picture || ended.state === "cancelled") return cancelled();
    if (ended.state !== "done") throw new Problem(ended.problem.status, `${ended.problem.title}: ${ended.problem.detail}`);
    // Masks are of one prompt.
    await done(ended, used, only, used.takes_prompt && !parts);
  } catch (error) {
    showProblem(error);
  } finally {
    state.job = null;
    working(false);
  }
}

function cancelled() {
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
    $("progress-text").textContent = job.ahead ? `Waiting, ${job.ahead} before this` : "Waiting";
  } else {
    $("progress").value = job.progress;
    const left = job.seconds.left ? `, about ${seconds(Math.max(1, Math.round(job.seconds.left)))} left` : "";
    const text = `${pixels(job.pixels.done)} of ${pixels(job.pixels.total)}, ${(job.seconds.running ?? 0).toFixed(1)} s${left}`;
    $("progress-text").textContent = text;
  }
  say($("progress-text").textContent, false);
}

async function done(job, used, only, hasMasks) {
  const url = await blobUrl(job.links.result);
  const run = { job, url, factor: used.scale, hasMasks, words: words(job), masks: null };
  state.runs.unshift(run);
  for (const old of state.runs.splice(12)) URL.revokeObjectURL(old.url);
  const { prompt, running } = job.seconds;
  const whole = `enlarged in ${seconds(running)}`;
  const switched = only && used.takes_prompt ? `Prompt switched in ${seconds(prompt)}, ${whole}.` : `Done: ${whole}.`;
  $("outcome").textContent = switched;
  say(`${switched} ${job.output.width} by ${job.output.height} pixels.`);
  await show(run);
}

const words = (job) => {
  if (job.prompt === null) return job.model;
  return job.prompt.startsWith("none given") ? "no prompt" : job.prompt.replace(", elsewhere none given: the picture itself, in a mirror", "");
};

/** Where the focus was, to which it returns from Cancel. */
let began = null;

function working(on) {
  if (on) began = document.activeElement;
  const lost = [$("cancel"), document.body].includes(document.activeElement);
  $("working").hidden = !on;
  $("enlarge").disabled = on || !state.picture;
  $("progress").value = 0;
  if (on) $("cancel").focus();
  else if (lost) (began === document.body ? $("enlarge") : began).focus();
}

async function cancel() {
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
$("cancel").onclick = cancel;

// What is shown

async function show(run) {
  const fresh = !state.shown && run;
  state.shown = run;
  for (const id of ["after", "after-tag", "line", "split"]) $(id).hidden = !run;
  $("results").hidden = !run;
  drawRuns();
  await showMask("");
  if (!run) return;
  $("after").src = run.url;
  await $("after").decode().catch(() => {});
  const before = world.style.width;
  update();
  if (fresh || before !== world.style.width) state.zoom.fitted ? fit() : place();
  $("masks").hidden = !run.hasMasks;
  const modules = run.masks ?? [];
  $("module").replaceChildren(new Option("none", ""), ...(run.masks ? modules.map(option) : [new Option("look", "?")]));
}

const option = (mask) => new Option(mask.name, mask.name);

function drawRuns() {
  $("runs").replaceChildren(...state.runs.map((run) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "quiet", title: run.words });
    button.setAttribute("aria-pressed", run === state.shown);
    for (const text of [run.words, seconds(run.job.seconds.running)]) {
      button.append(Object.assign(document.createElement("span"), { textContent: text }));
    }
    button.onclick = async () => {
      const at = state.runs.indexOf(run);
      await show(run);
      $("runs").children[at]?.querySelector("button")?.focus();
      say(`Shown: ${run.words}`);
    };
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

// Masks

const INFERNO = ["#000004", "#1b0c41", "#4a0c6b", "#781c6d", "#a52c60", "#cf4446", "#ed6925", "#fb9b06", "#f7d13d", "#fcffa4"];
$("bar").style.background = `linear-gradient(90deg, ${INFERNO.join(", ")})`;
const heat = Array.from({ length: 256 }, (_, level) => {
  const at = (level / 255) * (INFERNO.length - 1);
  const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const [a, b] = [parts(INFERNO[Math.floor(at)]), parts(INFERNO[Math.ceil(at)])];
  return a.map((v, i) => v + (b[i] - v) * (at % 1));
});

/** The masks of what is shown: computed on the server when they are first asked for. */
async function masks(run) {
  if (!run.masks) {
    say("The masks are being computed.");
    $("module").disabled = true;
    try {
      run.masks = await (await ask(run.job.links.masks)).json();
    } finally {
      $("module").disabled = false;
    }
  }
  return run.masks;
}

async function showMask(name) {
  const run = state.shown;
  $("heat").hidden = $("mask-more").hidden = true;
  world.classList.remove("masked");
  if (!name || !run) return;
  const all = await masks(run);
  if (name === "?") {
    $("module").replaceChildren(new Option("none", ""), ...all.map(option));
    if (!all.length) return say("This model has no masks.");
    name = all[0].name;
    $("module").value = name;
    $("module").focus();
  }
  const mask = all.find((mask) => mask.name === name);
  const url = await blobUrl(mask.link);
  const image = new Image();
  image.src = url;
  await image.decode();
  URL.revokeObjectURL(url);
  const canvas = $("heat");
  [canvas.width, canvas.height] = [mask.width, mask.height];
  const paint = canvas.getContext("2d");
  paint.drawImage(image, 0, 0);
  const data = paint.getImageData(0, 0, mask.width, mask.height);
  for (let i = 0; i < data.data.length; i += 4) data.data.set(heat[data.data[i]], i);
  paint.putImageData(data, 0, 0);
  $("low").textContent = mask.low.toFixed(3);
  $("high").textContent = mask.high.toFixed(3);
  canvas.hidden = $("mask-more").hidden = false;
  world.classList.add("masked");
  say(`Mask ${name}: ${mask.low.toFixed(3)} to ${mask.high.toFixed(3)}, ${mask.mean.toFixed(3)} on average.`);
}

$("module").onchange = () => showMask($("module").value).catch((error) => {
  $("module").value = "";
  showProblem(error);
});
const setOpacity = () => ($("heat").style.opacity = $("opacity").value / 100);
$("opacity").oninput = setOpacity;
setOpacity();

// Download

$("download").onclick = async () => {
  const format = $("format").value;
  try {
    const url = await blobUrl(`${state.shown.job.links.result}?format=${format}`);
    const ending = { png: "png", webp: "webp", jpeg: "jpg", tiff: "tif" }[format];
    const name = (state.picture.file.name || "picture").replace(/\.[^.]*$/, "");
    Object.assign(document.createElement("a"), { href: url, download: `${name}_x${state.shown.factor}.${ending}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  } catch (error) {
    showProblem(error);
  }
};

// Where pictures come from

function setReference(file) {
  if (state.reference) URL.revokeObjectURL(state.reference.url);
  state.reference = file ? { file, url: URL.createObjectURL(file) } : null;
  $("reference-shown").hidden = !file;
  $("add-reference").hidden = Boolean(file);
  if (file) {
    $("reference-picture").src = state.reference.url;
    $("reference-name").textContent = file.name || "pasted picture";
    say(`Picture of the like: ${$("reference-name").textContent}`);
  }
}

const picked = (input, take) => () => {
  if (input.files[0]) take(input.files[0]);
  input.value = "";
};
$("file").onchange = picked($("file"), load);
$("reference-file").onchange = picked($("reference-file"), setReference);
$("choose").onclick = $("another").onclick = () => $("file").click();
$("add-reference").onclick = () => $("reference-file").click();
$("remove-reference").onclick = () => {
  setReference(null);
  $("add-reference").focus();
};
$("try").onclick = async () => {
  try {
    const blob = await (await ask("/example.png")).blob();
    await load(new File([blob], "example.png", { type: "image/png" }));
    $("prompt").focus();
  } catch (error) {
    showProblem(error);
  }
};

const files = (event) => [...(event.clipboardData ?? event.dataTransfer)?.files ?? []];
document.addEventListener("paste", (event) => {
  const [file] = files(event);
  if (!file) return;
  event.preventDefault();
  load(file);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  const reference = Boolean(event.target.closest?.("#reference"));
  document.body.classList.toggle("over", !reference);
  $("reference").classList.toggle("over", reference);
});
const left = () => {
  document.body.classList.remove("over");
  $("reference").classList.remove("over");
};
document.addEventListener("dragleave", (event) => event.relatedTarget ?? left());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  left();
  const [file] = files(event);
  if (file) event.target.closest?.("#reference") ? setReference(file) : load(file);
});

// Theme

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

// The beginning

async function begin() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    keepToken(given);
    history.replaceState(null, "", location.pathname);
  }
  try {
    const { models, limits } = await (await ask("/v1/models")).json();
    state.models = models;
    $("model").replaceChildren(...models.map((m) => new Option(`${m.name}, ${m.scale} times`, m.name)));
    $("limits").textContent =
      `PNG, JPEG, WebP, TIFF or BMP, up to ${pixels(limits.pixels)}. It is sent to this server and nowhere else.`;
    update();
  } catch (error) {
    showProblem(error);
  }
}
$("model").onchange = () => {
  update();
  if (state.picture && !state.shown) fit();
};
begin();
