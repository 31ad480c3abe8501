/**
 * A week as minutes, and its windows {days, start, end} in minutes of a day. An end that is not after its start is on
 * the next day.
 */
export const DAY = 24 * 60;
const WEEK = 7 * DAY;

export class Week {
  constructor(windows = []) {
    this.minutes = new Uint8Array(WEEK);
    for (const { days, start, end } of windows) {
      const length = end > start ? end - start : end - start + DAY;
      for (const day of days) this.fill(day * DAY + start, length, true);
    }
  }

  fill(from, length, isOpen) {
    for (let minute = from; minute < from + length; minute += 1) this.minutes[minute % WEEK] = Number(isOpen);
  }

  /** Returns the share of these minutes that is open, from 0 to 1. */
  share(from, length) {
    let open = 0;
    for (let minute = from; minute < from + length; minute += 1) open += this.minutes[minute];
    return open / length;
  }

  /** Returns the fewest windows that cover the same minutes. A run longer than a day is cut at midnights. */
  windows() {
    const byHours = new Map();
    for (const [day, start, end] of this.pieces()) {
      const key = `${start}-${end}`;
      if (!byHours.has(key)) byHours.set(key, { days: [], start, end });
      byHours.get(key).days.push(day);
    }
    return [...byHours.values()];
  }

  pieces() {
    if (this.minutes.every(Boolean)) return [...Array(7).keys()].map((day) => [day, 0, 0]);
    const pieces = [];
    for (let minute = 0; minute < WEEK; minute += 1) {
      if (this.minutes[minute] && !this.minutes[(minute + WEEK - 1) % WEEK]) pieces.push(...this.cut(minute));
    }
    return pieces;
  }

  cut(from) {
    let length = 1;
    while (this.minutes[(from + length) % WEEK]) length += 1;
    const pieces = [];
    for (let start = from, left = length; left > 0; ) {
      const piece = length <= DAY ? length : Math.min(left, DAY - (start % DAY));
      const minute = start % DAY;
      pieces.push([Math.floor((start % WEEK) / DAY), minute, (minute + piece) % DAY]);
      start += piece;
      left -= piece;
    }
    return pieces;
  }
}

/** Returns "22:00" as minutes of a day, or NaN if it is not a time. */
export function minuteOf(text) {
  const [hours, minutes] = text.split(":").map(Number);
  return hours * 60 + minutes;
}

export function clock(minute) {
  return `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
}
