// How far a job is, in words and as a bar.

import { html } from "./dom.js";
import { duration } from "./words.js";

export const under = (job) => job.state === "waiting" || job.state === "running";
const many = (n) => n.toLocaleString("en");

export function inWords(job) {
  const done = `${many(job.done)} of ${many(job.n)} rows`;
  const failed = job.failed ? `, ${many(job.failed)} without an answer` : "";
  if (job.state === "waiting") return `Waiting; ${many(job.n)} rows`;
  if (job.state !== "running") return `${job.state[0].toUpperCase()}${job.state.slice(1)}: ${done}${failed}`;
  const rate = job.rows_per_s ? `, ${Number(job.rows_per_s.toPrecision(2))} rows/s` : "";
  const left = typeof job.seconds_left === "number" ? `, ${duration(job.seconds_left)} left` : "";
  return `${done}${failed}${rate}${left}`;
}

export function bar(job) {
  return html("progress", { max: Math.max(1, job.n), value: job.done, "aria-label": "Rows done" });
}
