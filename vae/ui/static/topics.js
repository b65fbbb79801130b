// News between components: one tells, others hear. The last word on a topic is kept for those who come later.

/** @type {Map<string, { listeners: ((news: any) => void)[], last?: { news: unknown } }>} */
const topics = new Map();

/** @param {string} topic */
function entry(topic) {
  let found = topics.get(topic);
  if (!found) {
    found = { listeners: [] };
    topics.set(topic, found);
  }
  return found;
}

/** @param {string} topic @param {(news: any) => void} listener */
export function listen(topic, listener) {
  const { listeners, last } = entry(topic);
  listeners.push(listener);
  if (last) listener(last.news);
}

/** @param {string} topic @param {unknown} news */
export function tell(topic, news) {
  const found = entry(topic);
  found.last = { news };
  for (const listener of found.listeners) listener(news);
}
