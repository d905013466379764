#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/fd.h"
#include "common/base/json_text.h"
#include "common/base/log.h"

static int log_fd = -1;

static void open_log(enum log_format format, enum log_level least)
{
    log_fd = memfd_create("log", MFD_CLOEXEC);
    cr_assert(log_fd >= 0);
    log_open(log_fd, format, least);
}

static struct buf written(void)
{
    struct buf text = BUF_INIT(1 << 20);

    cr_assert(lseek(log_fd, 0, SEEK_SET) == 0);
    cr_assert(fd_read_all(log_fd, &text, NULL) == 0);
    return text;
}

/* The one line that was written, as a JSON object (new reference). */
static json_t *written_object(void)
{
    struct buf text = written();
    json_t *object;

    cr_assert(text.len > 0 && text.data[text.len - 1] == '\n');
    cr_assert(strchr(text.data, '\n') == text.data + text.len - 1, "one line: %s", text.data);
    cr_assert(text.len <= 4096, "%zu bytes are not one atomic write to a pipe", text.len);
    cr_assert(json_text_is_valid(text.data, text.len), "%s", text.data);
    object = json_loadb(text.data, text.len, 0, NULL);
    cr_assert(json_is_object(object), "%s", text.data);
    buf_done(&text);
    return object;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "(absent)";
}

Test(log, writes_json_lines)
{
    json_t *object;

    open_log(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    log_warn("worker.exited", LOG_INT("pid", -5), LOG_UINT("big", 1ULL << 62),
             LOG_BOOL("yes", true), LOG_REAL("ratio", 0.25), LOG_REAL("nan", NAN),
             LOG_STR("none", NULL), LOG_STR("text", "a \"quoted\"\nline \xff\xc3\xa9"));
    object = written_object();
    cr_expect_str_eq(text_of(object, "level"), "warn");
    cr_expect_str_eq(text_of(object, "event"), "worker.exited");
    cr_expect(strlen(text_of(object, "time")) == strlen("2026-01-01T00:00:00.000Z"));
    cr_expect(json_integer_value(json_object_get(object, "pid")) == -5);
    cr_expect(json_is_true(json_object_get(object, "yes")));
    cr_expect(json_real_value(json_object_get(object, "ratio")) > 0.2499);
    cr_expect(json_is_null(json_object_get(object, "nan")));
    cr_expect(json_is_null(json_object_get(object, "none")));
    cr_expect_str_eq(text_of(object, "text"), "a \"quoted\"\nline \xef\xbf\xbd\xc3\xa9");
    json_decref(object);
}

Test(log, time_is_utc_with_milliseconds)
{
    json_t *object;

    clock_shift_for_tests(1700000000123 - (int64_t)clock_wall_ms());
    open_log(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    log_info("a.b", LOG_INT("n", 1));
    object = written_object();
    /* a few milliseconds may pass between the two readings of the clock */
    cr_expect(strncmp(text_of(object, "time"), "2023-11-14T22:13:2", 18) == 0, "%s",
              text_of(object, "time"));
    json_decref(object);
}

Test(log, unsigned_beyond_63_bits_is_whole)
{
    struct buf text;

    open_log(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    log_info("a.b", LOG_UINT("n", UINT64_MAX));
    text = written();
    cr_expect(strstr(text.data, "\"n\":18446744073709551615"), "%s", text.data);
    buf_done(&text);
}

Test(log, plain_form_quotes_only_what_needs_it)
{
    struct buf text;

    open_log(LOG_FORMAT_PLAIN, LOG_LEVEL_INFO);
    log_info("job.added", LOG_STR("queue", "money"), LOG_STR("why", "two words"), LOG_STR("no", ""),
             LOG_STR("eq", "a=b"), LOG_INT("n", 3), LOG_STR("null", NULL));
    text = written();
    cr_expect(strstr(text.data,
                     "Z info  job.added queue=money why=\"two words\" no=\"\" eq=\"a=b\" "
                     "n=3 null=null\n"),
              "%s", text.data);
    buf_done(&text);
}

Test(log, drops_what_is_below_the_level)
{
    struct buf text;

    open_log(LOG_FORMAT_JSON, LOG_LEVEL_WARN);
    cr_expect(!log_is_on(LOG_LEVEL_INFO));
    cr_expect(log_is_on(LOG_LEVEL_ERROR));
    log_info("a.b", LOG_INT("n", 1));
    log_debug("a.b", LOG_INT("n", 1));
    text = written();
    cr_expect(text.len == 0);
    log_error("a.b", LOG_INT("n", 1));
    buf_done(&text);
    text = written();
    cr_expect(text.len > 0);
    buf_done(&text);
}

Test(log, auto_is_json_when_not_a_terminal)
{
    json_t *object;

    open_log(LOG_FORMAT_AUTO, LOG_LEVEL_INFO);
    log_info("a.b", LOG_INT("n", 1));
    object = written_object();
    json_decref(object);
}

Test(log, context_is_copied_bounded_and_in_every_line)
{
    char queue[] = "money";
    struct log_field fields[10];
    char long_value[500];
    json_t *object;

    memset(long_value, 'x', sizeof long_value - 1);
    long_value[sizeof long_value - 1] = '\0';
    fields[0] = LOG_STR("queue", queue);
    fields[1] = LOG_INT("slot", 4);
    fields[2] = LOG_STR("long", long_value);
    for (size_t i = 3; i < ARRAY_SIZE(fields); i++)
        fields[i] = LOG_STR("none", NULL);
    fields[8] = LOG_INT("ninth", 9);
    log_set_context(fields, ARRAY_SIZE(fields));
    memset(queue, 'z', sizeof queue - 1); /* the log must have its own copy */
    open_log(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    log_info("a.b", LOG_STR("own", "field"));
    object = written_object();
    cr_expect_str_eq(text_of(object, "queue"), "money");
    cr_expect(json_integer_value(json_object_get(object, "slot")) == 4);
    cr_expect(strlen(text_of(object, "long")) == 127);
    cr_expect(json_object_get(object, "ninth") == NULL);
    cr_expect_str_eq(text_of(object, "own"), "field");
    json_decref(object);
}

Test(log, a_line_never_exceeds_what_a_pipe_takes_whole)
{
    static const char kinds[] = { 'x', '\n', '\x01', '\xff' };
    char *text = malloc(100000);
    json_t *object;

    cr_assert(text);
    for (size_t i = 0; i < sizeof kinds; i++) {
        memset(text, kinds[i], 99999);
        text[99999] = '\0';
        open_log(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
        log_info("a.b", LOG_STR("huge", text), LOG_STR("second", text), LOG_INT("last", 1));
        object = written_object();
        cr_expect(json_is_true(json_object_get(object, "cut")), "kind %zu", i);
        cr_expect(strlen(text_of(object, "huge")) > 300, "kind %zu: part of it is there", i);
        json_decref(object);
        (void)close(log_fd);
    }
    free(text);
}

Test(log, survives_a_broken_descriptor_and_keeps_errno)
{
    log_open(-1, LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    errno = ENOENT;
    log_info("a.b", LOG_INT("n", 1));
    cr_expect(errno == ENOENT);
}

/* ---- the limit */

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;

    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        count++;
    return count;
}

Test(log, repeats_are_left_out_and_counted)
{
    struct buf text;

    open_log(LOG_FORMAT_JSON, LOG_LEVEL_DEBUG);
    log_set_limit(3, 10000);
    for (int i = 0; i < 50; i++) {
        log_error("a.b", LOG_STR("queue", "money"), LOG_INT("n", i));
        log_unlimited(LOG_LEVEL_INFO, "a.asked", LOG_INT("n", i));
        log_words(LOG_LEVEL_INFO, "a.words", LOG_INT("n", i));
        log_debug("a.debug", LOG_INT("n", i));
    }
    log_warn("a.other", LOG_INT("n", 1));
    log_flush_suppressed(clock_now_ms());
    text = written();
    cr_expect(count_of(text.data, "\"a.b\"") == 3, "the first ones show");
    cr_expect(strstr(text.data, "\"n\":0") && strstr(text.data, "\"n\":2"));
    cr_expect(count_of(text.data, "\"a.asked\"") == 50);
    cr_expect(count_of(text.data, "\"a.words\"") == 30);
    cr_expect(count_of(text.data, "\"a.debug\"") == 50);
    cr_expect(count_of(text.data, "log.suppressed") == 0, "the interval goes on");
    buf_done(&text);
    cr_expect(log_flush_next_ms() > clock_now_ms());
    clock_shift_for_tests(10000);
    log_flush_suppressed(clock_now_ms());
    text = written();
    cr_expect(strstr(text.data, "\"event\":\"log.suppressed\",\"repeated\":\"a.b\",\"count\":47,"
                                "\"interval_ms\":10000,\"queue\":\"money\"}"),
              "%s", text.data);
    cr_expect(strstr(text.data, "\"repeated\":\"a.words\",\"count\":20,"));
    cr_expect(count_of(text.data, "log.suppressed") == 2);
    cr_expect(log_flush_next_ms() == 0);
    buf_done(&text);
}

Test(log, the_end_tells_what_was_left_out_even_when_only_errors_are_written)
{
    struct buf text;

    open_log(LOG_FORMAT_JSON, LOG_LEVEL_ERROR);
    log_set_limit(1, 10000);
    log_error("a.b", LOG_INT("n", 1));
    log_error("a.b", LOG_INT("n", 2));
    log_close();
    text = written();
    cr_expect(strstr(text.data, "\"repeated\":\"a.b\",\"count\":1,"), "%s", text.data);
    buf_done(&text);
    log_set_limit(0, 10000);
    for (int i = 0; i < 5; i++)
        log_error("a.c", LOG_INT("n", i));
    text = written();
    cr_expect(count_of(text.data, "\"a.c\"") == 5, "no limit, and it still writes");
    buf_done(&text);
}

Test(log, texts_are_redacted_in_lines_as_well)
{
    static const enum log_format formats[] = { LOG_FORMAT_JSON, LOG_FORMAT_PLAIN };

    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        struct buf text;

        open_log(formats[i], LOG_LEVEL_INFO);
        log_info("a.b", LOG_STR("why", "redis://u:hunter2@h and {\"token\":\"hunter2\"}"));
        text = written();
        cr_expect(!strstr(text.data, "hunter2"), "%s", text.data);
        cr_expect(count_of(text.data, "[redacted]") == 2, "%s", text.data);
        buf_done(&text);
    }
}

Test(log, a_context_field_gives_way_to_the_events_own)
{
    json_t *object;

    log_set_context((struct log_field[]){ LOG_INT("pid", 1), LOG_STR("role", "worker") }, 2);
    open_log(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    log_info("a.b", LOG_INT("pid", 2));
    object = written_object();
    cr_expect(json_integer_value(json_object_get(object, "pid")) == 2);
    cr_expect(json_object_size(object) == 5, "time, level, event, role, pid");
    json_decref(object);
}
