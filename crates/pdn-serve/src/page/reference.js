// A reference picture, as a prompt.

import { $, changed, say, state } from "./state.js";
import { checkFile } from "./picture.js";
import { showProblem } from "./problems.js";

export function setReference(file) {
  if (file) {
    try {
      checkFile(file);
    } catch (error) {
      return showProblem(Object.assign(error, { part: "prompt_picture" }));
    }
  }
  if (state.reference) URL.revokeObjectURL(state.reference.url);
  state.reference = file ? { file, url: URL.createObjectURL(file) } : null;
  $("reference-shown").hidden = !file;
  $("add-reference").hidden = Boolean(file);
  if (file) {
    $("advanced").open = true;
    $("reference-picture").src = state.reference.url;
    $("reference-name").textContent = file.name || "pasted picture";
    say(`Reference picture: ${$("reference-name").textContent}`);
  }
  changed();
}

$("remove-reference").onclick = () => {
  setReference(null);
  $("add-reference").focus();
};
