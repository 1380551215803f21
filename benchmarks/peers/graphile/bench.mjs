// Measures graphile-worker: `node bench.mjs worker` runs jobs, `node bench.mjs driver` submits them and watches them
// end.
//
// The driver speaks what benchmarks/peers/apps/driver.py describes. A finished job's row is deleted, so a job has
// ended when it is not there any more; one that failed stays, and is never seen as ended.
//
// Settings, from graphile-worker's documentation, "Performance" (the configuration of its own figures, "With
// batching"):
//
// - concurrentJobs 24, maxPoolSize 25;
// - localQueue of 500 jobs, completeJobBatchDelay 0, failJobBatchDelay 0;
// - one process: "when you hit this limit [of Postgres], performance will start to go down as you add more workers",
//   and of 2 cores the database takes the other;
// - addJobs, the call for many.

import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import { makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";

const PAYLOAD_BYTES = 300;
const BATCH = 5000;
const CHUNK = 1000;
const POLL_MS = 5;
const STALL_MS = 60_000;
const THERE = {
  name: "there",
  text: "SELECT id::text FROM graphile_worker._private_jobs WHERE id = ANY($1::bigint[])",
};

const connectionString = process.env.PEERS_POSTGRES;
const preset = {
  worker: {
    connectionString,
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
};

/** Milliseconds since 1970, finer than Date.now(). */
const nowMs = () => performance.timeOrigin + performance.now();
const nowNs = () => Math.round(nowMs() * 1e6);

function payload(number) {
  const filled = PAYLOAD_BYTES - '{"number":,"text":""}'.length - String(number).length;
  return { number, text: "x".repeat(filled) };
}

async function work() {
  const effects = fs.openSync(path.join(process.env.PEERS_EFFECTS, `${process.pid}.effects`), "a");
  const record = Buffer.alloc(16);
  const noop = async ({ number }) => {
    record.writeBigInt64LE(BigInt(number), 0);
    record.writeBigInt64LE(BigInt(nowNs()), 8);
    fs.writeSync(effects, record);
  };
  const runner = await run({ preset, taskList: { noop } });
  await runner.promise;
}

async function drive() {
  const utils = await makeWorkerUtils({ preset });
  await utils.migrate();
  const pool = new pg.Pool({ connectionString, max: 1 });
  const version = (name) => createRequire(import.meta.url)(`${name}/package.json`).version;
  say({ versions: { node: process.version, "graphile-worker": version("graphile-worker"), pg: version("pg") } });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    say(await (asked.do === "backlog" ? backlog : rate)(utils, pool, asked));
  }
  await pool.end();
  await utils.release();
}

function say(answer) {
  process.stdout.write(JSON.stringify(answer) + "\n");
}

async function there(pool, ids) {
  const { rows } = await pool.query({ ...THERE, values: [ids] });
  return new Set(rows.map((row) => row.id));
}

async function backlog(utils, pool, { first, jobs }) {
  const began = nowMs();
  const ids = [];
  for (let from = 0; from < jobs; from += BATCH) {
    const batch = [];
    for (let number = from; number < Math.min(from + BATCH, jobs); number++) {
      batch.push({ identifier: "noop", payload: payload(first + number) });
    }
    for (const job of await utils.addJobs(batch)) ids.push(job.id);
  }
  const submitted_s = (nowMs() - began) / 1000;
  await untilEnded(pool, ids);
  return { submitted_s, elapsed_s: (nowMs() - began) / 1000 };
}

async function untilEnded(pool, ids) {
  let pending = ids;
  let moved = nowMs();
  while (pending.length > 0) {
    const asked = pending.slice(0, CHUNK);
    const left = await there(pool, asked);
    pending = asked.filter((id) => left.has(id)).concat(pending.slice(CHUNK));
    if (left.size < asked.length) moved = nowMs();
    else if (nowMs() - moved > STALL_MS) throw new Error(`${pending.length} jobs have not ended, and nothing moves`);
    if (left.size > 0) await sleep(20 + (500 * pending.length) / ids.length);
  }
}

async function rate(utils, pool, { first, jobs, per_s }) {
  const pending = new Map();
  const shown_ns = new Array(jobs).fill(0);
  const began = nowMs();
  let sent = false;
  const submitting = (async () => {
    const all = [];
    for (let place = 0; place < jobs; place++) {
      await sleep(Math.max(0, began + (place * 1000) / per_s - nowMs()));
      all.push(utils.addJob("noop", payload(first + place)).then((job) => pending.set(job.id, place)));
    }
    await Promise.all(all);
    sent = true;
  })();
  await watch(pool, pending, shown_ns, () => sent);
  await submitting;
  return { began_ns: Math.round(began * 1e6), shown_ns };
}

async function watch(pool, pending, shown_ns, sent) {
  let moved = nowMs();
  while (pending.size > 0 || !sent()) {
    const asked = [...pending.keys()];
    const left = asked.length > 0 ? await there(pool, asked) : new Set();
    for (const id of asked) {
      if (left.has(id)) continue;
      shown_ns[pending.get(id)] = nowNs();
      pending.delete(id);
    }
    if (asked.length === 0 || left.size < asked.length) moved = nowMs();
    else if (nowMs() - moved > STALL_MS) throw new Error(`${pending.size} jobs have not ended, and nothing moves`);
    await sleep(POLL_MS);
  }
}

await (process.argv[2] === "worker" ? work() : drive());
