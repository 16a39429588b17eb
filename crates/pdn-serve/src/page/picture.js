// The picture to upscale: read, checked against the server's limits before anything is sent, and shown.

import { $, say, state } from "./state.js";
import { cancel } from "./enlarge.js";
import { clearParts } from "./parts.js";
import { showProblem } from "./problems.js";
import { forgetRuns } from "./runs.js";
import { Problem, ask, blobUrl } from "./server.js";
import { followPicture } from "./sizes.js";
import { showWhole } from "./view.js";

/** What a request has beside the picture's file, at most. */
const AROUND = 64 << 10;

/** Says where a file has more bytes than the server takes. */
export function checkFile({ size }) {
  const limit = state.limits && state.limits.upload_bytes - AROUND;
  if (limit && size > limit) throw Problem.of("large-upload", { unit: "bytes", limit, found: size });
}

function checkPixels({ width, height }) {
  const limit = state.limits?.pixels;
  if (limit && width * height > limit) throw Problem.of("many-pixels", { unit: "pixels", limit, found: width * height });
}

/** Takes a file as the picture; says whether it is one. What was there stays where it is not. */
export async function load(file) {
  showProblem(null);
  let picture;
  try {
    checkFile(file);
    picture = await look(file);
  } catch (error) {
    showProblem(error);
    return false;
  }
  await cancel();
  await forgetRuns();
  if (state.picture) URL.revokeObjectURL(state.picture.url);
  state.picture = picture;
  $("before").src = picture.url;
  $("outcome").textContent = "";
  $("empty").hidden = true;
  $("viewer").hidden = false;
  document.body.classList.add("loaded");
  clearParts();
  followPicture();
  showWhole();
  say(`Loaded a picture of ${picture.width} by ${picture.height} pixels.`);
  return true;
}

/** The browser shows what it can; the rest the server turns into PNG. */
async function look(file) {
  const url = URL.createObjectURL(file);
  const found = await size(url);
  if (found) {
    try {
      checkPixels(found);
    } catch (error) {
      URL.revokeObjectURL(url);
      throw error;
    }
    return { file, url, ...found, id: null };
  }
  URL.revokeObjectURL(url);
  const form = new FormData();
  form.append("picture", file, "picture");
  const kept = await (await ask("/v1/pictures", { method: "POST", body: form })).json();
  return { file, url: await blobUrl(`/v1/pictures/${kept.id}`), ...kept };
}

/** A picture's size; nothing where the browser does not show it. */
async function size(url) {
  const image = new Image();
  image.src = url;
  try {
    // Its head says the size; what is too large is not decoded for that.
    await new Promise((done, failed) => Object.assign(image, { onload: done, onerror: failed }));
  } catch {
    return null;
  }
  return { width: image.naturalWidth, height: image.naturalHeight };
}
