/**
 * The elements of a week: a table that is a WAI-ARIA grid of 24 hours by 7 days; the names of days and hours are
 * buttons.
 */
import { DAY } from "./week.js";

export const HOUR = 60;
const DAYS = [...Array(7).keys()];
const MONDAY = Date.UTC(2024, 0, 1);

/** Names of days and hours in the owner's locale. */
export class Names {
  constructor(locale) {
    const format = (options, time) =>
      new Intl.DateTimeFormat(locale || [], { ...options, timeZone: "UTC" }).format(time);
    this.days = DAYS.map((day) => format({ weekday: "long" }, MONDAY + day * 864e5));
    this.shortDays = DAYS.map((day) => format({ weekday: "short" }, MONDAY + day * 864e5));
    const time = { hour: "numeric", minute: "2-digit" };
    this.hours = [...Array(25).keys()].map((hour) => format(time, MONDAY + hour * 36e5));
  }
}

/** Returns the table and its focusable elements as [row][column]: row 0 holds the days, column 0 the hours. */
export function buildTable(names, { title, all, help }) {
  const table = Object.assign(document.createElement("table"), { className: "week__grid" });
  const attributes = { role: "grid", "aria-label": title, "aria-multiselectable": "true", "aria-describedby": help };
  for (const [name, value] of Object.entries(attributes)) table.setAttribute(name, value);
  const head = table.createTHead().insertRow();
  const focusable = [[addName(head, all, all, "col")]];
  for (const day of DAYS) focusable[0].push(addName(head, names.shortDays[day], names.days[day], "col"));
  const body = table.createTBody();
  for (let hour = 0; hour < 24; hour += 1) {
    const row = body.insertRow();
    const name = addName(row, names.hours[hour], names.hours[hour], "row");
    focusable.push([name, ...DAYS.map((day) => addCell(row, day * DAY + hour * HOUR))]);
  }
  return [table, focusable];
}

function addCell(row, from) {
  const cell = Object.assign(row.insertCell(), { className: "week__cell", tabIndex: -1 });
  cell.setAttribute("role", "gridcell");
  cell.dataset.from = from;
  return cell;
}

function addName(row, text, label, scope) {
  const header = Object.assign(document.createElement("th"), { scope });
  const properties = { type: "button", className: "week__name", textContent: text, tabIndex: -1 };
  const button = Object.assign(document.createElement("button"), properties);
  button.setAttribute("aria-label", label);
  header.append(button);
  row.append(header);
  return button;
}
