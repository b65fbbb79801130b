// The divider of the first reconstruction moves once by itself, from one side to the other and back to the middle, so
// that one sees what it is there for; the first touch ends it.

const TAKES = 2400; // ms
const WAITS = 500; // ms
const REACH = 42; // percent to either side of the middle
const MIDDLE = 50;

/** Where it is, in percent. @param {number} share of the time, from 0 to 1 */
export const placeAt = (share) => {
  const eased = share * share * (3 - 2 * share);
  return MIDDLE + REACH * Math.sin(2 * Math.PI * eased);
};

/** @param {HTMLInputElement} divider @param {() => void} divide shows where it is */
export function sweep(divider, divide) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const touches = /** @type {const} */ (["pointerdown", "keydown", "wheel"]);
  let ended = false;
  /** @param {number} place */
  const set = (place) => {
    divider.value = String(place);
    divide();
  };
  const end = () => {
    if (ended) return;
    ended = true;
    for (const touch of touches) document.removeEventListener(touch, end, { capture: true });
    set(MIDDLE);
  };
  for (const touch of touches) document.addEventListener(touch, end, { capture: true, passive: true });
  const begins = performance.now() + WAITS;
  const step = (/** @type {number} */ now) => {
    if (ended) return;
    const share = (now - begins) / TAKES;
    if (share >= 1 || !divider.offsetParent) {
      end();
      return;
    }
    if (share > 0) set(placeAt(share));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}
