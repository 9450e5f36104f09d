"use strict";
// Numbers and times for people; ticks of axes. All times are shown as they stand in the data (UTC here).

const COLOURS = 8; // --c0 to --c7 of the style

function number(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e15 || size < 1e-4) return value.toExponential(2);
  for (const [scale, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"]]) {
    if (size >= scale) return Number((value / scale).toPrecision(digits)) + letter;
  }
  const rounded = size >= 1000 ? Math.round(value) : Number(value.toPrecision(digits));
  return rounded.toLocaleString("en-GB", { maximumFractionDigits: 7 });
}

// A score with three digits that count, zeros too, so that a column of them can be read down.
function figure(value) {
  if (value === null || value === undefined) return "";
  return Math.abs(value) >= 0.001 && Math.abs(value) < 1000 ? value.toPrecision(3) : number(value, 3);
}

function percent(share) {
  return Number.isFinite(share) ? (100 * share).toFixed(1) + "%" : "–";
}

function linearTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((each) => each * power >= rough * 0.999) * power;
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
    ticks.push({ at: i * step, text: number(Math.abs(i * step) < step * 1e-9 ? 0 : i * step) });
  }
  return ticks.slice(0, 50);
}

function logTicks(low, high, count) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const each of [1, 2, 5]) {
      const at = each * 10 ** power;
      if (at >= low * 0.999 && at <= high * 1.001) ticks.push({ at, text: number(at) });
    }
  }
  const tens = ticks.filter((tick) => Math.abs(Math.log10(tick.at) % 1) < 1e-9);
  return ticks.length > count * 2 && tens.length > 1 ? tens : ticks;
}

function stepTicks(low, high, count) {
  const every = Math.max(1, Math.ceil((high - low) / Math.max(1, count)));
  const nice = [1, 2, 3, 4, 5, 6, 7, 10, 12, 14, 20, 24, 25, 28, 48, 50, 100, 168].find((n) => n >= every)
    || Math.ceil(every / 100) * 100;
  const ticks = [];
  for (let at = Math.ceil(low / nice) * nice; at <= high; at += nice) ticks.push({ at, text: String(at) });
  return ticks;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (n) => String(n).padStart(2, "0");

function timeText(seconds, exact) {
  if (exact === "step") return String(seconds);
  const date = new Date(seconds * 1000);
  const year = String(date.getUTCFullYear());
  if (exact === "year") return year;
  if (exact === "month") return `${MONTHS[date.getUTCMonth()]} ${year}`;
  const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${year}`;
  if (exact === "day") return day;
  const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  if (exact === "minute") return `${day}, ${clock}`;
  return exact === "second" ? `${day}, ${clock}:${two(date.getUTCSeconds())}` : date.toISOString().slice(0, 23).replace("T", " ");
}

// A time as files have it: 2024-01-31T23:00, 2024-01-31, 2024-01, 2024.
function isoText(seconds, exact) {
  if (exact === "step") return String(seconds);
  const length = { year: 4, month: 10, day: 10, minute: 16, second: 19 }[exact] || 23;
  const text = new Date(Math.round(seconds * 1000)).toISOString().slice(0, length);
  return exact === "year" || exact === "day" || exact === "month" ? text : text.replace("T", " ");
}

const MINUTE = 60, HOUR = 3600, DAY = 86400;
const FIXED = [1, 5, 15, 30, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR,
  DAY, 2 * DAY, 7 * DAY, 14 * DAY];
const CALENDAR = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400, 6000]; // months

function timeTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const step = FIXED.find((each) => each >= rough);
  return step ? fixedTicks(low, high, step) : monthTicks(low, high, rough / (30.44 * DAY));
}

function fixedTicks(low, high, step) {
  const ticks = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) {
    const date = new Date(at * 1000);
    const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
    const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
    ticks.push({ at, text: step < MINUTE ? `${clock}:${two(date.getUTCSeconds())}` : at % DAY ? clock : day });
  }
  return ticks;
}

function monthTicks(low, high, rough) {
  const step = CALENDAR.find((each) => each >= rough) || 12000;
  const start = new Date(low * 1000);
  const first = Math.floor((start.getUTCFullYear() * 12 + start.getUTCMonth()) / step) * step;
  const ticks = [];
  for (let month = first; ticks.length < 60; month += step) {
    const date = new Date(0);
    date.setUTCFullYear(Math.floor(month / 12), month % 12, 1);
    const at = date.getTime() / 1000;
    if (at > high) break;
    const year = String(Math.floor(month / 12));
    if (at >= low) ticks.push({ at, text: step >= 12 || month % 12 === 0 ? year : MONTHS[month % 12] });
  }
  return ticks;
}
