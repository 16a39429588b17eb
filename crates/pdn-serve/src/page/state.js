// What the page holds, and what every part of it uses.

export const $ = (id) => document.getElementById(id);

export const state = {
  /** The picture: its file, its size, its id where the server keeps it. */
  picture: null,
  /** A picture of the like, as a prompt. */
  reference: null,
  /** Regions with their own prompt: left, top, width, height in pixels of the picture, text, and told faults by slot. */
  parts: [],
  /** What was upscaled so far, and which of it is shown. */
  runs: [],
  shown: null,
  /** The job in hand, and what ends the wait for it. */
  job: null,
  models: [],
  /** The faults that can be told to a model that hears them. */
  slots: [],
  /** What the server takes at most. */
  limits: null,
};

/** The model that is chosen. */
export const model = () => state.models.find((m) => m.name === $("model").value);

const heard = [];
/** Has a function called whenever the picture, the model, the size or what is shown changes. */
export const onChange = (hear) => heard.push(hear);
export const changed = () => heard.forEach((hear) => hear());

let said = 0;
/** To screen readers: not more often than they can speak. */
export function say(text, always = true) {
  const now = performance.now();
  if (always || now - said > 4000) {
    said = now;
    $("live").textContent = text;
  }
}

/** An element with its properties, attributes (`aria-…`) and children. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-")) made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

// Numbers in words

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const number = (n) => whole.format(n);

export const pixels = (n) => (n >= 1e6 ? `${Number((n / 1e6).toFixed(n >= 1e7 ? 0 : 1))} megapixels` : `${number(n)} pixels`);

export const bytes = (n) => (n >= 1 << 20 ? `${Number((n / (1 << 20)).toFixed(n >= 10 << 20 ? 0 : 1))} MB` : `${number(Math.ceil(n / 1024))} kB`);

export function seconds(s) {
  if (s < 0.0995) return `${Math.max(1, Math.round(s * 1000))} ms`;
  if (s < 60) return `${s.toFixed(s < 10 ? 2 : 0)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
}

export const extent = ({ width, height }) => `${width} × ${height}`;
