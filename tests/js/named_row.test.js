import assert from "node:assert/strict";
import { test } from "node:test";
import { namedRow } from "../../vae/ui/static/named_row.js";

test("a row has the names it was sent with, and may lack the last", () => {
  const fields = ["step", "loss", "val_loss"];
  assert.deepEqual(namedRow(fields, [1, 2, null]), { step: 1, loss: 2, val_loss: null });
  assert.deepEqual(Object.keys(namedRow(fields, [1, 2])), ["step", "loss"]);
});
