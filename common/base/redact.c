/* redact.c - what a secret looks like. Each rule looks at one place of the text and says how many
 * bytes from there are to be hidden; none looks back further than the word it stands in, and none
 * looks at bytes again that another has hidden. */
#include "common/base/redact.h"

#include <errno.h>
#include <string.h>

#include "common/base/redact_rules.h"

#define KEY_BEGIN   "-----BEGIN "
#define KEY_END     "-----END "
#define KEY_NAME    "PRIVATE KEY-----"
#define LABEL_BYTES 64 /* of "-----BEGIN ENCRYPTED PRIVATE KEY-----" and its like */

/* What is being looked at, and what was found. */
struct scan {
    struct redact_text text;
    size_t copied;  /* bytes of the text that `out` has */
    size_t no_user; /* no user of a URL ends before here: a URL was looked at so far */
    struct buf *out;
    size_t begin; /* of out */
    bool changed;
};

/* Hides [from, to); what comes before is copied. */
static void hide(struct scan *scan, size_t from, size_t to)
{
    (void)buf_append(scan->out, scan->text.bytes + scan->copied, from - scan->copied);
    (void)buf_append_text(scan->out, REDACT_MARK); /* out->failed tells */
    scan->copied = to;
    scan->changed = true;
}

static bool starts_with(const struct redact_text *text, size_t at, const char *word)
{
    size_t len = strlen(word);

    return text->len - at >= len && memcmp(text->bytes + at, word, len) == 0;
}

static const char *find(const char *bytes, size_t len, const char *what)
{
    return len == 0 ? NULL : memmem(bytes, len, what, strlen(what));
}

/* Where the line ends that begins at `at` with KEY_BEGIN or KEY_END and names a private key; 0 when
 * none does. */
static size_t key_line_end(const struct redact_text *text, size_t at, const char *beginning)
{
    size_t rest = text->len - at;
    const char *name;

    if (!starts_with(text, at, beginning))
        return 0;
    name = find(text->bytes + at, rest < LABEL_BYTES ? rest : LABEL_BYTES, KEY_NAME);
    return name ? (size_t)(name - text->bytes) + strlen(KEY_NAME) : 0;
}

/* A key without an end goes on to the end of the text. */
static size_t pem_end(const struct redact_text *text, size_t at)
{
    size_t body = key_line_end(text, at, KEY_BEGIN);
    const char *end;

    if (body == 0)
        return 0;
    end = find(text->bytes + body, text->len - body, KEY_END);
    if (end)
        end = find(end, text->len - (size_t)(end - text->bytes), KEY_NAME);
    return end ? (size_t)(end - text->bytes) + strlen(KEY_NAME) : text->len;
}

bool redact_line_of_key(const char *line, size_t len, bool *inside)
{
    struct redact_text text = { line, len };
    const char *begin = find(line, len, KEY_BEGIN);

    if (*inside) {
        *inside = !find(line, len, KEY_END);
        return true;
    }
    if (!begin || key_line_end(&text, (size_t)(begin - line), KEY_BEGIN) == 0)
        return false;
    *inside = !find(line, len, KEY_END);
    return true;
}

/* Each returns where to go on; `at` when its rule does not apply. */

static size_t take_url(struct scan *scan, size_t at)
{
    struct redact_span password;

    if (at < scan->no_user || !starts_with(&scan->text, at, "://"))
        return at;
    if (redact_find_password(&scan->text, at + 3, &password, &scan->no_user)) {
        hide(scan, password.from, password.to);
        return password.to;
    }
    return at;
}

static bool is_key_char(char c)
{
    return redact_is_word(c) || c == '+' || c == '/' || c == '=' || c == '\n' || c == '\r';
}

/* Texts are cut at their beginnings too, so a key may have lost its first line: then what looks
 * like its body is hidden. */
static size_t take_pem(struct scan *scan, size_t at)
{
    size_t end = pem_end(&scan->text, at), from = at;

    if (end == 0) {
        end = key_line_end(&scan->text, at, KEY_END);
        while (end > 0 && from > scan->copied && is_key_char(scan->text.bytes[from - 1]))
            from--;
    }
    if (end == 0)
        return at;
    hide(scan, from, end);
    return end;
}

static size_t take_card(struct scan *scan, size_t at)
{
    struct redact_span digits;

    if (!redact_find_card(&scan->text, at, &digits))
        return at;
    hide(scan, digits.from, digits.to);
    return digits.to;
}

/* A word: it may be a secret, or announce one. */
static size_t take_word(struct scan *scan, size_t at)
{
    size_t end = redact_word_end(&scan->text, at);
    size_t begin_len = strlen(KEY_BEGIN) - 1, end_len = strlen(KEY_END) - 1; /* without the blank */
    struct redact_span secret;

    /* A key in JSON has its line ends as \n: the n is no part of its lines. */
    if (end - at > begin_len && starts_with(&scan->text, end - begin_len, KEY_BEGIN))
        return end - begin_len;
    if (end - at > end_len && starts_with(&scan->text, end - end_len, KEY_END))
        return end - end_len;
    if (redact_find_token(&scan->text, at, end, &secret) ||
        redact_find_credential(&scan->text, at, end, &secret) ||
        redact_find_value(&scan->text, at, end, &secret)) {
        if (secret.to > secret.from)
            hide(scan, secret.from, secret.to);
        return secret.to;
    }
    return end;
}

static size_t step(struct scan *scan, size_t at)
{
    char c = scan->text.bytes[at];
    size_t next = at;

    if (c == ':')
        next = take_url(scan, at);
    else if (c == '-')
        next = take_pem(scan, at);
    else if (c >= '0' && c <= '9')
        next = take_card(scan, at);
    if (next == at && redact_is_word(c))
        next = take_word(scan, at);
    return next > at ? next : at + 1;
}

static enum redact_result end_scan(struct scan *scan)
{
    if (!scan->changed)
        return REDACT_SAME;
    (void)buf_append(scan->out, scan->text.bytes + scan->copied, scan->text.len - scan->copied);
    if (!scan->out->failed)
        return REDACT_CHANGED;
    scan->out->len = scan->begin;
    return REDACT_FAILED;
}

static enum redact_result apply_rules(const char *text, size_t len, struct buf *out)
{
    struct scan scan = { .text = { text, len }, .out = out, .begin = out->len };
    bool failed = out->failed;
    enum redact_result result;

    out->failed = false;
    for (size_t at = 0; at < len;)
        at = step(&scan, at);
    result = end_scan(&scan);
    out->failed = failed;
    return result;
}

enum redact_result redact_text(const struct redact_patterns *patterns, const char *text, size_t len,
                               struct buf *out)
{
    size_t begin = out->len;
    enum redact_result result = apply_rules(text, len, out);

    if (!patterns || result == REDACT_FAILED)
        return result;
    return redact_apply_patterns(patterns, text, len, result, begin, out);
}
