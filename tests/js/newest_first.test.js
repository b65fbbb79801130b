import assert from "node:assert/strict";
import { test } from "node:test";
import { newestFirst, projector } from "../../vae/ui/static/newest_first.js";

/** A server that answers when it is told to. */
function slowServer() {
  /** @type {{ asked: string, answer: () => void }[]} */
  const open = [];
  /** @param {string} asked @returns {Promise<string>} */
  const ask = (asked) => new Promise((done) => open.push({ asked, answer: () => done(`answer to ${asked}`) }));
  const answerNext = async () => {
    open.shift()?.answer();
    await new Promise((done) => setTimeout(done));
  };
  return { ask, open, answerNext };
}

test("one request at a time, and of the moves meanwhile only the last", async () => {
  const { ask, open, answerNext } = slowServer();
  /** @type {string[]} */
  const shown = [];
  const wish = newestFirst({ ask, waiting: () => {}, show: (answer) => shown.push(answer) });
  for (const move of ["a", "b", "c"]) wish({ request: () => move });
  assert.deepEqual(
    open.map(({ asked }) => asked),
    ["a"],
  );
  await answerNext();
  assert.deepEqual(
    open.map(({ asked }) => asked),
    ["c"],
  );
  await answerNext();
  assert.deepEqual(shown, ["answer to a", "answer to c"]);
  assert.equal(open.length, 0);
});

test("a choice is never passed over for a move", async () => {
  const { ask, open, answerNext } = slowServer();
  /** @type {string[]} */
  const shown = [];
  const wish = newestFirst({ ask, waiting: () => {}, show: (answer) => shown.push(answer) });
  wish({ request: () => "move 1" });
  wish({ keep: true, request: () => "choice" });
  wish({ request: () => "move 2" });
  await answerNext();
  assert.deepEqual(
    open.map(({ asked }) => asked),
    ["choice"],
  );
  await answerNext();
  await answerNext();
  assert.deepEqual(
    shown,
    ["move 1", "choice", "move 2"].map((asked) => `answer to ${asked}`),
  );
});

test("the film keeps to one image a frame, and leaves out what it cannot keep up with", () => {
  /** @type {(() => void)[]} */
  const frames = [];
  /** @type {number[]} */
  const shown = [];
  const film = projector(
    (/** @type {number} */ image) => shown.push(image),
    3,
    (next) => frames.push(next),
  );
  film.play([1]);
  film.play([2, 3, 4, 5, 6]);
  assert.deepEqual(shown, [1]);
  while (frames.length) frames.shift()?.();
  assert.deepEqual(shown, [1, 4, 5, 6]);
  film.play([7, 8]);
  film.stop();
  while (frames.length) frames.shift()?.();
  assert.deepEqual(shown, [1, 4, 5, 6, 7]);
});
