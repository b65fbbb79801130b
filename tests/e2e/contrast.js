// Visible texts whose contrast with their background is under 4.5:1 (WCAG 2.2), as "text: ratio".
() => {
  const SKIPPED =
    ":disabled, .visually-hidden, script, style, [aria-hidden=true], .vs-voice, .vs-heard, option, [type='application/json']";
  /** @param {string} colour as CSS has it: rgb(…) or rgba(…) */
  const channels = (colour) => (colour.match(/[\d.]+/g) ?? ["0", "0", "0", "0"]).map(Number);
  /** @param {number[]} colour */
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  /** @param {Element} node */
  const background = (node) => {
    for (let e = /** @type {Element | null} */ (node); e; e = e.parentElement) {
      const [r, g, b, a = 1] = channels(getComputedStyle(e).backgroundColor);
      if (a > 0.9) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const page = /** @type {Element} */ (document.querySelector(".gradio-container"));
  const walker = document.createTreeWalker(page, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent?.trim();
    const node = walker.currentNode.parentElement;
    if (!text || !node?.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (node.closest(SKIPPED) || !node.getClientRects().length) continue;
    const pair = [luminance(channels(getComputedStyle(node).color)), luminance(background(node))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) found.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return found;
};
