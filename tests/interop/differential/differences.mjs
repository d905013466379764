// differences.mjs - the one place that says where drover may differ from stock BullMQ. Each row has the name under which
// docs/compatibility.md tells of it, why it is so, and how a dump is changed so that only this difference disappears.
// A dump is {key: {type, ttl, value}}; hashes are objects, sorted sets [[member, score]], streams [[name, {field: text}]].

const lists = ['wait', 'paused'];

/** Replaces events: change(name, fields) gives another one, or null to leave it. */
function eachEvent(dump, change) {
  for (const [key, row] of Object.entries(dump)) {
    if (key.endsWith(':events')) row.value = row.value.map((entry) => change(...entry) ?? entry);
  }
}

function waitingKey(key) {
  const [, q, rest] = key.match(/^([^:]+):(.*)$/) ?? [];
  return lists.includes(rest) ? [q, rest] : null;
}

const queuesOf = (dump) => new Set(Object.keys(dump).map((key) => key.slice(0, key.indexOf(':'))));

/** Whether somebody could fetch now. */
function hasWork(dump, q) {
  const meta = dump[`${q}:meta`]?.value ?? {};
  const maxed = meta.concurrency && (dump[`${q}:active`]?.value.length ?? 0) >= Number(meta.concurrency);
  return !meta.paused && !maxed && ['wait', '(waiting)', 'prioritized'].some((place) => dump[`${q}:${place}`]);
}

export const differences = [
  {
    name: 'jobs of a paused queue',
    majors: [6],
    why: 'stock 6 leaves them in `wait`, where a resume by stock 5 destroys them; drover keeps them in `paused`, where both find them',
    apply(dump) {
      for (const key of Object.keys(dump)) {
        const found = waitingKey(key);
        if (!found) continue;
        const joined = `${found[0]}:(waiting)`;
        const before = dump[joined]?.value ?? [];
        // `wait` holds what is newer, when both hold jobs.
        const value = found[1] === 'wait' ? [...dump[key].value, ...before] : [...before, ...dump[key].value];
        dump[joined] = { type: 'list', ttl: null, value };
        delete dump[key];
      }
      eachEvent(dump, (name, fields) => (name === 'removed' ? [name, fields.map(([field, text]) => [field, field === 'prev' && text === 'paused' ? 'wait' : text])] : null));
    },
  },
  {
    name: 'nrjid',
    majors: [6],
    why: 'stock 6 no longer notes in an iteration which one follows it; 5 does, and people look for it',
    apply(dump) {
      for (const row of Object.values(dump)) {
        if (row.type === 'hash') delete row.value.nrjid;
      }
    },
  },
  {
    name: 'retry in 5',
    majors: [5],
    why: 'stock 5 ignores the priority, drover follows 6',
    without: (op) => op.op === 'retry',
    apply() {},
  },
  {
    name: 'retrying many',
    majors: [5, 6],
    why: 'stock puts them all into `wait`, also those with a priority',
    without: (op) => op.op === 'retryJobs',
    apply() {},
  },
  {
    name: 'limits in 5',
    majors: [5],
    why: 'stock 5 also counts jobs that only carry their failure with them; the workers have a limiter beside 6 only',
    without: (op) => op.op === 'rate',
    apply() {},
  },
  {
    name: 'scheduler of a paused queue',
    majors: [6],
    why: 'stock 6 looks for the pending job in `paused`, where it does not put it; the operation `scheduler` of both sides leaves a paused queue alone',
    apply() {},
  },
  {
    name: 'promoting many',
    majors: [5, 6],
    why: 'stock puts them all into `wait`, also those with a priority, and leaves the delay in the hash',
    without: (op) => op.op === 'promoteJobs',
    apply() {},
  },
  {
    name: 'drain and clean beside schedulers and flows',
    majors: [5, 6],
    why: 'stock removes by place in the list and so loses pending iterations of schedulers, and parents that are released follow each other in another order; and 5 leaves the deduplication of a parent that goes along; the operations `drain` and `clean` of both sides do nothing beside those',
    apply() {},
  },
  {
    name: 'clean of a paused queue',
    majors: [6],
    why: 'the jobs lie in `paused`, see above',
    without: (op) => op.op === 'clean' && (op.state === 'wait' || op.state === 'paused'),
    apply() {},
  },
  {
    name: 'drained of a paused queue',
    majors: [6],
    why: 'for stock 6 a paused queue that holds jobs is not drained, for stock 5 it is; drover follows 5, as the jobs lie in `paused`',
    apply(dump) {
      for (const [key, row] of Object.entries(dump)) {
        if (key.endsWith(':events')) row.value = row.value.filter(([name]) => name !== 'drained');
      }
    },
  },
  {
    name: 'event debounced',
    majors: [6],
    why: 'stock 6 no longer tells of it, listeners of version 5 wait for it',
    apply(dump) {
      for (const [key, row] of Object.entries(dump)) {
        if (key.endsWith(':events')) row.value = row.value.filter(([name]) => name !== 'debounced');
      }
    },
  },
  {
    name: 'number in a token',
    majors: [5, 6],
    why: 'a token is any text of its worker (wire format 4.3); what counts is whose it is',
    apply(dump) {
      for (const [key, row] of Object.entries(dump)) {
        if (key.endsWith(':lock')) row.value = row.value.replace(/:\d+$/, '');
      }
    },
  },
  {
    name: 'renewing a lock that has ended',
    majors: [5, 6],
    why: 'drover sets the lock again when nobody has taken the job; the operation `renew` of both sides leaves such jobs alone',
    apply() {},
  },
  {
    name: 'event of a released parent',
    majors: [5, 6],
    why: 'finished jobs that are not kept are removed once at the end of a call, so a parent that waited for such a one is told of after the job that finished; and the order of a tree that is removed is that of sets',
    apply(dump) {
      for (const [key, row] of Object.entries(dump)) {
        if (!key.endsWith(':events')) continue;
        const released = (entry) => entry[0] === 'waiting' && entry[1].some(([name, text]) => name === 'prev' && text === 'waiting-children');
        dump[`${key} (released)`] = { ...row, value: row.value.filter(released).map((entry) => JSON.stringify(entry)).sort() };
        row.value = row.value.filter((entry) => !released(entry));
      }
    },
  },
  {
    name: 'order of removed children',
    majors: [5, 6],
    why: 'the children of one job are a set',
    apply(dump) {
      for (const [key, row] of Object.entries(dump)) {
        if (!key.endsWith(':events')) continue;
        for (let from = 0; from < row.value.length; from++) {
          let to = from;
          while (row.value[to]?.[0] === 'removed') to++;
          if (to > from + 1) row.value.splice(from, to - from, ...row.value.slice(from, to).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)));
          from = Math.max(from, to - 1);
        }
      }
    },
  },
  {
    name: 'clean with a limit',
    majors: [5, 6],
    why: 'stock looks at no more ids than it may remove and so leaves old ones; the operation `clean` has no limit that counts',
    apply() {},
  },
  {
    name: 'refused retry',
    majors: [5, 6],
    why: 'stock promotes due jobs before it looks at the lock; the operation `fail` of both sides leaves a job alone that would be retried at once and has no lock',
    apply() {},
  },
  {
    name: 'marker',
    majors: [5, 6],
    why: 'stock sets "0" after each fetch, also when nothing is left (wire format 14.2 allows to skip that), and never when room was made in a full queue; drover tells the due time by "0" alone when there is work as well',
    // What must be told is what stock tells and what is true: work that can be fetched, and when the next job is due.
    check(stock, drover) {
      const lines = [];
      for (const q of queuesOf(stock)) {
        const told = new Map(stock[`${q}:marker`]?.value ?? []);
        const heard = new Map(drover[`${q}:marker`]?.value ?? []);
        const due = stock[`${q}:delayed`]?.value[0]?.[1] / 4096;
        if (told.has('0') && hasWork(stock, q) && !heard.has('0')) lines.push(`${q}:marker: jobs wait, and drover wakes nobody`);
        if (Math.floor(told.get('1')) === Math.floor(due) && !heard.has('0') && Math.floor(heard.get('1')) !== Math.floor(due)) {
          lines.push(`${q}:marker: a job is due at ${due}, drover tells ${heard.get('1')}`);
        }
      }
      return lines;
    },
    apply(dump) {
      for (const key of Object.keys(dump)) {
        if (key.endsWith(':marker')) delete dump[key];
      }
    },
  },
];

/** Makes a pair of dumps comparable; returns what is wrong beyond comparing. */
export function normalise(stock, drover, major) {
  const lines = [];
  for (const row of differences) {
    if (!row.majors.includes(major)) continue;
    if (row.check) lines.push(...row.check(stock, drover));
    row.apply(stock);
    row.apply(drover);
  }
  return lines;
}

/** Which operations are not compared with this major. */
export function leftOut(major) {
  const rows = differences.filter((row) => row.majors.includes(major) && row.without);
  return (op) => rows.some((row) => row.without(op));
}
