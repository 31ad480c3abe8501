/**
 * Copies a value to the clipboard: `<button type="button" data-copy="#id-of-source" hidden>Copy</button>`.
 *
 * The button is hidden in the HTML and shown here, because without JavaScript (or without the clipboard, which
 * needs HTTPS or localhost) it would not work. The value itself can always be selected by hand.
 */
const SHOWN_MS = 2500;

function showOutcome(button, text) {
  const label = button.querySelector("[data-copy-label]") ?? button;
  const original = label.dataset.original ?? label.textContent;
  label.dataset.original = original;
  label.textContent = text;
  clearTimeout(button.copyTimer);
  button.copyTimer = setTimeout(() => {
    label.textContent = original;
  }, SHOWN_MS);
}

async function copyFrom(button) {
  const source = document.querySelector(button.dataset.copy);
  if (!source) return;
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    showOutcome(button, "Copied");
  } catch {
    getSelection().selectAllChildren(source);
    showOutcome(button, "Selected: press Ctrl+C");
  }
}

if (navigator.clipboard) {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copyFrom(button));
  }
}
