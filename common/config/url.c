/* Redis URLs. Only what drover can do is taken; a password is refused without repeating it. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/config/config.h"

#define REDIS_PORT    6379u
#define REDIS_DB_MAX  65535u
#define UNIX_PATH_MAX 107u /* sun_path without its NUL (unix(7)) */
#define HOST_MAX      253u
#define USER_MAX      256u

struct parsed {
    char *username, *host, *path;
    unsigned int port, db;
};

static void parsed_done(struct parsed *parsed)
{
    free(parsed->username);
    free(parsed->host);
    free(parsed->path);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes %XX into `out` (len + 1 bytes) and checks what comes out. */
static int decode_into(char *out, const char *text, size_t len, const char *part, struct error *err)
{
    size_t used = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '%' && i + 2 < len && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
            c = (unsigned char)(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
            i += 2;
        } else if (c == '%') {
            return error_set(err, -EINVAL, "the %s has a %% without two hexadecimal digits", part);
        }
        if (c <= ' ' || c == 0x7f)
            return error_set(err, -EINVAL, "the %s has a blank or control character", part);
        out[used++] = (char)c;
    }
    out[used] = '\0';
    if (text_utf8_prefix(out, used) != used)
        return error_set(err, -EINVAL, "the %s is not UTF-8", part);
    return 0;
}

/* Copies `len` bytes with %XX decoded. */
static int decode(const char *text, size_t len, const char *part, char **out, struct error *err)
{
    _cleanup_(freep) char *copy = malloc(len + 1);
    int result;

    if (!copy)
        return error_set(err, -ENOMEM, "no memory for a Redis URL");
    result = decode_into(copy, text, len, part, err);
    if (result == 0)
        *out = TAKE_PTR(copy);
    return result;
}

static int parse_number(const char *text, size_t len, uint64_t min, uint64_t max, const char *part,
                        unsigned int *out, struct error *err)
{
    uint64_t value = 0;

    if (text_parse_uint(text, len, &value) < 0 || value < min || value > max)
        return error_set(err, -EINVAL, "the %s must be a number from %u to %u", part,
                         (unsigned int)min, (unsigned int)max);
    *out = (unsigned int)value;
    return 0;
}

static int parse_host(const char *text, size_t len, struct parsed *out, struct error *err)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._";
    static const char hex_letters[] = "ABCDEFabcdef0123456789:.%";
    bool bracket = len && text[0] == '[';
    const char *allowed = bracket ? hex_letters : letters;

    if (bracket) {
        if (text[len - 1] != ']' || len < 3)
            return error_set(err, -EINVAL, "an IPv6 address needs brackets: redis://[::1]:6379/0");
        text++;
        len -= 2;
    }
    if (!len)
        return error_set(err, -EINVAL, "the host is missing: redis://HOST:PORT/DB");
    if (len > HOST_MAX)
        return error_set(err, -EINVAL, "the host is longer than 253 characters");
    for (size_t i = 0; i < len; i++)
        if (!strchr(allowed, text[i]))
            return error_set(err, -EINVAL, "the host has a character that no host name has");
    out->host = strndup(text, len);
    return out->host ? 0 : error_set(err, -ENOMEM, "no memory for a Redis URL");
}

static int parse_user(const char *text, size_t len, struct parsed *out, struct error *err)
{
    if (memchr(text, ':', len))
        return error_set(err, -EINVAL,
                         "a password stands in the URL, where process lists and logs would show "
                         "it; take it out and name its place: password: file:/PATH, cred:NAME or "
                         "env:NAME");
    if (!len || len > USER_MAX)
        return error_set(err, -EINVAL, "the user before @ is empty or too long");
    return decode(text, len, "user", &out->username, err);
}

/* HOST, HOST:PORT, [V6], [V6]:PORT */
static int parse_host_port(const char *text, size_t len, struct parsed *out, struct error *err)
{
    const char *bracket = memchr(text, ']', len);
    const char *from = bracket ? bracket : text;
    const char *colon = memchr(from, ':', len - (size_t)(from - text));
    size_t host_len = colon ? (size_t)(colon - text) : len;
    int result = parse_host(text, host_len, out, err);

    if (result < 0)
        return result;
    out->port = REDIS_PORT;
    if (!colon)
        return 0;
    return parse_number(colon + 1, len - host_len - 1, 1, 65535, "port", &out->port, err);
}

static int parse_tcp(const char *rest, struct parsed *out, struct error *err)
{
    /* The last @ ends the user: a password may hold one, and must not be taken for a host. */
    const char *at = strrchr(rest, '@');
    const char *slash;
    size_t host_len;
    int result;

    if (at) {
        result = parse_user(rest, (size_t)(at - rest), out, err);
        if (result < 0)
            return result;
        rest = at + 1;
    }
    if (strpbrk(rest, "?#"))
        return error_set(err, -EINVAL,
                         "nothing can follow the database number; other settings have keys");
    slash = strchr(rest, '/');
    host_len = slash ? (size_t)(slash - rest) : strlen(rest);
    result = parse_host_port(rest, host_len, out, err);
    if (result < 0 || !slash || !slash[1])
        return result;
    return parse_number(slash + 1, strlen(slash + 1), 0, REDIS_DB_MAX, "database number", &out->db,
                        err);
}

static int parse_unix(const char *rest, struct parsed *out, struct error *err)
{
    size_t path_len = strcspn(rest, "?#");
    const char *query = rest + path_len;
    int result = 0;

    if (rest[0] != '/')
        return error_set(err, -EINVAL,
                         "the socket needs an absolute path: unix:///run/redis/redis.sock");
    if (*query && strncmp(query, "?db=", 4) != 0)
        return error_set(err, -EINVAL,
                         "only ?db=NUMBER can follow the path; other settings have keys");
    if (*query)
        result = parse_number(query + 4, strlen(query + 4), 0, REDIS_DB_MAX, "database number",
                              &out->db, err);
    if (result < 0)
        return result;
    result = decode(rest, path_len, "path", &out->path, err);
    if (result < 0)
        return result;
    assert(out->path);
    if (strlen(out->path) > UNIX_PATH_MAX)
        return error_set(err, -EINVAL, "the socket's path is longer than 107 bytes");
    return 0;
}

static int parse(const char *url, struct parsed *out, struct error *err)
{
    if (strncmp(url, "redis://", 8) == 0)
        return parse_tcp(url + 8, out, err);
    if (strncmp(url, "unix://", 7) == 0)
        return parse_unix(url + 7, out, err);
    if (strncmp(url, "rediss://", 9) == 0)
        return error_set(err, -EINVAL,
                         "rediss:// (TLS) is not in this version; use redis:// over a private "
                         "network or a tunnel");
    return error_set(err, -EINVAL,
                     "a Redis URL begins with redis:// or unix://, as in redis://127.0.0.1:6379/0");
}

int config_parse_redis_url(const char *url, struct config_redis *endpoint, struct error *err)
{
    struct parsed parsed = { 0 };
    char *copy;
    int result = parse(url, &parsed, err);

    if (result < 0) {
        parsed_done(&parsed);
        return result;
    }
    copy = strdup(url);
    if (!copy) {
        parsed_done(&parsed);
        return error_set(err, -ENOMEM, "no memory for a Redis URL");
    }
    free(endpoint->url);
    free(endpoint->host);
    free(endpoint->path);
    endpoint->url = copy;
    endpoint->host = parsed.host;
    endpoint->path = parsed.path;
    endpoint->port = (uint16_t)parsed.port;
    endpoint->db = parsed.db;
    if (parsed.username) {
        free(endpoint->username);
        endpoint->username = parsed.username;
    }
    return 0;
}
