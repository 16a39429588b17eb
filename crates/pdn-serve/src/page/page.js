// The page of `pdn serve`: a picture is sent once and kept there; after that only what is asked of it is.

import "./theme.js";
import "./download.js";
import "./files.js";
import { $, changed, pixels, state } from "./state.js";
import { listSlots } from "./faults.js";
import { listModels } from "./models.js";
import { showProblem } from "./problems.js";
import { ask, tokenFromAddress } from "./server.js";

tokenFromAddress();
try {
  const { models, limits, faults } = await (await ask("/v1/models")).json();
  Object.assign(state, { models, limits, slots: faults });
  listModels();
  listSlots();
  $("limits").textContent =
    `PNG, JPEG, WebP, TIFF, BMP or GIF, up to ${pixels(limits.pixels)}. It is sent to this server and nowhere else.`;
} catch (error) {
  showProblem(error);
}
changed();
