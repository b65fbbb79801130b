// Requests and images for someone who moves faster than the server answers.

const LATE = 500; // ms, after which one is told to wait

/**
 * @template Asked
 * @typedef {object} Wish
 * @property {boolean} [keep] whether it is a choice, rather than a move
 * @property {() => Asked} request what to ask for, made when its turn comes
 */

/**
 * Asks one thing at a time. Of what is wished meanwhile only the newest is asked for, but a choice is never passed over
 * for a move.
 *
 * @template Asked, Answer
 * @template {Wish<Asked>} AWish
 * @param {object} options
 * @param {(asked: Asked) => Promise<Answer>} options.ask
 * @param {(answer: Answer, wish: AWish) => void} options.show
 * @param {(late: boolean) => void} options.waiting is told true when an answer takes over half a second
 * @returns {(wish: AWish) => Promise<void>}
 */
export function newestFirst({ ask, show, waiting }) {
  /** @type {AWish | null} */
  let choice = null;
  /** @type {AWish | null} */
  let move = null;
  let busy = false;
  /** @returns {AWish | null} */
  const take = () => {
    const next = choice ?? move;
    if (next === choice) choice = null;
    else move = null;
    return next;
  };
  return async (wish) => {
    if (wish.keep) {
      choice = wish;
      move = null;
    } else move = wish;
    if (busy) return;
    busy = true;
    try {
      for (let next = take(); next; next = take()) {
        const late = setTimeout(waiting, LATE, true);
        const answer = await ask(next.request());
        clearTimeout(late);
        waiting(false);
        show(answer, next);
      }
    } finally {
      busy = false;
    }
  };
}

/**
 * Shows images one after another, one for each frame of the screen; what it cannot keep up with is left out.
 *
 * @template Picture
 * @param {(picture: Picture) => void} show
 * @param {number} most that wait
 * @param {(next: () => void) => unknown} [schedule]
 */
export function projector(show, most, schedule = requestAnimationFrame) {
  /** @type {Picture[]} */
  let reel = [];
  let running = false;
  const next = () => {
    const picture = reel.shift();
    running = picture !== undefined;
    if (picture === undefined) return;
    schedule(next);
    show(picture);
  };
  return {
    /** @param {Picture[]} pictures */
    play(pictures) {
      reel = [...reel, ...pictures].slice(-most);
      if (!running) next();
    },
    stop() {
      reel = [];
    },
  };
}
