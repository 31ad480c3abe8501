/**
 * The week as a grid to paint, kept equal to a list of rows: `<div data-week="windows" hidden>`.
 *
 * One element is in the tab order; arrows move, space switches, shift with an arrow continues painting. A mouse drags;
 * a finger only taps, so that the page still scrolls. The name of a day or an hour switches its whole column or row.
 */
import { HOUR, Names, buildTable } from "./week-table.js";
import { DAY, Week, clock, minuteOf } from "./week.js";

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

export class WeekGrid {
  constructor(root, rows, { addRow, changed }) {
    const [title, all, toWord, partWord] = root.dataset.words.split("|");
    Object.assign(this, { root, rows, addRow, changed, toWord, partWord });
    this.list = rows.querySelector("[data-rows-list]");
    this.names = new Names(root.dataset.locale);
    const [table, focusable] = buildTable(this.names, { title, all, help: "week-help" });
    this.focusable = focusable;
    this.current = focusable[1][1];
    this.current.tabIndex = 0;
    root.append(table);
    this.readRows();
    this.listen();
    root.hidden = false;
  }

  // --- keep rows and grid equal ---

  readRows() {
    const windows = [...this.list.querySelectorAll("[data-row]")].map((row) => ({
      days: [...row.querySelectorAll("[type=checkbox]:checked")].map((box) => Number(box.value)),
      start: minuteOf(row.querySelector("[name$=-start]").value),
      end: minuteOf(row.querySelector("[name$=-end]").value),
    }));
    this.week = new Week(windows.filter((window) => !Number.isNaN(window.start + window.end)));
    for (const cell of this.cells()) this.show(cell);
  }

  writeRows() {
    this.list.replaceChildren();
    const windows = this.week.windows();
    for (const { days, start, end } of windows) {
      const row = this.addRow();
      for (const box of row.querySelectorAll("[type=checkbox]")) box.checked = days.includes(Number(box.value));
      row.querySelector("[name$=-start]").value = clock(start);
      row.querySelector("[name$=-end]").value = clock(end);
    }
    if (!windows.length) this.addRow();
    this.isWriting = true;
    this.changed();
    this.isWriting = false;
  }

  show(cell) {
    const from = Number(cell.dataset.from);
    const hour = (from % DAY) / HOUR;
    const share = this.week.share(from, HOUR);
    const isPart = share > 0 && share < 1;
    const { days, hours } = this.names;
    const span = `${days[Math.floor(from / DAY)]}, ${hours[hour]} ${this.toWord} ${hours[hour + 1]}`;
    cell.classList.toggle("week__cell--part", isPart);
    cell.setAttribute("aria-selected", String(share === 1));
    cell.setAttribute("aria-label", isPart ? `${span}, ${this.partWord}` : span);
  }

  /** Returns the cells of a row, of a column, the one cell of both, or all cells if both are 0. */
  cells(row = 0, column = 0) {
    const rows = row ? [this.focusable[row]] : this.focusable.slice(1);
    return rows.flatMap((cells) => (column ? [cells[column]] : cells.slice(1)));
  }

  // --- painting ---

  paint(cells, isOpen) {
    for (const cell of cells) {
      this.week.fill(Number(cell.dataset.from), HOUR, isOpen);
      this.show(cell);
    }
  }

  /** Switches a cell, or all cells of a name: on, unless all of them are on. */
  press(element) {
    const cells = this.cells(...this.place(element));
    this.brush = !cells.every((cell) => cell.getAttribute("aria-selected") === "true");
    this.paint(cells, this.brush);
  }

  place(element) {
    const row = this.focusable.findIndex((elements) => elements.includes(element));
    return [row, this.focusable[row].indexOf(element)];
  }

  focus(element) {
    this.current.tabIndex = -1;
    this.current = element;
    element.tabIndex = 0;
    element.focus();
  }

  listen() {
    const on = (target, kind, handle) =>
      target.addEventListener(kind, (event) => handle(event, event.target.closest?.(".week__cell, .week__name")));
    on(this.root, "keydown", (event, element) => element && this.onKey(event, element));
    // onKey has already pressed the element; without this the browser would click the button again.
    on(this.root, "keyup", (event) => event.key === " " && event.preventDefault());
    on(this.root, "click", (event, element) => {
      if (!element || element === this.painted) return; // already painted on pointerdown
      this.focus(element);
      this.press(element);
      this.writeRows();
    });
    on(this.root, "pointerdown", (event, element) => {
      if (!element?.matches(".week__cell") || event.pointerType === "touch" || event.button) return;
      event.preventDefault();
      this.painted = element;
      this.focus(element);
      this.press(element);
    });
    on(this.root, "pointerover", (event, element) => {
      if (this.painted && event.buttons && element?.matches(".week__cell")) this.paint([element], this.brush);
    });
    on(document, "pointerup", () => {
      if (!this.painted) return;
      this.writeRows();
      setTimeout(() => (this.painted = null)); // after the click that follows
    });
    for (const kind of ["input", "policy:rows"]) on(this.rows, kind, () => this.isWriting || this.readRows());
  }

  onKey(event, element) {
    const [row, column] = this.place(element);
    const step = STEPS[event.key];
    const edge = { Home: 0, End: -1 }[event.key];
    const next = step ? this.focusable[row + step[0]]?.[column + step[1]] : this.focusable[row].at(edge);
    const isPress = event.key === " " || event.key === "Enter";
    if (!step && edge === undefined && !isPress) return;
    event.preventDefault();
    if (isPress) this.press(element);
    else if (next) this.focus(next);
    const isPainting = step && event.shiftKey && next?.matches(".week__cell");
    if (isPainting) this.paint([next], this.brush ?? true);
    if (isPress || isPainting) this.writeRows();
  }
}
