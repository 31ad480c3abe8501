/**
 * Asks for confirmation before a form is sent: `<form data-confirm="Revoke this key?" data-confirm-text="..."
 * data-confirm-action="Revoke key">`.
 *
 * Uses the <template id="confirm-dialog"> of the base page. Without JavaScript the form is sent without asking, so the
 * server must not rely on the question. Withdrawing consent never asks: it must be as easy as giving it.
 */
const template = document.getElementById("confirm-dialog");

function buildDialog(form) {
  const dialog = template.content.firstElementChild.cloneNode(true);
  dialog.querySelector("[data-dialog-title]").textContent = form.dataset.confirm;
  dialog.querySelector("[data-dialog-text]").textContent = form.dataset.confirmText ?? "";
  dialog.querySelector("[data-dialog-action]").textContent = form.dataset.confirmAction ?? "Continue";
  return dialog;
}

function ask(form, submitter) {
  const dialog = buildDialog(form);
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    const isConfirmed = dialog.returnValue === "confirm";
    dialog.remove();
    if (!isConfirmed) {
      submitter?.focus();
      return;
    }
    form.dataset.confirmed = "true";
    form.requestSubmit(submitter);
  });
  dialog.showModal();
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!template || !form.matches("[data-confirm]") || form.dataset.confirmed) return;
  event.preventDefault();
  ask(form, event.submitter);
});
