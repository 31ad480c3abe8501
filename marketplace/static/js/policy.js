/**
 * The editor of a car's rules: `<form data-policy-form>`. Without JavaScript it is a plain form. With it, rows are
 * added and removed in place, the week is a grid to paint, and the summary is refreshed while the owner types.
 *
 * Rows: `[data-rows]` holds `[data-rows-list]`, a `<template data-row-template>` with NUMBER in its names,
 * `[data-row-add]` and, in each `[data-row]`, `[data-row-remove]`. After a row was added or removed, `[data-rows]`
 * dispatches "policy:rows".
 */
import { WeekGrid } from "./week-grid.js";

const PREVIEW_AFTER_MS = 500;

function nextNumber(list) {
  const numbers = [...list.querySelectorAll("[name]")].map((input) => Number(/-(\d+)-/.exec(input.name)?.[1] ?? -1));
  return Math.max(-1, ...numbers) + 1;
}

export function addRow(rows) {
  const list = rows.querySelector("[data-rows-list]");
  const template = rows.querySelector("[data-row-template]");
  const holder = document.createElement("template");
  holder.innerHTML = template.innerHTML.replaceAll("NUMBER", nextNumber(list));
  list.append(holder.content);
  return list.lastElementChild;
}

function changed(rows) {
  rows.dispatchEvent(new CustomEvent("policy:rows", { bubbles: true }));
}

function removeRow(rows, row) {
  const neighbour = row.nextElementSibling ?? row.previousElementSibling;
  row.remove();
  (neighbour?.querySelector("[data-row-remove]") ?? rows.querySelector("[data-row-add]")).focus();
  changed(rows);
}

function onRowButton(event) {
  const rows = event.target.closest("[data-rows]");
  if (!rows) return;
  if (event.target.closest("[data-row-add]")) {
    event.preventDefault();
    addRow(rows).querySelector("input").focus();
    changed(rows);
  } else if (event.target.closest("[data-row-remove]")) {
    event.preventDefault();
    removeRow(rows, event.target.closest("[data-row]"));
  }
}

/**
 * Shows the rules as typed in words. The server writes them: it knows the owner's language and has the only copy of
 * the texts.
 */
class Preview {
  constructor(form) {
    this.form = form;
    this.url = form.getAttribute("action"); // form.action would return the buttons named "action"
    this.target = document.querySelector("[data-policy-summary]");
    this.status = document.querySelector("[data-policy-status]");
    for (const kind of ["input", "change", "policy:rows"]) form.addEventListener(kind, () => this.soon());
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.show(), PREVIEW_AFTER_MS);
  }

  async show() {
    const body = new FormData(this.form);
    body.set("action", "preview");
    body.set("fragment", "summary");
    this.asked?.abort();
    this.asked = new AbortController();
    try {
      const answer = await fetch(this.url, { method: "POST", body, signal: this.asked.signal, redirect: "error" });
      if (!answer.ok) return;
      this.target.innerHTML = await answer.text(); // our own template, escaped on the server
      this.status.textContent = this.target.textContent.replaceAll(/\s+/g, " ").trim();
    } catch (error) {
      if (error.name !== "AbortError") console.warn(error.message); // the Preview button still works
    }
  }
}

for (const form of document.querySelectorAll("[data-policy-form]")) {
  form.addEventListener("click", onRowButton);
  new Preview(form);
  for (const week of form.querySelectorAll("[data-week]")) {
    const rows = form.querySelector(`[data-rows="${week.dataset.week}"]`);
    new WeekGrid(week, rows, { addRow: () => addRow(rows), changed: () => changed(rows) });
  }
}
document.getElementById("errors")?.focus();
