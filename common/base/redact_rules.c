#include "common/base/redact_rules.h"

#include <string.h>
#include <strings.h>

/* ---- words */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

bool redact_is_word(char c)
{
    return is_digit(c) || is_upper(c) || is_lower(c) || c == '_' || c == '-';
}

size_t redact_word_end(const struct redact_text *text, size_t at)
{
    while (at < text->len && redact_is_word(text->bytes[at]))
        at++;
    return at;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* What ends a value that stands without quotes. */
static bool ends_bare(char c)
{
    return (unsigned char)c <= ' ' || strchr(",;&\"'`)]}<>", c) != NULL;
}

static bool ends_line(char c)
{
    return c == '\n' || c == '\r' || c == '"' || c == '\'' || c == '\0';
}

/* At most `most` blanks are skipped, so that looking ahead is bounded. */
static size_t skip_blanks(const struct redact_text *text, size_t at, size_t most)
{
    for (; most > 0 && at < text->len && is_blank(text->bytes[at]); most--)
        at++;
    return at;
}

static size_t bare_end(const struct redact_text *text, size_t at)
{
    while (at < text->len && !ends_bare(text->bytes[at]))
        at++;
    return at;
}

/* ---- passwords in URLs */

/* RFC 3986 ends the authority at one of /?#, but people write passwords with these characters
 * unescaped: only a number between the first colon and one of them is a port. */
bool redact_find_password(const struct redact_text *text, size_t at, struct redact_span *out,
                          size_t *out_seen)
{
    size_t colon = 0, sign = 0, end = at;
    bool is_port = true; /* digits only since the colon */

    for (; end < text->len && (unsigned char)text->bytes[end] > ' ' &&
           !strchr("\"'`<>", text->bytes[end]);
         end++) {
        char c = text->bytes[end];

        if (c == '@')
            sign = end;
        else if ((colon == 0 && c == '[') || (is_port && strchr("/?#,", c)))
            break; /* no user, or a name alone */
        if (colon > 0)
            is_port = is_port && is_digit(c);
        else if (c == ':')
            colon = end;
    }
    *out_seen = end;
    if (colon == 0 || sign <= colon + 1)
        return false;
    *out = (struct redact_span){ colon + 1, sign };
    return strncmp(text->bytes + colon + 1, REDACT_MARK "@", sizeof REDACT_MARK) != 0;
}

/* ---- card numbers (ISO/IEC 7812-1) */

#define CARD_DIGITS_MIN 13
#define CARD_DIGITS_MAX 19
#define CARD_GROUPS_MAX 5
#define CARD_KEPT       4

static bool luhn_is_good(const char *digits, size_t count)
{
    unsigned int sum = 0;

    for (size_t i = 0; i < count; i++) {
        unsigned int digit = (unsigned int)(digits[count - 1 - i] - '0');

        if (i % 2 == 1)
            digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
        sum += digit;
    }
    return sum % 10 == 0;
}

/* One number in ten passes Luhn's test, so times in ms, µs and ns since 1970, which begin with 1,
 * must not be looked at: cards that people pay with begin with 2 to 6, those of 13 digits with 4.
 */
static bool is_card(const char *digits, size_t count)
{
    return count >= CARD_DIGITS_MIN && count <= CARD_DIGITS_MAX && digits[0] >= '2' &&
           digits[0] <= '6' && (count > CARD_DIGITS_MIN || digits[0] == '4') &&
           luhn_is_good(digits, count);
}

/* Digits in one piece, or in groups with the same separator as cards have them: a first one of
 * four, the others of two to seven. */
static size_t read_groups(const struct redact_text *text, size_t at, char digits[CARD_DIGITS_MAX],
                          size_t *out_end)
{
    size_t count = 0, groups = 0, in_group = 0;
    char between = '\0';

    for (; at < text->len; at++) {
        char c = text->bytes[at];

        if (is_digit(c)) {
            if (count == CARD_DIGITS_MAX)
                return 0;
            digits[count++] = c;
            in_group++;
        } else if ((c == ' ' || c == '-') && at + 1 < text->len && is_digit(text->bytes[at + 1]) &&
                   (groups == 0 ? in_group == 4 : in_group >= 2 && in_group <= 7 && c == between)) {
            if (++groups == CARD_GROUPS_MAX)
                return 0;
            between = c;
            in_group = 0;
        } else {
            break;
        }
    }
    *out_end = at;
    return at < text->len && redact_is_word(text->bytes[at]) ? 0 : count;
}

static bool is_inside_word(const struct redact_text *text, size_t at)
{
    return at > 0 && (redact_is_word(text->bytes[at - 1]) || text->bytes[at - 1] == '.');
}

bool redact_find_card(const struct redact_text *text, size_t at, struct redact_span *out)
{
    char digits[CARD_DIGITS_MAX] = { 0 };
    size_t end = at, kept = 0;

    if (is_inside_word(text, at) || !is_card(digits, read_groups(text, at, digits, &end)))
        return false;
    for (; kept < CARD_KEPT; end--)
        kept += is_digit(text->bytes[end - 1]);
    *out = (struct redact_span){ at, end };
    return true;
}

/* ---- JSON web tokens (RFC 7519): eyJ… is {"… in base64url */

static bool is_token_part(const struct redact_text *text, size_t at)
{
    return text->len - at > 10 && memcmp(text->bytes + at, "eyJ", 3) == 0;
}

bool redact_find_token(const struct redact_text *text, size_t at, size_t end,
                       struct redact_span *out)
{
    size_t second = end + 1;

    if (!is_token_part(text, at) || end >= text->len || text->bytes[end] != '.' ||
        second >= text->len || !redact_is_word(text->bytes[second]))
        return false;
    *out = (struct redact_span){ at, end };
    while (out->to < text->len && text->bytes[out->to] == '.') /* three parts, or five (RFC 7516) */
        out->to = redact_word_end(text, out->to + 1);
    return true;
}

/* ---- credentials after their scheme (RFC 7235) */

static bool is_credential_char(char c)
{
    return redact_is_word(c) || strchr("._~+/=", c) != NULL;
}

/* "Bearer of news", "Basic authentication" are prose: a credential is long, and has a digit, a = at
 * its end, or capital letters inside. */
static bool looks_random(const char *bytes, size_t len)
{
    bool odd = false;

    for (size_t i = 1; i < len; i++)
        odd |= is_digit(bytes[i]) || is_upper(bytes[i]) || bytes[i] == '=';
    return len >= 8 && (odd || is_digit(bytes[0]));
}

static bool is_word_of(const struct redact_text *text, size_t at, size_t end,
                       const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(words[i]) == end - at && strncasecmp(text->bytes + at, words[i], end - at) == 0)
            return true;
    return false;
}

static bool is_scheme(const struct redact_text *text, size_t at, size_t end)
{
    static const char *const schemes[] = { "bearer", "basic", "digest", "negotiate" };

    return is_word_of(text, at, end, schemes, ARRAY_SIZE(schemes));
}

bool redact_find_credential(const struct redact_text *text, size_t at, size_t end,
                            struct redact_span *out)
{
    size_t from = skip_blanks(text, end, 2), to;

    if (from == end || !is_scheme(text, at, end))
        return false;
    for (to = from; to < text->len && text->bytes[to] && is_credential_char(text->bytes[to]);)
        to++;
    *out = (struct redact_span){ from, to };
    if (looks_random(text->bytes + from, to - from))
        return true;
    out->to = from; /* prose: an empty span, and on with what follows */
    return true;
}

/* ---- keys that are named like a secret */

/* How names end, in lower case and without _ and -. `apart`: only as a word of its own, as in
 * db_pwd or userPass; the others are part of no other word. `line`: the value has blanks in it. */
static const struct {
    const char *name;
    bool apart, line;
} secret_names[] = {
    { "password", false, false },    { "passwd", false, false },
    { "passphrase", false, false },  { "pwd", true, false },
    { "pass", true, false },         { "secret", false, false },
    { "secrets", true, false },      { "token", false, false },
    { "apikey", false, false },      { "privatekey", false, false },
    { "accesskey", false, false },   { "secretkey", false, false },
    { "accesskeyid", false, false }, { "encryptionkey", false, false },
    { "signingkey", false, false },  { "credential", false, false },
    { "credentials", false, false }, { "authorization", false, true },
    { "cookie", false, true },       { "cookies", true, true },
    { "sessionid", true, false },    { "connectionstring", false, true },
    { "cvv", true, false },          { "cvc", true, false },
};

static char lower(char c)
{
    return is_upper(c) ? (char)(c - 'A' + 'a') : c;
}

/* Does [at, end) end with `name`, whatever _ and - are in it? */
static bool ends_with(const struct redact_text *text, size_t at, size_t end, const char *name,
                      bool apart)
{
    size_t left = strlen(name), i = end;

    while (left > 0 && i > at) {
        char c = text->bytes[i - 1];

        if (c == '_' || c == '-') {
            if (left == strlen(name))
                return false;
        } else if (lower(c) != name[--left]) {
            return false;
        }
        i--;
    }
    if (left > 0)
        return false;
    return !apart || i == at || !redact_is_word(text->bytes[i - 1]) || text->bytes[i - 1] == '_' ||
           text->bytes[i - 1] == '-' || (is_upper(text->bytes[i]) && !is_upper(text->bytes[i - 1]));
}

/* The row of secret_names; -1 when it is none. */
static int find_name(const struct redact_text *text, size_t at, size_t end)
{
    for (size_t i = 0; i < ARRAY_SIZE(secret_names); i++)
        if (ends_with(text, at, end, secret_names[i].name, secret_names[i].apart))
            return (int)i;
    return -1;
}

/* The quotes that begin at `at`: ", ' or the \" of JSON within JSON. Returns their length. */
static size_t quote_at(const struct redact_text *text, size_t at)
{
    size_t slash = at;

    while (slash < text->len && slash - at < 4 && text->bytes[slash] == '\\')
        slash++;
    if (slash < text->len && (text->bytes[slash] == '"' || text->bytes[slash] == '\''))
        return slash - at + 1;
    return 0;
}

/* Where the value after the key begins; 0 when what follows is no value. */
static size_t value_begin(const struct redact_text *text, size_t at, size_t end)
{
    size_t i = end + quote_at(text, end);

    i = skip_blanks(text, i, 4);
    if (i < text->len && (text->bytes[i] == '=' || text->bytes[i] == ':')) {
        i++;
        if (i < text->len && (text->bytes[i] == '>' || text->bytes[i] == '='))
            i++; /* => and :=, == */
        return skip_blanks(text, i, 8);
    }
    /* --password VALUE */
    if (i > end && text->bytes[at] == '-' && end - at > 2 && i < text->len && text->bytes[i] != '-')
        return i;
    return 0;
}

/* Where a value in quotes ends: at the same quotes, not escaped further. */
static size_t quoted_end(const struct redact_text *text, size_t at, size_t quote_len)
{
    char quote = text->bytes[at - 1];
    size_t slashes = 0;

    for (; at < text->len; at++) {
        if (text->bytes[at] == quote && slashes < quote_len)
            return at - (quote_len - 1 < slashes ? quote_len - 1 : slashes);
        slashes = text->bytes[at] == '\\' ? slashes + 1 : 0;
        if (slashes >= 2 * quote_len) /* an escaped backslash */
            slashes = 0;
    }
    return text->len;
}

/* Where an object or a list ends: brackets inside quotes count too, which hides too much rather
 * than too little. */
static size_t nested_end(const struct redact_text *text, size_t at)
{
    size_t depth = 0;

    for (; at < text->len; at++) {
        if (strchr("{[", text->bytes[at]) && text->bytes[at])
            depth++;
        else if (strchr("}]", text->bytes[at]) && text->bytes[at] && --depth == 0)
            return at + 1;
    }
    return text->len;
}

static size_t line_end(const struct redact_text *text, size_t at)
{
    while (at < text->len && !ends_line(text->bytes[at]))
        at++;
    return at;
}

/* Says nothing of a secret. */
static bool is_harmless(const struct redact_text *text, struct redact_span span)
{
    static const char *const words[] = { "null",  "none",      "nil", "undefined", "true",
                                         "false", REDACT_MARK, "***", "<nil>" };

    return is_word_of(text, span.from, span.to, words, ARRAY_SIZE(words));
}

static struct redact_span value_span(const struct redact_text *text, size_t from, bool whole_line)
{
    size_t quote_len = quote_at(text, from);
    struct redact_span span = { from, from };

    if (from >= text->len)
        return span;
    if (quote_len > 0) {
        span.from += quote_len;
        span.to = quoted_end(text, span.from, quote_len);
    } else if (text->len - from >= strlen(REDACT_MARK) &&
               memcmp(text->bytes + from, REDACT_MARK, strlen(REDACT_MARK)) == 0) {
        span.to += strlen(REDACT_MARK);
    } else if (text->bytes[from] == '{' || text->bytes[from] == '[') {
        span.to = nested_end(text, from);
    } else {
        span.to = whole_line ? line_end(text, from) : bare_end(text, from);
        if (!whole_line && is_scheme(text, from, span.to)) /* token: Bearer … */
            span.to = bare_end(text, skip_blanks(text, span.to, 2));
    }
    return span;
}

bool redact_find_value(const struct redact_text *text, size_t at, size_t end,
                       struct redact_span *out)
{
    size_t from;
    int row;

    /* Most words are no keys: the cheap question first. */
    from = value_begin(text, at, end);
    if (from == 0)
        return false;
    row = find_name(text, at, end);
    if (row < 0)
        return false;
    *out = value_span(text, from, secret_names[row].line);
    if (out->to <= out->from || is_harmless(text, *out))
        out->from = out->to;
    return true;
}
