// cron.test.mjs - common/cron beside the two cron-parsers that stock BullMQ uses: the same expressions, time zones and instants
// through both packages and through drover's reader. Whoever fetches an iteration computes the next one, so they must agree.
// CRON_ROUNDS=n: n times as many random rows; CRON_SEED=n: other ones; the seed of a failing run is printed.
import test from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import * as path from 'node:path';
import { bullmq, build, Random, cronNext, valuesOf } from './cron-peers.mjs';

const rounds = Number(process.env.CRON_ROUNDS ?? 1);
const seed = Number(process.env.CRON_SEED ?? 1);

/** What drover answers to rows of {ms, tz, text}: a number, 'none' or 'bad …'. */
function drover(rows) {
  const input = rows.map((row) => `${row.ms}\t${row.tz}\t${row.text}\n`).join('');
  const output = execFileSync(path.join(build, 'tests', 'support', 'cron_times'), { input, maxBuffer: 1 << 28, encoding: 'utf8' });
  const lines = output.split('\n').slice(0, -1);
  assert.equal(lines.length, rows.length);
  return lines.map((line) => (/^\d+$/.test(line) ? Number(line) : line));
}

/** The next time by cron-parser 5 when each field lists its values once. */
function withoutTwins(row) {
  const given = row.text.trim().split(/\s+/);
  const fields = [...['0', '*', '*', '*', '*', '*'].slice(0, 6 - given.length), ...given];
  try {
    const single = fields.map((text, at) => {
      if (!text.includes(',')) return text;
      return [...new Set(text.split(',').flatMap((atom) => valuesOf(at, atom)))].join(',');
    });
    return cronNext[5]({ ...row, text: single.join(' ') });
  } catch {
    return 'bad';
  }
}

/** Runs all rows through the three; returns how many were judged, and what disagrees. */
function compare(rows) {
  const ours = drover(rows);
  const wrong = [];
  const counts = { same: 0, both_refuse: 0, differ: 0, only5: 0, twins: 0 };
  rows.forEach((row, at) => {
    const four = cronNext[4](row);
    const five = cronNext[5](row);
    const mine = String(ours[at]).startsWith('bad') ? 'bad' : ours[at];
    let wanted = [five];
    if (four === five) {
      counts[five === 'bad' ? 'both_refuse' : 'same'] += 1;
    } else if (five !== 'bad' && four !== 'bad') {
      counts.differ += 1;
    } else if (four === 'bad') {
      wanted.push('bad');
      counts.only5 += 1;
    }
    if (five === 'bad') { // a value that is given twice, which 4.9 takes: as 5 reads the list without it, or refused
      wanted = [withoutTwins(row), 'bad'];
      if (wanted[0] === mine && mine !== 'bad') counts.twins += 1;
    }
    if (!wanted.includes(mine)) wrong.push({ ...row, at: new Date(row.ms).toISOString(), four, five, drover: ours[at] });
  });
  return { wrong, counts };
}

const zones = ['UTC', 'Europe/Madrid', 'Europe/London', 'Europe/Dublin', 'America/New_York', 'America/Sao_Paulo', 'America/Santiago',
  'Australia/Lord_Howe', 'Australia/Sydney', 'Asia/Kolkata', 'Asia/Kathmandu', 'Asia/Beirut', 'Asia/Tehran', 'Pacific/Auckland',
  'Pacific/Chatham', 'Pacific/Apia', 'Africa/Casablanca', 'Africa/Cairo', 'America/Havana', 'Atlantic/Azores', 'America/St_Johns',
  'Etc/GMT+7', 'utc+5', 'America/Scoresbysund', 'Antarctica/Troll', 'Asia/Gaza'];
const begin = Date.UTC(2021, 0, 1);
const end = Date.UTC(2045, 0, 1);

/** Instants at which the offset of a zone changes, by Node's own data. */
function changesOf(tz) {
  const offset = (ms) => bullmq.luxon.DateTime.fromMillis(ms, { zone: tz }).offset;
  const found = [];
  const day = 86400000;
  for (let at = begin; at < Date.UTC(2029, 0, 1); at += day) {
    if (offset(at) === offset(at + day)) continue;
    let low = at;
    let high = at + day;
    while (high - low > 1000) {
      const middle = low + Math.floor((high - low) / 2000) * 1000;
      if (offset(middle) === offset(low)) low = middle;
      else high = middle;
    }
    found.push(high);
  }
  return found;
}

/** Node brings zone data of its own: rows where it and the system's disagree say nothing about cron. */
function knownAlike(rows) {
  const luxon = bullmq.luxon;
  const hourly = rows.map((row) => ({ ...row, text: '0 0 0 * * *' }));
  const midnights = drover(hourly);
  return rows.filter((row, at) => {
    const local = luxon.DateTime.fromMillis(midnights[at], { zone: row.tz });
    return local.hour <= 1 && local.minute <= 30;
  });
}

function wellFormed(random) {
  const number = (least, most) => String(random.between(least, most));
  const field = (least, most, extra = []) => {
    const one = () => {
      const kind = random.between(0, 9);
      if (kind <= 3) return '*';
      if (kind === 4) return `*/${number(1, most)}`;
      if (kind === 5) return `${number(least, most)}/${number(1, most)}`;
      const from = random.between(least, most);
      if (kind === 6) return `${from}-${random.between(from, most)}`;
      if (kind === 7) return `${from}-${random.between(from, most)}/${number(1, most)}`;
      if (extra.length > 0 && random.between(0, 2) === 0) return random.of(extra);
      return String(from);
    };
    return random.between(0, 5) === 0 ? [one(), one(), one()].slice(0, random.between(2, 3)).join(',') : one();
  };
  const fields = [field(0, 59), field(0, 59), field(0, 23), field(1, 31, ['L', '?', '31', '30', '29']), field(1, 12, ['jan', 'Feb', 'DEC', '2']),
    field(0, 7, ['sun', 'Mon', 'FRI', '5L', '0L', '7L', '1#1', '3#5', 'tue#2', '?', '1L,3L'])];
  if (random.between(0, 2) === 0) fields[0] = '0';
  if (random.between(0, 2) === 0) fields[1] = random.of(['0', '30', '15,45', '59']);
  if (random.between(0, 1) === 0) fields[2] = random.of(['0', '1', '2', '3', '2,3', '1-3', '*/2', '23', '0,12']);
  return fields.slice(random.between(0, 4) === 0 ? random.between(2, 5) : random.between(0, 1)).join(' ');
}

function mangled(random) {
  const letters = '0123456789*?,-/L#HxX '.split('').concat(['mon', 'FRI', 'jan', '1-5', '*/2', '00', '31', '60', '@daily']);
  let text = random.between(0, 1) ? wellFormed(random) : '';
  for (let i = random.between(1, 4); i > 0; i--) {
    const at = random.between(0, text.length);
    text = text.slice(0, at) + random.of(letters) + text.slice(at + random.between(0, 2));
  }
  return text.trim() || '*';
}

const changes = Object.fromEntries(zones.map((tz) => [tz, changesOf(tz)]));

function instant(random, tz) {
  if (changes[tz].length > 0 && random.between(0, 3) > 0) { // around a change of the clocks
    return random.of(changes[tz]) + random.between(-30, 6) * 3600000 + random.between(0, 3599999);
  }
  const ms = random.between(0, Math.floor((end - begin) / 1000)) * 1000 + begin;
  return random.between(0, 1) ? ms : ms + random.between(0, 999);
}

function makeRows(random, count, make) {
  return Array.from({ length: count }, () => {
    const tz = random.of(zones);
    return { ms: instant(random, tz), tz, text: make(random) };
  });
}

function judge(rows, least) {
  const alike = knownAlike(rows);
  assert.ok(alike.length > rows.length * 0.9, `zone data of Node and of the system differ too much: ${alike.length} of ${rows.length}`);
  const { wrong, counts } = compare(alike);
  assert.deepEqual(wrong.slice(0, 10), [], `seed ${seed}: ${wrong.length} of ${alike.length} rows`);
  assert.ok(counts.same >= least, JSON.stringify(counts));
  return counts;
}

test('random expressions in random zones at random instants are due when both cron-parsers say', { timeout: 240000 }, (t) => {
  const counts = judge(makeRows(new Random(seed), 4000 * rounds, wellFormed), 1800);
  t.diagnostic(JSON.stringify(counts));
  assert.ok(counts.twins > 10, 'a value that is given twice is taken');
});

test('what is mangled is refused, or read as stock does', { timeout: 120000 }, (t) => {
  t.diagnostic(JSON.stringify(judge(makeRows(new Random(seed + 1000), 4000 * rounds, mangled), 100)));
});

test('around each change of the clocks of eight years', { timeout: 240000 }, () => {
  const texts = ['0 2 * * *', '30 2 * * *', '0 3 * * *', '*/30 1-3 * * *', '0 * * * *', '15 0 * * *', '59 23 * * *', '0 0 * * *', '*/20 * * * *',
    '0 0 1 * *', '30 1,2 * * 0'];
  const rows = zones.flatMap((tz) => changes[tz].flatMap((at) => texts.flatMap((text) => [-90000000, -3600001, -1800000, -1, 0, 1800000, 3600000]
    .map((shift) => ({ ms: at + shift, tz, text })))));
  const some = rows.filter((row, at) => at % 15 === seed % 15);
  judge(some, 500);
});
