/* redact_patterns.c - the operator's own patterns. POSIX has no bound on what a match may cost; the
 * checks below take away what makes glibc's slow: references back, and repetitions of
 * repetitions. */
#include <errno.h>
#include <regex.h>
#include <string.h>

#include "common/base/redact_rules.h"

#define REPEATS_MAX 1000

struct redact_patterns {
    size_t count;
    regex_t compiled[REDACT_PATTERNS_MAX];
};

/* The product of all {n,m}: glibc writes repetitions out. */
static uint64_t repeats_of(const char *pattern)
{
    uint64_t product = 1;

    for (const char *at = strchr(pattern, '{'); at && product <= REPEATS_MAX;
         at = strchr(at + 1, '{')) {
        const char *comma = strchr(at, ',');
        unsigned long low = strtoul(at + 1, NULL, 10);
        unsigned long high = comma ? strtoul(comma + 1, NULL, 10) : 0;
        unsigned long most = low > high ? low : high;

        if (most > REPEATS_MAX)
            return most;
        if (most > 1)
            product *= most;
    }
    return product;
}

static bool refers_back(const char *pattern)
{
    for (const char *at = strchr(pattern, '\\'); at && at[1]; at = strchr(at + 2, '\\'))
        if (at[1] >= '1' && at[1] <= '9')
            return true;
    return false;
}

static int refuse_shape(const char *pattern, struct error *err)
{
    if (!*pattern)
        return error_set(err, -EINVAL, "an empty pattern would match everywhere");
    if (strlen(pattern) > REDACT_PATTERN_BYTES_MAX)
        return error_set(err, -EINVAL, "is longer than %d bytes", REDACT_PATTERN_BYTES_MAX);
    if (refers_back(pattern))
        return error_set(err, -EINVAL,
                         "refers back to a group (\\1), which can take time without "
                         "bound");
    if (repeats_of(pattern) > REPEATS_MAX)
        return error_set(err, -EINVAL, "repeats more than %d times in all: use * or + instead",
                         REPEATS_MAX);
    return 0;
}

static int compile(const char *pattern, regex_t *out, struct error *err)
{
    int result = refuse_shape(pattern, err);
    char why[128];

    if (result < 0)
        return result;
    result = regcomp(out, pattern, REG_EXTENDED);
    if (result == REG_ESPACE)
        return error_set(err, -ENOMEM, "no memory for a pattern");
    if (result != 0) {
        (void)regerror(result, out, why, sizeof why); /* for people: may be cut */
        return error_set(err, -EINVAL, "is no regular expression (POSIX extended): %s", why);
    }
    if (regexec(out, "", 0, NULL, 0) == 0) {
        regfree(out);
        return error_set(err, -EINVAL, "matches the empty text, so it would match everywhere");
    }
    return 0;
}

int redact_check_pattern(const char *pattern, struct error *err)
{
    regex_t compiled;
    int result = compile(pattern, &compiled, err);

    if (result >= 0)
        regfree(&compiled);
    return result;
}

int redact_patterns_new(char *const *list, struct redact_patterns **out_patterns, struct error *err)
{
    struct redact_patterns *patterns = calloc(1, sizeof *patterns);

    if (!patterns)
        return error_set(err, -ENOMEM, "no memory for patterns");
    for (; list && *list; list++) {
        int result = patterns->count < REDACT_PATTERNS_MAX
                         ? compile(*list, &patterns->compiled[patterns->count], err)
                         : error_set(err, -EINVAL, "more than %d patterns", REDACT_PATTERNS_MAX);

        if (result < 0) {
            redact_patterns_free(patterns);
            return error_wrap(err, "pattern `%s`", *list);
        }
        patterns->count++;
    }
    *out_patterns = patterns;
    return 0;
}

void redact_patterns_free(struct redact_patterns *patterns)
{
    if (!patterns)
        return;
    for (size_t i = 0; i < patterns->count; i++)
        regfree(&patterns->compiled[i]);
    free(patterns);
}

/* Replaces what one pattern matches in `from`; appends to `to` only when something did. */
static enum redact_result apply(const regex_t *compiled, const char *from, size_t len,
                                struct buf *to)
{
    enum redact_result result = REDACT_SAME;
    size_t copied = 0;

    while (copied < len) {
        regmatch_t match = { .rm_so = (regoff_t)copied, .rm_eo = (regoff_t)len };
        int flags = REG_STARTEND | (copied > 0 ? REG_NOTBOL : 0);
        int found = regexec(compiled, from, 1, &match, flags);

        if (found == REG_NOMATCH)
            break;
        if (found != 0)
            return REDACT_FAILED; /* no memory: nothing is known of the text */
        if (match.rm_eo == match.rm_so)
            break; /* an anchor alone, as in x*$ */
        result = REDACT_CHANGED;
        (void)buf_append(to, from + copied, (size_t)match.rm_so - copied);
        (void)buf_append_text(to, REDACT_MARK); /* to->failed tells */
        copied = (size_t)match.rm_eo;
    }
    if (result == REDACT_CHANGED)
        (void)buf_append(to, from + copied, len - copied);
    return to->failed ? REDACT_FAILED : result;
}

enum redact_result redact_apply_patterns(const struct redact_patterns *patterns, const char *text,
                                         size_t len, enum redact_result result, size_t begin,
                                         struct buf *out)
{
    struct buf now = BUF_INIT(out->max), next = BUF_INIT(out->max);
    const char *from = text;

    if (result == REDACT_CHANGED) {
        (void)buf_append(&now, out->data + begin, out->len - begin); /* failed is looked at below */
        from = buf_text(&now);
        len = now.len;
    }
    for (size_t i = 0; i < patterns->count && !now.failed; i++) {
        enum redact_result one = apply(&patterns->compiled[i], from, len, &next);

        if (one == REDACT_FAILED) {
            now.failed = true;
        } else if (one == REDACT_CHANGED) {
            struct buf old = now;

            result = REDACT_CHANGED;
            now = next;
            next = old;
            buf_reset(&next);
            from = buf_text(&now);
            len = now.len;
        }
    }
    if (result == REDACT_CHANGED || now.failed) {
        out->len = begin;
        if (now.failed || buf_append(out, from, len) < 0)
            result = REDACT_FAILED;
    }
    buf_done(&now);
    buf_done(&next);
    return result;
}
