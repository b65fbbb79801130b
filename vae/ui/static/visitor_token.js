// What this browser is known by as the one that started a run.

const STORED = "vae-studio-token";
/** @type {string | null} */
let token = null;

/** @returns {string} the same one each time; where nothing can be stored, until the page is closed */
export function visitorToken() {
  try {
    token ||= localStorage.getItem(STORED);
  } catch {
    // no storage
  }
  if (!token) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    token = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    try {
      localStorage.setItem(STORED, token);
    } catch {
      // no storage
    }
  }
  return token;
}
