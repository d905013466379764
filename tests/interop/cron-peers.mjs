// cron-peers.mjs - the cron-parsers of both majors as BullMQ calls them, without a Redis.
import { createRequire } from 'node:module';
import * as path from 'node:path';
import * as url from 'node:url';

const require = createRequire(import.meta.url);
const here = path.dirname(url.fileURLToPath(import.meta.url));
export const build = path.resolve(process.env.DROVER_BUILD_DIR ?? path.join(here, '..', '..', 'build', 'gcc'));

/** A package as BullMQ of that major sees it. */
function of(major, name) {
  return createRequire(require.resolve(`bullmq${major}`))(name);
}

export const bullmq = { luxon: createRequire(createRequire(require.resolve('bullmq5')).resolve('cron-parser'))('luxon') };
const parsers = {
  4: (text, opts) => of(5, 'cron-parser').parseExpression(text, opts),
  5: (text, opts) => of(6, 'cron-parser').CronExpressionParser.parse(text, opts),
};

function next(major, { text, tz, ms }) {
  let interval;
  try {
    interval = parsers[major](text, { pattern: text, tz, currentDate: new Date(ms) });
  } catch {
    return 'bad';
  }
  try {
    return interval.next().getTime();
  } catch {
    return 'none';
  }
}

/** By version of cron-parser: the next time of {text, tz, ms}, 'none', or 'bad' when it is refused. */
export const cronNext = { 4: (row) => next(4, row), 5: (row) => next(5, row) };

/** The values that cron-parser 5 reads in one item of the field of that place (0 seconds … 5 weekdays). */
export function valuesOf(place, atom) {
  const fields = ['0', '*', '*', '*', '*', '*'];
  fields[place] = atom;
  const names = ['second', 'minute', 'hour', 'dayOfMonth', 'month', 'dayOfWeek'];
  const { values } = of(6, 'cron-parser').CronExpressionParser.parse(fields.join(' ')).fields[names[place]];
  return place === 5 ? values.map((value) => (value === 7 ? 0 : value)) : values;
}

/** Numbers that only look random: the same for the same seed (mulberry32). */
export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  /** A whole number, both ends included. */
  between(least, most) {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return least + Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * (most - least + 1));
  }

  of(list) {
    return list[this.between(0, list.length - 1)];
  }
}
