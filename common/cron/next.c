/* The next time. A cursor goes from the start to later instants: to the next month, day, hour, …
 * that fits, each step as cron-parser 5 takes it, because what happens where clocks are put forward
 * or back depends on the steps. Observed, and compared in tests/interop/cron.test.mjs: an hour that
 * is skipped is made up for in the hour that follows; an hour that comes twice counts once, the
 * first time, unless every hour is due. */
#include <errno.h>
#include <stdbool.h>

#include "common/cron/civil.h"
#include "common/cron/cron.h"

#define STEPS_MAX 10000 /* as stock: about 27 years of days */
#define HOURS_ALL 24
#define NO_HOUR   (-1)

struct cursor {
    const struct cron *cron;
    const struct zone *zone;
    int64_t at_s;
    int32_t offset_s;   /* there */
    struct civil local; /* there */
    bool every_hour;
    int skipped_from;    /* first hour that the last jump forward has left out; NO_HOUR: none */
    int skipped_landing; /* the hour after them */
    int repeated;        /* the hour that has begun anew; NO_HOUR: none */
};

static void move_to(struct cursor *cursor, int64_t at_s)
{
    cursor->at_s = at_s;
    cursor->offset_s = zone_offset(cursor->zone, at_s);
    cursor->local = civil_at(at_s + cursor->offset_s);
}

/* To a local time. One that comes twice is taken with the offset that holds where the cursor comes
 * from, if it is one of the two; one that does not exist, as much later as clocks are put forward.
 */
static void move_to_local(struct cursor *cursor, const struct civil *local)
{
    int64_t local_s = civil_seconds(local);
    int32_t here = cursor->offset_s;
    int32_t there = zone_offset(cursor->zone, local_s - here);
    int32_t again;

    if (there != here) {
        again = zone_offset(cursor->zone, local_s - there);
        if (again != there)
            there = again < there ? again : there;
    }
    move_to(cursor, local_s - there);
}

enum unit { UNIT_SECOND, UNIT_MINUTE, UNIT_HOUR };

/* To the begin of the next unit; notes which hours the clock has left out or begun anew. */
static void step(struct cursor *cursor, enum unit unit)
{
    static const int seconds[] = { [UNIT_SECOND] = 1, [UNIT_MINUTE] = 60, [UNIT_HOUR] = 3600 };
    int hour = cursor->local.hour, advance;
    int32_t offset_s = cursor->offset_s;
    struct civil local;

    move_to(cursor, cursor->at_s + seconds[unit]);
    if (unit != UNIT_SECOND) {
        local = cursor->local;
        local.second = 0;
        if (unit == UNIT_HOUR)
            local.minute = 0;
        move_to_local(cursor, &local);
    }
    if (cursor->every_hour)
        return;
    advance = (cursor->local.hour - hour + HOURS_ALL) % HOURS_ALL;
    if (cursor->offset_s > offset_s && advance >= 2) {
        cursor->skipped_from = (hour + 1) % HOURS_ALL;
        cursor->skipped_landing = cursor->local.hour;
    } else if (advance == 0 && cursor->local.minute == 0 && cursor->local.second == 0) {
        cursor->repeated = cursor->local.hour;
    }
}

static void move_to_midnight(struct cursor *cursor)
{
    struct civil local = cursor->local;

    local.hour = local.minute = local.second = 0;
    move_to_local(cursor, &local);
}

static void step_day(struct cursor *cursor)
{
    struct civil local = cursor->local;

    local.day++; /* past the end of a month: carried over */
    move_to_local(cursor, &local);
    move_to_midnight(cursor);
}

static void step_month(struct cursor *cursor)
{
    struct civil local = cursor->local;
    int days;

    local.year += local.month == 12;
    local.month = local.month % 12 + 1;
    days = civil_days_in_month(local.year, local.month);
    local.day = local.day < days ? local.day : days;
    move_to_local(cursor, &local);
    local = cursor->local;
    local.day = 1;
    local.hour = local.minute = local.second = 0;
    move_to_local(cursor, &local);
}

static void set_time(struct cursor *cursor, int hour, int minute, int second)
{
    struct civil local = cursor->local;

    local.hour = hour;
    move_to_local(cursor, &local);
    local = cursor->local;
    local.minute = minute;
    move_to_local(cursor, &local);
    local = cursor->local;
    local.second = second;
    move_to_local(cursor, &local);
}

static bool has(uint64_t set, int value)
{
    return set >> value & 1;
}

static int first_of(uint64_t set)
{
    return __builtin_ctzll(set);
}

/* The next value after `value`; -1 when there is none. */
static int next_of(uint64_t set, int value)
{
    uint64_t later = value >= 63 ? 0 : set >> (value + 1) << (value + 1);

    return later ? first_of(later) : -1;
}

/* ---- days ---- */

static bool day_fits(const struct cursor *cursor)
{
    const struct cron *cron = cursor->cron;
    const struct civil *local = &cursor->local;
    int days = civil_days_in_month(local->year, local->month);
    int weekday = civil_weekday(local->year, local->month, local->day);
    bool by_day = has(cron->days, local->day) || (cron->last_day && local->day == days);
    bool nth = cron->nth_weekday == 0 || (local->day + 6) / 7 == cron->nth_weekday;
    bool by_weekday = (has(cron->weekdays, weekday) && nth) ||
                      (has(cron->last_weekdays, weekday) && local->day > days - 7);

    if (cron->any_weekday)
        return by_day;
    return cron->any_day ? by_weekday : by_day || by_weekday;
}

static bool clock_changes_today(const struct cursor *cursor)
{
    struct cursor begin = *cursor, end;

    move_to_midnight(&begin);
    end = begin;
    step_day(&end);
    return begin.offset_s != zone_offset(cursor->zone, end.at_s - 1);
}

/* ---- hours ---- */

static bool made_up_for(const struct cursor *cursor)
{
    if (cursor->skipped_from == NO_HOUR || cursor->skipped_landing != cursor->local.hour)
        return false;
    for (int hour = cursor->skipped_from; hour != cursor->local.hour;
         hour = (hour + 1) % HOURS_ALL) {
        if (has(cursor->cron->hours, hour))
            return true;
    }
    return false;
}

static void go_to_hour(struct cursor *cursor, int wanted)
{
    const struct cron *cron = cursor->cron;
    int steps = wanted - cursor->local.hour;

    if (!clock_changes_today(cursor)) {
        set_time(cursor, wanted, first_of(cron->minutes), first_of(cron->seconds));
        return;
    }
    while (steps-- > 0 && cursor->local.hour < wanted)
        step(cursor, UNIT_HOUR);
    set_time(cursor, cursor->local.hour, first_of(cron->minutes), first_of(cron->seconds));
}

/* True: the hour fits. False: the cursor has moved on. */
static bool hour_fits(struct cursor *cursor)
{
    int wanted;

    if (made_up_for(cursor))
        return true;
    if (cursor->repeated == cursor->local.hour) {
        cursor->repeated = NO_HOUR;
        step(cursor, UNIT_HOUR);
        return false;
    }
    if (has(cursor->cron->hours, cursor->local.hour))
        return true;
    cursor->skipped_from = cursor->skipped_landing = NO_HOUR;
    wanted = next_of(cursor->cron->hours, cursor->local.hour);
    if (wanted < 0)
        step_day(cursor);
    else
        go_to_hour(cursor, wanted);
    return false;
}

/* ---- minutes and seconds ---- */

static void go_to_minute(struct cursor *cursor)
{
    const struct cron *cron = cursor->cron;
    int wanted = next_of(cron->minutes, cursor->local.minute);

    if (wanted < 0) {
        step(cursor, UNIT_HOUR);
        wanted = first_of(cron->minutes);
    }
    set_time(cursor, cursor->local.hour, wanted, first_of(cron->seconds));
}

static void go_to_second(struct cursor *cursor)
{
    int wanted = next_of(cursor->cron->seconds, cursor->local.second);

    if (wanted < 0) {
        step(cursor, UNIT_MINUTE);
        wanted = first_of(cursor->cron->seconds);
    }
    set_time(cursor, cursor->local.hour, cursor->local.minute, wanted);
}

/* True: all fits. False: the cursor has moved on. */
static bool fits(struct cursor *cursor)
{
    if (!has(cursor->cron->months, cursor->local.month))
        step_month(cursor);
    else if (!day_fits(cursor))
        step_day(cursor);
    else if (!hour_fits(cursor))
        return false;
    else if (!has(cursor->cron->minutes, cursor->local.minute))
        go_to_minute(cursor);
    else if (!has(cursor->cron->seconds, cursor->local.second))
        go_to_second(cursor);
    else
        return true;
    return false;
}

int cron_next(const struct cron *cron, int64_t after_ms, const struct zone *zone, int64_t *out_ms,
              struct error *err)
{
    int64_t start_s = after_ms / 1000 - (after_ms % 1000 < 0);
    struct cursor cursor = {
        .cron = cron,
        .zone = zone,
        .every_hour = __builtin_popcount(cron->hours) == HOURS_ALL,
        .skipped_from = NO_HOUR,
        .skipped_landing = NO_HOUR,
        .repeated = NO_HOUR,
    };

    move_to(&cursor, start_s);
    if (start_s * 1000 != after_ms)
        step(&cursor, UNIT_SECOND);
    for (int steps = 1; steps < STEPS_MAX; steps++) {
        if (!fits(&cursor))
            continue;
        if (cursor.at_s * 1000 != after_ms) {
            *out_ms = cursor.at_s * 1000;
            return 0;
        }
        step(&cursor, UNIT_SECOND);
    }
    return error_set(err, -ERANGE, "no such time within %d steps", STEPS_MAX);
}
