// The connection to the server. Where it breaks, as when the server is started again, Gradio would load the whole page
// anew, and all that was chosen would be gone. Here the page says that it is reconnecting, waits, and then asks again
// for what it had not been answered yet.

import { button, h } from "./dom.js";

const PAUSE = 1000; // ms between two looks whether the server is back
const SAID = 2500; // ms for which it is said that it is
const TRIES = 3; // of a stream in which nothing comes though the server answers
const AWAY = [502, 504]; // what a proxy answers for a server that is not there

/** @typedef {{ msg: string, event_id?: string, message?: string, session_not_found?: boolean }} Message */
/** @typedef {{ input: RequestInfo | URL, init?: RequestInit }} Call */

const request = window.fetch.bind(window);
/** @type {Map<string, Call>} what was asked for and is not answered, by the name that Gradio's script has for it */
const calls = new Map();
/** @type {Map<string, string>} the server's name of a call that was sent again -> the first one */
const names = new Map();
/** @type {Promise<void> | null} while the server is away */
let returning = null;
let leaving = false;

const bar = h("div", { class: "vs-connection", role: "status", hidden: true });

/** @param {string} text @param {...Node} more */
function say(text, ...more) {
  bar.replaceChildren(text, ...more);
  bar.hidden = !text;
  if (!bar.isConnected) document.body.append(bar);
}

/** @param {number} ms */
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Resolves when the server answers; never if it has another version of this page by then. */
function back() {
  returning ??= (async () => {
    say("The server isn't answering. Reconnecting…");
    for (;;) {
      await pause(PAUSE);
      const { status } = await request(import.meta.url, { method: "HEAD", cache: "no-store" }).catch(() => ({
        status: 0,
      }));
      if (status === 200) break;
      if (status !== 404) continue;
      say(
        "The app was updated meanwhile. ",
        button("Load the page anew", () => location.reload()),
      );
      await new Promise(() => {});
    }
    returning = null;
    say("Connected again.");
    setTimeout(() => {
      if (!returning) say("");
    }, SAID);
  })();
  return returning;
}

/** Whether the server went away, and not the page. @param {unknown} error @param {RequestInit} [init] */
const isGone = (error, init) => error instanceof TypeError && !init?.signal?.aborted && !leaving;

/** A call, sent until the server takes it. @param {Call} call @returns {Promise<Response>} */
async function send({ input, init }) {
  for (;;) {
    try {
      const answer = await request(input, init);
      if (!AWAY.includes(answer.status)) return answer;
    } catch (error) {
      if (!isGone(error, init)) throw error;
    }
    await back();
  }
}

/** @param {Call} call @returns {Promise<Response>} */
async function join(call) {
  const answer = await send(call);
  if (answer.ok) calls.set((await answer.clone().json()).event_id, call);
  return answer;
}

/** Asks again for all that is not answered. @returns {Promise<Message[]>} of those that are refused now */
async function joinAgain() {
  /** @type {Message[]} */
  const refused = [];
  for (const [name, call] of calls) {
    const answer = await send(call);
    const said = await answer.json().catch(() => ({}));
    if (answer.ok) names.set(said.event_id, name);
    else {
      calls.delete(name);
      const output = { error: said.detail ?? "The server has forgotten what it was asked for." };
      refused.push(/** @type {any} */ ({ msg: "process_completed", event_id: name, success: false, output }));
    }
  }
  return refused;
}

/** What the page is told of a message; null for what tells that the server stops. @param {Message} message */
function passed(message) {
  if (message.msg === "unexpected_error" && calls.size) return null;
  const name = names.get(message.event_id ?? "") ?? message.event_id;
  if (message.msg === "process_completed" && name) {
    calls.delete(name);
    names.delete(message.event_id ?? "");
  }
  return name ? { ...message, event_id: name } : message;
}

/** The messages of the stream that answers the calls, until it ends. @param {Response} response */
async function* messages(response) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (text + decoder.decode(value, { stream: true })).split("\n\n");
    text = /** @type {string} */ (parts.pop());
    for (const part of parts)
      if (part.startsWith("data:")) yield/** @type {Message} */ (JSON.parse(part.slice("data:".length)));
  }
}

/** The answers to all calls, as one stream, whatever happens to the connection. @param {Call} call */
function answers({ input, init }) {
  const encoder = new TextEncoder();
  let wanted = true;
  /** @param {ReadableStreamDefaultController} controller */
  const start = async (controller) => {
    /** @param {Message} message */
    const pass = (message) => controller.enqueue(encoder.encode(`data: ${JSON.stringify(message)}\n\n`));
    for (let tries = 0; tries < TRIES; tries++) {
      try {
        const response = await request(input, init);
        if (response.ok)
          for await (const message of messages(response)) {
            const known = passed(message);
            if (!known) break;
            tries = 0;
            pass(known);
            if (known.msg === "close_stream") return controller.close();
          }
      } catch (error) {
        const signal = input instanceof Request ? input.signal : init?.signal;
        if (leaving || signal?.aborted) return; // nobody waits any more, and an error would only be logged
        if (wanted && !isGone(error, init)) return controller.error(error);
      }
      if (!wanted) return;
      if (!calls.size) {
        pass({ msg: "close_stream" });
        return controller.close();
      }
      await back();
      (await joinAgain()).forEach(pass);
    }
    controller.error(new TypeError("The stream of answers ends again and again."));
  };
  const cancel = () => {
    wanted = false;
  };
  return new Response(new ReadableStream({ start, cancel }), { headers: { "Content-Type": "text/event-stream" } });
}

/** From now on the page's requests come through here. */
export function keepConnection() {
  window.addEventListener("pagehide", () => {
    leaving = true;
  });
  window.addEventListener("pageshow", ({ persisted }) => {
    if (persisted) location.reload(); // its stream has ended
  });
  window.fetch = async (input, init) => {
    const { pathname } = new URL(input instanceof Request ? input.url : input, document.baseURI);
    if (pathname.endsWith("/gradio_api/queue/join")) return join({ input, init });
    if (pathname.endsWith("/gradio_api/queue/data")) return answers({ input, init });
    try {
      return await request(input, init);
    } catch (error) {
      if (pathname.includes("/gradio_api/") && isGone(error, init)) back();
      throw error;
    }
  };
}
