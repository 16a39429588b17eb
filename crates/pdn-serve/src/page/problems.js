// What is wrong, in a visitor's words, by the type that the server names and its numbers.

import { $, bytes, number, pixels, seconds } from "./state.js";

const SMALLER = "Make it smaller, or cut out the part that you need, and try again.";

const largest = ({ unit, limit }) => (unit === "bytes" ? bytes(limit) : pixels(limit));

const WORDS = {
  "no-answer": () => "The server does not answer. See whether it still runs, and try again.",
  malformed: () => "The server could not read what was sent. Try again.",
  unauthorised: () => "The server wants its token: reload the page and give it.",
  "foreign-host": () => "This page may not use the server. Open it at the server's own address.",
  "foreign-page": () => "This page may not use the server. Open it at the server's own address.",
  "not-found": () => "The server no longer has this. Enlarge the picture again.",
  "slow-upload": () => "Sending the picture took too long. Try again, or send a smaller one.",
  "large-upload": ({ limit, found }) =>
    `The file is too large: ${found ? `it has ${bytes(found)}, and ` : ""}this server takes files of up to ${bytes(limit)}. Save it as a JPEG, or make it smaller, and try again.`,
  "many-pixels": ({ limit, found }) => `The picture is too large: it has ${pixels(found)}, and this server takes up to ${pixels(limit)}. ${SMALLER}`,
  "much-memory": () => "This model needs more memory for the picture than the server gives it. Choose another model, or a smaller picture.",
  "large-result": (problem) => `The enlarged picture would be larger than ${largest(problem)}, the most that this server makes. Choose a smaller size.`,
  media: () => "This is no picture that can be read here. PNG, JPEG, WebP, TIFF, BMP and GIF can; save a HEIC photo as a JPEG first.",
  picture: () => "The picture cannot be read: its file is damaged or cut short, or of a kind that is not read here. Save it anew as PNG or JPEG.",
  prompt: () => "These words or pictures cannot steer the model together. Change them, or leave them out.",
  "empty-prompt": () => "A part has no words. Say what it shows, or remove it.",
  "long-prompt": ({ unit, limit, found }) =>
    unit === "tokens"
      ? `The words are too long: leave out about ${number(found - limit)} of them.`
      : "That is far too much text. Say what the picture shows in a sentence or two.",
  region: () => "A part does not lie in the picture. Change its numbers, or remove it.",
  option: () => "This size cannot be made. Check its numbers.",
  "queue-full": () => "Too many pictures are waiting on the server. Try again in a while.",
  busy: () => "The server is receiving too much at once. Try again in a moment.",
  stopping: () => "The server is about to stop, and takes nothing more. Try again later.",
  "too-slow": ({ limit }) => `It took longer than ${seconds(limit)}, the most that this server gives a picture. Choose a smaller picture or a faster model.`,
  // What the page finds by itself.
  size: () => "Say how large it should become: a number above 0.",
  format: () => "This format cannot hold the picture: JPEG has no transparency, and WebP ends at 16,383 pixels a side. Choose PNG or TIFF.",
};

/** In words. What the server breaks on, and what is not known, is said alike. */
function words(error) {
  const said = (WORDS[error.kind] ?? (() => "Something broke. Try again; if it breaks again, the server's log says more."))(error);
  return error.part === "prompt_picture" ? `The picture of the like cannot be used. ${said}` : said;
}

export function showProblem(error) {
  if (error && !error.kind) console.error(error);
  $("problem").hidden = !error;
  $("problem").textContent = error ? words(error) : "";
  if (error) $("problem").scrollIntoView({ block: "nearest" });
}
