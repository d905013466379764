/* Days are counted in eras of 400 years that begin on 1 March, so that the leap day comes last. */
#include "common/cron/civil.h"

#include <stdbool.h>

#define ERA_DAYS     146097
#define DAYS_TO_1970 719468 /* from 0000-03-01 */
#define YEARS_AN_ERA 400
#define YEAR_DAYS    365

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0 ? 1 : 0);
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % YEARS_AN_ERA == 0);
}

int civil_days_in_month(int64_t year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

int64_t civil_days(int64_t year, int month, int day)
{
    int64_t shifted = month <= 2 ? year - 1 : year;
    int64_t era = floor_div(shifted, YEARS_AN_ERA);
    int64_t year_of_era = shifted - era * YEARS_AN_ERA;
    int64_t month_of_year = (month + 9) % 12; /* March is 0 */
    int64_t day_of_year = (153 * month_of_year + 2) / 5;
    int64_t day_of_era =
        year_of_era * YEAR_DAYS + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * ERA_DAYS + day_of_era - DAYS_TO_1970 + day - 1;
}

int64_t civil_seconds(const struct civil *civil)
{
    return civil_days(civil->year, civil->month, civil->day) * DAY_S + civil->hour * 3600LL +
           civil->minute * 60LL + civil->second;
}

struct civil civil_at(int64_t seconds)
{
    int64_t days = floor_div(seconds, DAY_S);
    int64_t rest = seconds - days * DAY_S;
    int64_t shifted = days + DAYS_TO_1970;
    int64_t era = floor_div(shifted, ERA_DAYS);
    int64_t day_of_era = shifted - era * ERA_DAYS;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / YEAR_DAYS;
    int64_t day_of_year =
        day_of_era - (YEAR_DAYS * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_of_year = (5 * day_of_year + 2) / 153;
    int month = (int)(month_of_year < 10 ? month_of_year + 3 : month_of_year - 9);

    return (struct civil){
        .year = year_of_era + era * YEARS_AN_ERA + (month <= 2 ? 1 : 0),
        .month = month,
        .day = (int)(day_of_year - (153 * month_of_year + 2) / 5 + 1),
        .hour = (int)(rest / 3600),
        .minute = (int)(rest / 60 % 60),
        .second = (int)(rest % 60),
    };
}

int civil_weekday(int64_t year, int month, int day)
{
    int64_t days = civil_days(year, month, day) + 4; /* 1970-01-01 was a Thursday */

    return (int)(days - floor_div(days, 7) * 7);
}
