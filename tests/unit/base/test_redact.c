/* What is hidden, what must not be, and that it costs little. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/redact.h"

/* What `text` becomes; to be freed. */
static char *redacted(const struct redact_patterns *patterns, const char *text, size_t len)
{
    struct buf out = BUF_INIT(1 << 22);
    enum redact_result result = redact_text(patterns, text, len, &out);

    cr_assert(result != REDACT_FAILED);
    if (result == REDACT_SAME) {
        cr_assert(out.len == 0 && !out.data, "a text with nothing to hide costs no memory");
        return strndup(text, len);
    }
    return buf_take(&out);
}

static void expect_redacted(const char *text, const char *wanted)
{
    char *once = redacted(NULL, text, strlen(text));
    char *twice = redacted(NULL, once, strlen(once));

    cr_expect_str_eq(once, wanted, "%s\n became %s\n not    %s", text, once, wanted);
    cr_expect_str_eq(twice, once, "again: %s became %s", once, twice);
    free(once);
    free(twice);
}

Test(redact, hides_what_is_written_like_a_secret)
{
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        /* URLs */
        { "redis://default:s3cr3t@db:6379/0", "redis://default:[redacted]@db:6379/0" },
        { "connect to redis://:s3cr3t@db failed", "connect to redis://:[redacted]@db failed" },
        { "postgres://u:p/w?x#y@h:5432/db and more", "postgres://u:[redacted]@h:5432/db and more" },
        { "amqp://u:p@w@h/", "amqp://u:[redacted]@h/" },
        { "<https://u:pw@h/>, <ftp://v:qw@g>",
          "<https://u:[redacted]@h/>, <ftp://v:[redacted]@g>" },
        { "http://h:80/x?u=redis://u:pw@h/1", "http://h:80/x?u=redis://u:[redacted]@h/1" },
        /* headers */
        { "Authorization: Basic dXNlcjpwYXNz", "Authorization: [redacted]" },
        { "curl -H \"Authorization: Bearer abc.def\" http://h",
          "curl -H \"Authorization: [redacted]\" "
          "http://h" },
        { "authorization: Token abc\nHost: h", "authorization: [redacted]\nHost: h" },
        { "got 401 for Bearer ya29.A0AfH6SMB_x", "got 401 for Bearer [redacted]" },
        { "Set-Cookie: sid=31; Path=/", "Set-Cookie: [redacted]" },
        { "{\"Cookie\":\"sid=1\",\"a\":1}", "{\"Cookie\":\"[redacted]\",\"a\":1}" },
        /* keys */
        { "password=hunter2 user=bob", "password=[redacted] user=bob" },
        { "PASSWORD: hunter2", "PASSWORD: [redacted]" },
        { "DB_PASSWORD=x;PGPASSWORD=y", "DB_PASSWORD=[redacted];PGPASSWORD=[redacted]" },
        { "{\"password\": \"a \\\"b\\\" c\", \"n\": 1}",
          "{\"password\": \"[redacted]\", \"n\": 1}" },
        { "{\\\"apiKey\\\":\\\"k k\\\",\\\"n\\\":1}",
          "{\\\"apiKey\\\":\\\"[redacted]\\\",\\\"n\\\":1}" },
        { "{'client_secret': 'a b'}", "{'client_secret': '[redacted]'}" },
        { "api_key=k1&x=2", "api_key=[redacted]&x=2" },
        { "https://h/cb?access_token=k1&x=2#f", "https://h/cb?access_token=[redacted]&x=2#f" },
        { "X-Api-Key: k1", "X-Api-Key: [redacted]" },
        { "private_key => k1, other", "private_key => [redacted], other" },
        { "aws_secret_access_key = AbC/dE+f==", "aws_secret_access_key = [redacted]" },
        { "\"credentials\": {\"a\": {\"b\": 1}}, \"n\": 2",
          "\"credentials\": [redacted], \"n\": 2" },
        { "token: Bearer abcdefgh1", "token: [redacted]" },
        { "login --password hunter2 --verbose", "login --password [redacted] --verbose" },
        { "userPass=x db-pwd=y", "userPass=[redacted] db-pwd=[redacted]" },
        { "passwd='open", "passwd='[redacted]" },
        /* tokens, cards, keys */
        { "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk "
          "end",
          "jwt [redacted] end" },
        { "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "[redacted]" },
        { "card 4111111111111111 declined", "card [redacted]1111 declined" },
        { "card 4111 1111 1111 1111", "card [redacted]1111" },
        { "5500-0000-0000-0004.", "[redacted]0004." },
        { "amex 3782 822463 10005", "amex [redacted]0005" },
        { "{\"pan\":6011000990139424}", "{\"pan\":[redacted]9424}" },
        { "visa13 4222222222222", "visa13 [redacted]2222" },
        { "maestro 6304000000000000000", "maestro [redacted]0000" },
        { "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b",
          "a [redacted] b" },
        { "so: MIIE+/\nAbc=\n-----END PRIVATE KEY-----\nend", "so: [redacted]\nend" },
        { "{\"k\":\"\\n-----BEGIN PRIVATE KEY-----\\nMIIE", "{\"k\":\"\\n[redacted]" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        expect_redacted(rows[i].text, rows[i].wanted);
}

Test(redact, leaves_what_is_none)
{
    static const char *const rows[] = {
        "",
        "redis://db:6379/0",
        "redis://user@db:6379/0?x=a@b",
        "unix:///run/redis.sock?db=1",
        "http://[::1]:80/a@b",
        "http://h:8080/mail?to=a@b.c",
        "see https://example.org:443/@user",
        "12:30:45 mail to bob@example.org",
        "tokens=5 max_tokens: 100 tokenizer=x",
        "SyntaxError: Unexpected token } in JSON at position 1",
        "password is wrong",
        "bypass=1 compass: north",
        "password=null token: none secret=\"\" token=true",
        "Bearer of bad news; Basic authentication failed; bearer token expired",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "job 1700000000123 waits until 1700000000123456789",
        "4111111111111112 4111111111111111111111",
        "0x4111111111111111 v4111111111111111 4111111111111111a 1.4111111111111111",
        "550e8400-e29b-41d4-a716-446655440000",
        "2024-01-31 12:30:45 4096 8192 1024",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "eyJust a word. eyJ",
        "key=value author=me keyboard=us monkey: 1",
        "stdout is for the protocol: print everything else to stderr",
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        expect_redacted(rows[i], rows[i]);
}

Test(redact, bytes_that_are_no_text_are_borne)
{
    static const char bytes[] = "\xff\0password=\0x token=\xfe\xfe y";
    char *out = redacted(NULL, bytes, sizeof bytes - 1);

    cr_expect(memcmp(out, "\xff\0password=\0x token=[redacted] y", 32) == 0);
    free(out);
}

Test(redact, a_key_that_comes_line_by_line)
{
    static const struct {
        const char *line;
        bool hidden;
    } rows[] = {
        { "starting", false },
        { "key: -----BEGIN EC PRIVATE KEY-----", true },
        { "MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY/PuoAoGCCqGSM49", true },
        { "-----END EC PRIVATE KEY-----", true },
        { "started", false },
        { "-----BEGIN PRIVATE KEY-----MII-----END PRIVATE KEY-----", true },
        { "done", false },
    };
    bool inside = false;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_expect(redact_line_of_key(rows[i].line, strlen(rows[i].line), &inside) == rows[i].hidden,
                  "%s", rows[i].line);
}

/* ---- the operator's patterns */

static struct redact_patterns *patterns_of(char *first, char *second)
{
    char *list[] = { first, second, NULL };
    struct redact_patterns *patterns = NULL;
    struct error err = { 0 };

    cr_assert(redact_patterns_new(list, &patterns, &err) == 0, "%s", err.text);
    return patterns;
}

Test(redact, patterns_are_applied_after_the_rules)
{
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        { "ssn 123-45-6789 and 987-65-4321.", "ssn [redacted] and [redacted]." },
        { "password=x ssn 123-45-6789", "password=[redacted] ssn [redacted]" },
        { "IBAN DE89370400440532013000", "IBAN [redacted]" },
        { "nothing here", "nothing here" },
    };
    char first[] = "[0-9]{3}-[0-9]{2}-[0-9]{4}", second[] = "\\<DE[0-9]{20}\\>";
    struct redact_patterns *patterns = patterns_of(first, second);

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *out = redacted(patterns, rows[i].text, strlen(rows[i].text));

        cr_expect_str_eq(out, rows[i].wanted, "%s became %s", rows[i].text, out);
        free(out);
    }
    redact_patterns_free(patterns);
}

Test(redact, patterns_with_anchors_end)
{
    char first[] = "^a+", second[] = "b*x*$|c";
    struct redact_patterns *patterns = patterns_of(first, first);
    char *out = redacted(patterns, "aaab aaa", 8);
    struct error err = { 0 };

    cr_expect_str_eq(out, "[redacted]b aaa");
    free(out);
    redact_patterns_free(patterns);
    cr_expect(redact_check_pattern(second, &err) == -EINVAL, "it matches nothing, everywhere");
}

Test(redact, refuses_patterns_that_cannot_be)
{
    static const struct {
        const char *pattern, *why;
    } rows[] = {
        { "", "empty" },
        { "a(", "regular expression" },
        { "[z-a]", "regular expression" },
        { "x*", "matches the empty text" },
        { "(a+)\\1", "refers back" },
        { "a{1001}", "repeats" },
        { "(a{100}){11}", "repeats" },
        { "a{1,99999999}", "repeats" },
    };
    char long_one[REDACT_PATTERN_BYTES_MAX + 2];
    struct error err = { 0 };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cr_expect(redact_check_pattern(rows[i].pattern, &err) == -EINVAL, "%s", rows[i].pattern);
        cr_expect(strstr(err.text, rows[i].why), "%s: %s", rows[i].pattern, err.text);
    }
    memset(long_one, 'a', sizeof long_one - 1);
    long_one[sizeof long_one - 1] = '\0';
    cr_expect(redact_check_pattern(long_one, &err) == -EINVAL);
    cr_expect(redact_check_pattern(long_one + 1, &err) == 0, "%s", err.text);
}

Test(redact, more_patterns_than_there_may_be_are_refused)
{
    char pattern[] = "a";
    char *list[REDACT_PATTERNS_MAX + 2];
    struct redact_patterns *patterns = NULL;
    struct error err = { 0 };

    for (size_t i = 0; i <= REDACT_PATTERNS_MAX; i++)
        list[i] = pattern;
    list[REDACT_PATTERNS_MAX + 1] = NULL;
    cr_expect(redact_patterns_new(list, &patterns, &err) == -EINVAL && !patterns);
}

/* ---- bounds */

Test(redact, without_room_nothing_is_shown)
{
    struct buf out = BUF_INIT(8);

    cr_expect(redact_text(NULL, "password=x", 10, &out) == REDACT_FAILED);
    cr_expect(out.len == 0);
    buf_done(&out);
}

static uint64_t cost_us(const char *piece, size_t bytes)
{
    size_t piece_len = strlen(piece);
    char *text = malloc(bytes + 1);
    struct buf out = BUF_INIT(1 << 28);
    uint64_t begin_us;

    cr_assert(text);
    for (size_t i = 0; i < bytes; i++)
        text[i] = piece[i % piece_len];
    text[bytes] = '\0';
    begin_us = clock_now_us();
    cr_assert(redact_text(NULL, text, bytes, &out) != REDACT_FAILED);
    begin_us = clock_now_us() - begin_us;
    buf_done(&out);
    free(text);
    return begin_us;
}

/* A megabyte of what would be dear if a rule looked twice: quadratic ones need minutes. */
Test(redact, is_linear, .timeout = 60)
{
    static const char *const pieces[] = {
        "://",
        "://a:",
        "http://a:1/",
        "-----BEGIN ",
        "eyJ.",
        "4111 ",
        "4",
        "password ",
        "password=",
        "password={",
        "password:[",
        "token=\"",
        "\\\"token\\\":",
        "token_",
        "_",
        "-",
        "Bearer ",
        "Bearer\t",
        "--password ",
        "a:b@",
        "secret=\\\\\\",
        "authorization",
        "cookie: ",
        "[redacted]",
    };

    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
        cr_expect(cost_us(pieces[i], 1 << 20) < 2000000, "%s", pieces[i]);
}
