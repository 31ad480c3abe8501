/**
 * The week as a grid to paint, over a list of rows that holds the same: `<div data-week="windows" hidden>`.
 *
 * WAI-ARIA's grid: one element in the tab order, arrows move, space switches, shift with an arrow paints on. A mouse drags;
 * a finger taps, so that the page still scrolls. The names of days and hours switch all of theirs.
 */
import { DAY, Week } from "./week.js";

const HOUR = 60;
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function minuteOf(text) {
  const [hours, minutes] = text.split(":").map(Number);
  return hours * HOUR + minutes;
}

function clock(minute) {
  return `${String(Math.floor(minute / HOUR)).padStart(2, "0")}:${String(minute % HOUR).padStart(2, "0")}`;
}

export class WeekGrid {
  constructor(root, rows, { addRow, changed }) {
    [this.title, this.allLabel, this.toWord, this.partWord] = root.dataset.words.split("|");
    Object.assign(this, { root, rows, addRow, changed });
    this.list = rows.querySelector("[data-rows-list]");
    this.build();
    this.readRows();
    this.listen();
    root.hidden = false;
  }

  // --- the table: focusable[row][column]; row 0 are the days, column 0 the hours ---

  build() {
    const locale = this.root.dataset.locale || [];
    const monday = (day) => new Date(Date.UTC(2024, 0, 1 + day));
    const written = (options, date) => new Intl.DateTimeFormat(locale, { ...options, timeZone: "UTC" }).format(date);
    this.dayNames = [...Array(7).keys()].map((day) => written({ weekday: "long" }, monday(day)));
    const shortNames = [...Array(7).keys()].map((day) => written({ weekday: "short" }, monday(day)));
    this.hourNames = [...Array(25).keys()].map((hour) => written({ hour: "numeric", minute: "2-digit" }, new Date(hour * 3.6e6)));
    const table = document.createElement("table");
    table.className = "week__grid";
    for (const [name, value] of Object.entries({ role: "grid", "aria-label": this.title, "aria-multiselectable": "true", "aria-describedby": "week-help" })) table.setAttribute(name, value);
    this.focusable = [this.header(table.createTHead().insertRow(), shortNames)];
    const body = table.createTBody();
    for (let hour = 0; hour < 24; hour += 1) this.focusable.push(this.hourRow(body.insertRow(), hour));
    this.root.append(table);
    this.current = this.focusable[1][1];
    this.current.tabIndex = 0;
  }

  header(row, names) {
    const all = this.name(row, this.allLabel, this.allLabel, "col");
    return [all, ...names.map((name, day) => this.name(row, name, this.dayNames[day], "col"))];
  }

  hourRow(row, hour) {
    const name = this.name(row, this.hourNames[hour], this.hourNames[hour], "row");
    const cells = this.dayNames.map((_, day) => {
      const cell = row.insertCell();
      Object.assign(cell, { className: "week__cell", tabIndex: -1 });
      cell.setAttribute("role", "gridcell");
      cell.dataset.from = day * DAY + hour * HOUR;
      return cell;
    });
    return [name, ...cells];
  }

  name(row, text, label, scope) {
    const header = Object.assign(document.createElement("th"), { scope });
    const button = Object.assign(document.createElement("button"), { type: "button", className: "week__name", textContent: text, tabIndex: -1 });
    button.setAttribute("aria-label", label);
    header.append(button);
    row.append(header);
    return button;
  }

  // --- rows and grid say the same ---

  readRows() {
    const windows = [...this.list.querySelectorAll("[data-row]")].map((row) => ({
      days: [...row.querySelectorAll("[type=checkbox]:checked")].map((box) => Number(box.value)),
      start: minuteOf(row.querySelector("[name$=-start]").value),
      end: minuteOf(row.querySelector("[name$=-end]").value),
    }));
    this.week = new Week(windows.filter((window) => !Number.isNaN(window.start + window.end)));
    this.paintAll();
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

  paintAll() {
    for (const cell of this.cells()) this.show(cell);
  }

  show(cell) {
    const from = Number(cell.dataset.from);
    const share = this.week.share(from, HOUR);
    const hour = (from % DAY) / HOUR;
    const part = share > 0 && share < 1;
    cell.classList.toggle("week__cell--part", part);
    cell.setAttribute("aria-selected", String(share === 1));
    const span = `${this.dayNames[Math.floor(from / DAY)]}, ${this.hourNames[hour]} ${this.toWord} ${this.hourNames[hour + 1]}`;
    cell.setAttribute("aria-label", part ? `${span}, ${this.partWord}` : span);
  }

  cells(row, column) {
    const rows = row ? [this.focusable[row]] : this.focusable.slice(1);
    return rows.flatMap((cells) => (column ? [cells[column]] : cells.slice(1)));
  }

  // --- painting ---

  set(cells, isOpen) {
    for (const cell of cells) {
      this.week.fill(Number(cell.dataset.from), HOUR, isOpen);
      this.show(cell);
    }
  }

  isOn(cell) {
    return cell.getAttribute("aria-selected") === "true";
  }

  /** A cell is switched; a name switches all of its cells, on unless all are on. */
  press(element) {
    const [row, column] = this.place(element);
    const cells = this.cells(row, column);
    this.brush = !cells.every((cell) => this.isOn(cell));
    this.set(cells, this.brush);
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
    const part = (event) => event.target.closest(".week__cell, .week__name");
    this.root.addEventListener("keydown", (event) => part(event) && this.onKey(event));
    this.root.addEventListener("click", (event) => {
      const element = part(event);
      if (!element || (element === this.dragged && event.detail)) return; // the drag has painted it
      this.focus(element);
      this.press(element);
      this.writeRows();
    });
    this.root.addEventListener("pointerdown", (event) => {
      this.dragged = null;
      const element = part(event);
      if (!element?.matches(".week__cell") || event.pointerType === "touch" || event.button) return;
      event.preventDefault();
      this.dragged = element;
      this.focus(element);
      this.press(element);
    });
    this.root.addEventListener("pointerover", (event) => {
      const element = part(event);
      if (this.dragged && event.buttons && element?.matches(".week__cell")) this.set([element], this.brush);
    });
    document.addEventListener("pointerup", () => this.dragged && this.writeRows());
    document.addEventListener("pointerup", () => setTimeout(() => { this.dragged = null; }));
    for (const kind of ["input", "policy:rows"]) this.rows.addEventListener(kind, () => this.isWriting || this.readRows());
  }

  onKey(event) {
    const step = STEPS[event.key];
    const [row, column] = this.place(event.target);
    if (step) {
      const next = this.focusable[row + step[0]]?.[column + step[1]];
      event.preventDefault();
      if (!next) return;
      this.focus(next);
      if (event.shiftKey && next.matches(".week__cell")) {
        this.set([next], this.brush ?? true);
        this.writeRows();
      }
    } else if (event.key === "Home" || event.key === "End") {
      event.preventDefault();
      this.focus(this.focusable[row].at(event.key === "Home" ? 0 : -1));
    } else if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      this.press(event.target);
      this.writeRows();
    }
  }
}
