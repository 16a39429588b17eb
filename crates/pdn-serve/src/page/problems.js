// Error messages for visitors, by the type of the server's problem and its numbers.

import { $, bytes, number, pixels, seconds } from "./state.js";

const SMALLER = "Shrink it, or crop it to the part you need, and try again.";

const largest = ({ unit, limit }) => (unit === "bytes" ? bytes(limit) : pixels(limit));

const WORDS = {
  "no-answer": () => "The server does not respond. Check that it is running, and try again.",
  malformed: () => "The server could not read the request. Try again.",
  unauthorised: () => "The server requires a token. Reload the page and enter it.",
  "foreign-host": () => "This page may not use the server. Open it at the server's own address.",
  "foreign-page": () => "This page may not use the server. Open it at the server's own address.",
  "not-found": () => "The server no longer has this result. Upscale the picture again.",
  "slow-upload": () => "Uploading the picture took too long. Try again, or use a smaller one.",
  "large-upload": ({ limit, found }) =>
    `The file is too large${found ? ` (${bytes(found)})` : ""}: this server accepts files of up to ${bytes(limit)}. Save it as a JPEG, or shrink it, and try again.`,
  "many-pixels": ({ limit, found }) => `The picture is too large (${pixels(found)}): this server accepts up to ${pixels(limit)}. ${SMALLER}`,
  "much-memory": () => "This model needs more memory for the picture than the server allows. Choose another model or a smaller picture.",
  "large-result": (problem) => `The upscaled picture would exceed this server's limit of ${largest(problem)}. Choose a smaller size.`,
  media: () => "This file is not a supported picture. Use PNG, JPEG, WebP, TIFF, BMP or GIF; convert a HEIC photo to JPEG first.",
  picture: () => "The picture cannot be read: the file is damaged, incomplete or of an unsupported kind. Save it again as PNG or JPEG.",
  prompt: () => "The prompt cannot be used. Change it, or remove it.",
  "empty-prompt": () => "A region has no prompt. Describe what it shows, or remove it.",
  "long-prompt": ({ unit, limit, found }) =>
    unit === "tokens"
      ? `The prompt is too long: remove about ${number(found - limit)} words.`
      : "The prompt is far too long. Describe the picture in a sentence or two.",
  region: () => "A region is not inside the picture. Change its numbers, or remove it.",
  option: () => "This size is not possible. Check the numbers.",
  "queue-full": () => "Too many pictures are waiting on the server. Try again later.",
  busy: () => "The server is busy. Try again in a moment.",
  stopping: () => "The server is shutting down. Try again later.",
  "too-slow": ({ limit }) => `It took longer than ${seconds(limit)}, this server's time limit. Choose a smaller picture or a faster model.`,
  // Errors that the page itself detects.
  size: () => "Enter the size as a number above 0.",
  format: () => "This format cannot hold the picture: JPEG has no transparency, and WebP is limited to 16,383 pixels per side. Choose PNG or TIFF.",
};

/** The message for an error. Internal and unknown errors have the same one. */
function words(error) {
  const said = (WORDS[error.kind] ?? (() => "Something went wrong. Try again; if it happens again, see the server's log."))(error);
  return error.part === "prompt_picture" ? `The reference picture cannot be used. ${said}` : said;
}

export function showProblem(error) {
  if (error && !error.kind) console.error(error);
  $("problem").hidden = !error;
  $("problem").textContent = error ? words(error) : "";
  if (error) $("problem").scrollIntoView({ block: "nearest" });
}
