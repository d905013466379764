/* Redis URLs. Only what drover can do is taken; a password is refused without repeating it. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/config/config.h"

#define REDIS_PORT    6379u
#define SENTINEL_PORT 26379u
#define REDIS_DB_MAX  65535u
#define UNIX_PATH_MAX 107u /* sun_path without its NUL (unix(7)) */
#define HOST_MAX      253u
#define USER_MAX      256u
#define MASTER_MAX    256u

struct parsed {
    enum config_redis_kind kind;
    char *username, *path, *master;
    struct config_node nodes[CONFIG_REDIS_NODES_MAX];
    size_t nodes_count;
    unsigned int db;
};

static void parsed_done(struct parsed *parsed)
{
    free(parsed->username);
    free(parsed->path);
    free(parsed->master);
    for (size_t i = 0; i < parsed->nodes_count; i++)
        free(parsed->nodes[i].host);
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

static int parse_host(const char *text, size_t len, char **out, struct error *err)
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
    *out = strndup(text, len);
    return *out ? 0 : error_set(err, -ENOMEM, "no memory for a Redis URL");
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

/* HOST, HOST:PORT, [V6], [V6]:PORT; one more node of `out`. */
static int parse_host_port(const char *text, size_t len, unsigned int default_port,
                           struct parsed *out, struct error *err)
{
    struct config_node *node = &out->nodes[out->nodes_count];
    const char *bracket = memchr(text, ']', len);
    const char *from = bracket ? bracket : text;
    const char *colon = memchr(from, ':', len - (size_t)(from - text));
    size_t host_len = colon ? (size_t)(colon - text) : len;
    unsigned int port = default_port;
    int result = parse_host(text, host_len, &node->host, err);

    if (result < 0)
        return result;
    out->nodes_count++;
    if (colon)
        result = parse_number(colon + 1, len - host_len - 1, 1, 65535, "port", &port, err);
    node->port = (uint16_t)port;
    return result;
}

static bool is_known(const struct parsed *parsed, const struct config_node *node)
{
    for (size_t i = 0; i < parsed->nodes_count; i++)
        if (&parsed->nodes[i] != node && parsed->nodes[i].port == node->port &&
            strcmp(parsed->nodes[i].host, node->host) == 0)
            return true;
    return false;
}

/* HOST:PORT,HOST:PORT,… */
static int parse_nodes(const char *text, size_t len, unsigned int default_port, struct parsed *out,
                       struct error *err)
{
    const char *end = text + len;
    int result = 0;

    for (bool last = false; result == 0 && !last;) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma ? comma : end;

        if (out->nodes_count == CONFIG_REDIS_NODES_MAX)
            return error_set(err, -EINVAL, "more than %d hosts", CONFIG_REDIS_NODES_MAX);
        result = parse_host_port(text, (size_t)(stop - text), default_port, out, err);
        if (result == 0 && is_known(out, &out->nodes[out->nodes_count - 1]))
            return error_set(err, -EINVAL, "the host %s:%u stands twice in it",
                             out->nodes[out->nodes_count - 1].host,
                             out->nodes[out->nodes_count - 1].port);
        last = !comma;
        text = stop + 1;
    }
    return result;
}

/* Takes "user@" off the front of `*rest`. */
static int take_user(const char **rest, struct parsed *out, struct error *err)
{
    /* The last @ ends the user: a password may hold one, and must not be taken for a host. */
    const char *at = strrchr(*rest, '@');
    int result;

    if (!at)
        return 0;
    result = parse_user(*rest, (size_t)(at - *rest), out, err);
    *rest = at + 1;
    return result;
}

static int refuse_query(const char *rest, struct error *err)
{
    if (strpbrk(rest, "?#"))
        return error_set(err, -EINVAL,
                         "nothing can follow the database number; other settings have keys");
    return 0;
}

static int parse_db(const char *text, struct parsed *out, struct error *err)
{
    if (!*text)
        return 0;
    return parse_number(text, strlen(text), 0, REDIS_DB_MAX, "database number", &out->db, err);
}

static int parse_tcp(const char *rest, struct parsed *out, struct error *err)
{
    const char *slash;
    size_t host_len;
    int result = take_user(&rest, out, err);

    if (result == 0)
        result = refuse_query(rest, err);
    if (result < 0)
        return result;
    slash = strchr(rest, '/');
    host_len = slash ? (size_t)(slash - rest) : strlen(rest);
    if (memchr(rest, ',', host_len))
        return error_set(err, -EINVAL,
                         "several hosts are Sentinels, redis+sentinel://HOST,HOST/MASTER, or a "
                         "cluster, redis+cluster://HOST,HOST");
    result = parse_host_port(rest, host_len, REDIS_PORT, out, err);
    return result < 0 || !slash ? result : parse_db(slash + 1, out, err);
}

/* HOST:PORT,…/MASTER, HOST:PORT,…/MASTER/DB */
static int parse_sentinel(const char *rest, struct parsed *out, struct error *err)
{
    const char *slash, *end;
    int result = take_user(&rest, out, err);

    out->kind = CONFIG_REDIS_SENTINEL;
    if (result == 0)
        result = refuse_query(rest, err);
    if (result < 0)
        return result;
    slash = strchr(rest, '/');
    if (!slash || !slash[1] || slash[1] == '/')
        return error_set(err, -EINVAL,
                         "the name under which the Sentinels know the master is missing: "
                         "redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB");
    result = parse_nodes(rest, (size_t)(slash - rest), SENTINEL_PORT, out, err);
    end = slash + 1 + strcspn(slash + 1, "/");
    if ((size_t)(end - slash - 1) > MASTER_MAX)
        return error_set(err, -EINVAL, "the master's name is longer than %u bytes", MASTER_MAX);
    if (result == 0)
        result = decode(slash + 1, (size_t)(end - slash - 1), "master's name", &out->master, err);
    return result < 0 || !*end ? result : parse_db(end + 1, out, err);
}

static int parse_cluster(const char *rest, struct parsed *out, struct error *err)
{
    int result = take_user(&rest, out, err);

    out->kind = CONFIG_REDIS_CLUSTER;
    if (result < 0)
        return result;
    if (strpbrk(rest, "/?#"))
        return error_set(err, -EINVAL,
                         "nothing can follow the hosts of a cluster: it has one database, and "
                         "other settings have keys");
    return parse_nodes(rest, strlen(rest), REDIS_PORT, out, err);
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
    if (strncmp(url, "redis+sentinel://", 17) == 0)
        return parse_sentinel(url + 17, out, err);
    if (strncmp(url, "redis+cluster://", 16) == 0)
        return parse_cluster(url + 16, out, err);
    if (strncmp(url, "rediss://", 9) == 0)
        return error_set(err, -EINVAL,
                         "rediss:// (TLS) is not in this version; use redis:// over a private "
                         "network or a tunnel");
    return error_set(err, -EINVAL,
                     "a Redis URL begins with redis://, unix://, redis+sentinel:// or "
                     "redis+cluster://, as in redis://127.0.0.1:6379/0");
}

void config_redis_forget_place(struct config_redis *endpoint)
{
    free(TAKE_PTR(endpoint->url));
    free(TAKE_PTR(endpoint->host));
    free(TAKE_PTR(endpoint->path));
    free(TAKE_PTR(endpoint->master));
    for (size_t i = 0; i < endpoint->nodes_count; i++)
        free(endpoint->nodes[i].host);
    free(TAKE_PTR(endpoint->nodes));
    endpoint->nodes_count = 0;
    endpoint->port = 0;
}

/* Hands over what was parsed; `nodes` is the endpoint's own memory for them, NULL where it has
 * none. */
static void take_parsed(struct config_redis *endpoint, struct parsed *parsed,
                        struct config_node *nodes)
{
    endpoint->kind = parsed->kind;
    endpoint->path = TAKE_PTR(parsed->path);
    endpoint->master = TAKE_PTR(parsed->master);
    endpoint->db = parsed->db;
    if (nodes) {
        memcpy(nodes, parsed->nodes, parsed->nodes_count * sizeof(*nodes));
        endpoint->nodes = nodes;
        endpoint->nodes_count = parsed->nodes_count;
    } else if (parsed->nodes_count > 0) {
        endpoint->host = parsed->nodes[0].host;
        endpoint->port = parsed->nodes[0].port;
    }
    parsed->nodes_count = 0;
    if (parsed->username) {
        free(endpoint->username);
        endpoint->username = TAKE_PTR(parsed->username);
    }
}

int config_parse_redis_url(const char *url, struct config_redis *endpoint, struct error *err)
{
    struct parsed parsed = { .kind = CONFIG_REDIS_SERVER };
    struct config_node *nodes = NULL;
    char *copy;
    int result = parse(url, &parsed, err);

    if (result < 0) {
        parsed_done(&parsed);
        return result;
    }
    assert(parsed.kind == CONFIG_REDIS_SERVER || parsed.nodes_count > 0);
    copy = strdup(url);
    if (parsed.kind != CONFIG_REDIS_SERVER)
        nodes = calloc(parsed.nodes_count, sizeof(*nodes));
    if (!copy || (parsed.kind != CONFIG_REDIS_SERVER && !nodes)) {
        free(copy);
        free(nodes);
        parsed_done(&parsed);
        return error_set(err, -ENOMEM, "no memory for a Redis URL");
    }
    config_redis_forget_place(endpoint);
    endpoint->url = copy;
    take_parsed(endpoint, &parsed, nodes);
    return 0;
}
