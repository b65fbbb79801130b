import assert from "node:assert/strict";
import { test } from "node:test";
import { listen, tell } from "../../vae/ui/static/topics.js";

test("all listeners hear the news, and those who come later the last of it", () => {
  /** @type {any[]} */
  const heard = [];
  listen("seed", (news) => heard.push(["first", news]));
  assert.equal(heard.length, 0);
  tell("seed", 3);
  tell("seed", null);
  listen("seed", (news) => heard.push(["second", news]));
  listen("another", (news) => heard.push(news));
  assert.deepEqual(heard, [
    ["first", 3],
    ["first", null],
    ["second", null],
  ]);
});
