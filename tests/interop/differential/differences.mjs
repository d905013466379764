// differences.mjs - the one place that says where drover may differ from stock BullMQ. Each row has the name under which
// docs/compatibility.md tells of it, why it is so, and how a dump is changed so that only this difference disappears.
// A dump is {key: {type, ttl, value}}; hashes are objects, sorted sets [[member, score]], streams [[name, {field: text}]].

const lists = ['wait', 'paused'];

function waitingKey(key) {
  const [, q, rest] = key.match(/^([^:]+):(.*)$/) ?? [];
  return lists.includes(rest) ? [q, rest] : null;
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
    name: 'marker without work',
    majors: [5, 6],
    why: 'stock sets the marker after each fetch, also when nothing is left (wire format 14.2 allows to skip that); drover also sets it when room was made in a full queue',
    apply(dump) {
      for (const key of Object.keys(dump)) {
        if (key.endsWith(':marker')) delete dump[key];
      }
    },
  },
];

/** Makes a dump of either side comparable. */
export function normalise(dump, major) {
  for (const row of differences) {
    if (row.majors.includes(major)) row.apply(dump);
  }
  return dump;
}
