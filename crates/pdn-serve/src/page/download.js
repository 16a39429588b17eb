// The result as a file.

import { $, onChange, say, state } from "./state.js";
import { showProblem } from "./problems.js";
import { Problem, blobUrl } from "./server.js";
import { suffix } from "./sizes.js";

const ENDINGS = { png: "png", webp: "webp", jpeg: "jpg", tiff: "tif" };

/** How long a file may be taken from where it is kept for the browser. */
const TAKEN = 60000;

async function download(run, format) {
  showProblem(null);
  $("download").disabled = true;
  $("download").textContent = "Preparing";
  try {
    const url = await blobUrl(`${run.job.links.result}?format=${format}`);
    const name = (state.picture.file.name || "picture").replace(/\.[^.]*$/, "");
    Object.assign(document.createElement("a"), { href: url, download: `${name}_${suffix(run)}.${ENDINGS[format]}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), TAKEN);
    say("The file is ready.");
  } catch (error) {
    showProblem(error.kind === "option" ? Problem.of("format") : error);
  } finally {
    $("download").disabled = false;
    $("download").textContent = "Download";
    // A button that is disabled loses the focus.
    if (document.activeElement === document.body) $("download").focus({ preventScroll: true });
  }
}

$("download").onclick = () => download(state.shown, $("format").value);

onChange(() => {
  $("take").hidden = !state.shown;
  $("go").classList.toggle("done", Boolean(state.shown));
});
