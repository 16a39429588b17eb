// The picture, before and after: zoom, place, and the handle between the two.

import { $, extent, onChange, say, state } from "./state.js";
import { becomes } from "./sizes.js";

const view = $("view"), world = $("world");
const zoom = { scale: 1, x: 0, y: 0, fitted: true };

/** Width and height of the picture as it is laid out: the result's, or what it would be. */
function laidOut() {
  const { picture, shown } = state;
  return shown?.job.output ?? becomes(picture) ?? picture;
}

function place() {
  const { scale, x, y } = zoom;
  world.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
  world.style.setProperty("--zoom", scale);
  $("zoom").value = `${Math.round(scale * 100)} %`;
  const at = ($("split").value / 100) * view.clientWidth;
  $("line").style.left = `${at}px`;
  $("after").style.clipPath = `inset(0 0 0 ${Math.max(0, (at - x) / scale)}px)`;
}

export function fit() {
  if (!state.picture) return;
  const { width, height } = laidOut();
  const scale = Math.min(view.clientWidth / width, view.clientHeight / height);
  Object.assign(zoom, { scale, x: (view.clientWidth - width * scale) / 2, y: (view.clientHeight - height * scale) / 2, fitted: true });
  place();
}

/** Zooms about a point of the view, its middle where none is named. */
function zoomTo(scale, px = view.clientWidth / 2, py = view.clientHeight / 2) {
  scale = Math.min(32, Math.max(0.005, scale));
  const by = scale / zoom.scale;
  Object.assign(zoom, { scale, x: px - (px - zoom.x) * by, y: py - (py - zoom.y) * by, fitted: false });
  place();
}

function move(dx, dy) {
  Object.assign(zoom, { x: zoom.x + dx, y: zoom.y + dy, fitted: false });
  place();
}

/** What depends on the size of the picture as it is laid out. */
let before = { width: 0, height: 0 };
onChange(() => {
  const { picture, shown } = state;
  if (!picture) return;
  const size = laidOut();
  world.style.width = `${size.width}px`;
  world.style.height = `${size.height}px`;
  $("facts").textContent = shown ? `${extent(picture)} to ${extent(size)}` : extent(picture);
  $("preview-note").hidden = !shown?.job.preview;
  if (size.width === before.width && size.height === before.height) return place();
  // What was in the middle stays there.
  const by = before.width / size.width;
  before = size;
  if (zoom.fitted) return fit();
  zoom.scale *= by;
  place();
});

/** Shows the whole, as after loading. */
export function showWhole() {
  zoom.fitted = true;
  fit();
}

// Pointers: one moves or draws, two zoom

const pointers = new Map();
let drawing = null;
/** Who is told of a rectangle that was drawn; nobody while none is to be. */
let drawn = null;

/** Has the next drag draw a rectangle, in pixels of the picture; nothing ends that. */
export function draw(take) {
  drawn = take;
  view.classList.toggle("drawing", Boolean(take));
  $("draw-hint").hidden = !take;
}

function local(event) {
  const box = view.getBoundingClientRect();
  return { x: event.clientX - box.left - view.clientLeft, y: event.clientY - box.top - view.clientTop };
}

/** A point of the view in pixels of the small picture. */
function inPicture({ x, y }) {
  const { picture } = state;
  const { width, height } = laidOut();
  const inside = (part, most) => Math.min(most, Math.max(0, Math.round(part * most)));
  return {
    x: inside((x - zoom.x) / zoom.scale / width, picture.width),
    y: inside((y - zoom.y) / zoom.scale / height, picture.height),
  };
}

const between = (a, b) => ({
  left: Math.min(a.x, b.x),
  top: Math.min(a.y, b.y),
  width: Math.abs(a.x - b.x),
  height: Math.abs(a.y - b.y),
});

/** Puts a box where a rectangle of the small picture is. */
export function placeBox(box, { left, top, width, height }) {
  const size = laidOut();
  const [wide, high] = [size.width / state.picture.width, size.height / state.picture.height];
  Object.assign(box.style, { left: `${left * wide}px`, top: `${top * high}px`, width: `${width * wide}px`, height: `${height * high}px` });
}

view.addEventListener("pointerdown", (event) => {
  if (event.target === $("split") || event.button !== 0) return;
  view.setPointerCapture(event.pointerId);
  const at = local(event);
  pointers.set(event.pointerId, at);
  if (drawn && pointers.size === 1) {
    drawing = { from: inPicture(at), box: document.createElement("div") };
    $("rectangles").append(drawing.box);
  } else {
    view.classList.add("moving");
  }
});

view.addEventListener("pointermove", (event) => {
  const old = pointers.get(event.pointerId);
  if (!old) return;
  const now = local(event);
  const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
  pointers.set(event.pointerId, now);
  if (drawing) {
    drawing.part = between(drawing.from, inPicture(now));
    placeBox(drawing.box, drawing.part);
  } else if (others.length) {
    const [other] = others;
    const far = (p) => Math.hypot(p.x - other.x, p.y - other.y) || 1;
    zoomTo(zoom.scale * (far(now) / far(old)), (now.x + other.x) / 2, (now.y + other.y) / 2);
    move((now.x - old.x) / 2, (now.y - old.y) / 2);
  } else {
    move(now.x - old.x, now.y - old.y);
  }
});

for (const name of ["pointerup", "pointercancel"]) {
  view.addEventListener(name, (event) => {
    pointers.delete(event.pointerId);
    view.classList.remove("moving");
    if (!drawing) return;
    const { part, box } = drawing;
    drawing = null;
    box.remove();
    if (name === "pointerup" && part?.width && part?.height) drawn?.(part);
  });
}

view.addEventListener("wheel", (event) => {
  event.preventDefault();
  const at = local(event);
  const lines = event.deltaMode === 1 ? 18 : 1;
  zoomTo(zoom.scale * Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0015)), at.x, at.y);
}, { passive: false });

// Keys and buttons

const larger = () => zoomTo(zoom.scale * 1.25);
const smaller = () => zoomTo(zoom.scale / 1.25);

view.addEventListener("keydown", (event) => {
  if (event.target !== view || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = event.shiftKey ? 160 : 40;
  const keys = {
    "+": larger,
    "=": larger,
    "-": smaller,
    0: fit,
    1: () => zoomTo(1),
    ArrowLeft: () => move(step, 0),
    ArrowRight: () => move(-step, 0),
    ArrowUp: () => move(0, step),
    ArrowDown: () => move(0, -step),
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});

$("in").onclick = larger;
$("out").onclick = smaller;
$("fit").onclick = fit;
$("actual").onclick = () => zoomTo(1);
$("split").oninput = () => {
  $("split").setAttribute("aria-valuetext", `${Math.round($("split").value)} % before`);
  place();
};
new ResizeObserver(() => (zoom.fitted ? fit() : place())).observe(view);

/** Brings the picture into the window, where it is not there. */
export function bringIntoView() {
  const box = view.getBoundingClientRect();
  if (box.top >= 0 && box.bottom <= innerHeight) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  view.scrollIntoView({ block: box.height < innerHeight ? "nearest" : "start", behavior: still ? "auto" : "smooth" });
}
