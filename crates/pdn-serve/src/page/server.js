// Talking to the server.

import { $ } from "./state.js";

/** Something that is wrong, by the server's fields: its `type`, and numbers such as `limit` and `found`. */
export class Problem extends Error {
  constructor(fields) {
    super(fields.type);
    Object.assign(this, fields);
  }

  /** A problem that the page finds itself. */
  static of(name, fields = {}) {
    return new Problem({ type: `urn:pdn:problem:${name}`, ...fields });
  }

  /** The last word of its type. */
  get kind() {
    return String(this.type).split(":").pop();
  }
}

let token = sessionStorage.getItem("token");

function keepToken(given) {
  token = given;
  sessionStorage.setItem("token", given);
}

/** Takes the token from the page's address, where it is given there. */
export function tokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  keepToken(given);
  history.replaceState(null, "", location.pathname);
}

export async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Problem.of("no-answer");
  }
  if (response.status === 401 && (await askForToken())) return ask(path, options);
  if (!response.ok) {
    const fields = await response.json().catch(() => ({}));
    throw new Problem({ type: "none", ...fields, status: response.status });
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

/** Server-sent events by fetch, which can send the token. */
export async function* events(path, signal) {
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

export async function blobUrl(path) {
  return URL.createObjectURL(await (await ask(path)).blob());
}
