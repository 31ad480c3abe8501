/**
 * Refreshes a region of a page: `<section id="x" data-refresh-url="?fragment=x" data-refresh-seconds="3">`.
 *
 * Fetches the URL every n seconds while the page is visible and puts the new HTML in place of the old. The answer may
 * be the fragment alone or a whole page: if it holds an element with the region's id, that element's content is used.
 * An element with `data-refresh-final` in the answer ends the refreshing. Screen readers read the text of
 * `data-announce`, but only when its `data-announce-key` changes, so that they do not report every single unit.
 */
const DEFAULT_SECONDS = 5;
const LONGEST_SECONDS = 60;

async function fetchContent(region) {
  const response = await fetch(region.dataset.refreshUrl, {
    credentials: "same-origin",
    headers: { Accept: "text/html", "X-Requested-With": "fetch" },
  });
  if (!response.ok || response.redirected) throw new Error(`refresh refused: ${response.status}`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return page.getElementById(region.id) ?? page.body;
}

function replaceContent(region, content) {
  const focusedId = region.contains(document.activeElement) ? document.activeElement.id : "";
  region.replaceChildren(...content.childNodes);
  if (focusedId) document.getElementById(focusedId)?.focus({ preventScroll: true });
  region.dispatchEvent(new CustomEvent("driveway:refreshed", { bubbles: true }));
}

function announce(region, spoken) {
  const source = region.querySelector("[data-announce]");
  const target = document.querySelector(`[data-announce-for="${region.id}"]`);
  if (!source || !target || source.dataset.announceKey === spoken.key) return;
  const isFirst = spoken.key === undefined;
  spoken.key = source.dataset.announceKey;
  if (!isFirst) target.textContent = source.dataset.announce;
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function whenVisible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", function listen() {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", listen);
      resolve();
    });
  });
}

async function keepFresh(region) {
  const seconds = Number(region.dataset.refreshSeconds) || DEFAULT_SECONDS;
  const spoken = {};
  let wait = seconds;
  announce(region, spoken);
  while (region.isConnected && !region.querySelector("[data-refresh-final]")) {
    await pause(wait * 1000);
    await whenVisible();
    try {
      replaceContent(region, await fetchContent(region));
      announce(region, spoken);
      wait = seconds;
    } catch (error) {
      wait = Math.min(wait * 2, LONGEST_SECONDS);
      console.warn(error.message);
    }
  }
}

for (const region of document.querySelectorAll("[data-refresh-url]")) keepFresh(region);
