/* civil.h - dates of the Gregorian calendar as days and seconds since 1970, without any zone. */
#pragma once

#include <stdint.h>

#define DAY_S 86400

struct civil {
    int64_t year;
    int month, day; /* from 1 */
    int hour, minute, second;
};

int civil_days_in_month(int64_t year, int month);
int64_t civil_days(int64_t year, int month, int day); /* days since 1970-01-01; any day number */
int64_t civil_seconds(const struct civil *civil);     /* fields past their range are carried over */
struct civil civil_at(int64_t seconds);
int civil_weekday(int64_t year, int month, int day); /* 0: Sunday */
