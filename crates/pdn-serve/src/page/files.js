// Where pictures come from: chosen, dropped, pasted, or the example.

import { $ } from "./state.js";
import { enlarge } from "./enlarge.js";
import { load } from "./picture.js";
import { showProblem } from "./problems.js";
import { setReference } from "./reference.js";
import { ask } from "./server.js";

const picked = (input, take) => () => {
  if (input.files[0]) take(input.files[0]);
  input.value = "";
};
$("file").onchange = picked($("file"), load);
$("reference-file").onchange = picked($("reference-file"), setReference);
$("choose").onclick = $("another").onclick = () => $("file").click();
$("add-reference").onclick = () => $("reference-file").click();

$("try").onclick = async () => {
  try {
    const blob = await (await ask("/example.png")).blob();
    if (await load(new File([blob], "example.png", { type: "image/png" }))) await enlarge();
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
