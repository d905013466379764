#include "common/redis/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>

struct resolve {
    uv_getaddrinfo_t request;
    resolve_cb *on_done; /* NULL once abandoned */
    void *arg;
};

bool resolve_literal(const char *host, struct resolve_result *out)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (uv_ip4_addr(host, 0, &v4) != 0 && uv_ip6_addr(host, 0, &v6) != 0)
        return false;
    if (strlen(host) >= RESOLVE_ADDRESS_BYTES)
        return false;
    out->count = 1;
    (void)snprintf(out->addresses[0], RESOLVE_ADDRESS_BYTES, "%s", host);
    return true;
}

static void collect(const struct addrinfo *list, struct resolve_result *out)
{
    for (; list && out->count < RESOLVE_ADDRESSES_MAX; list = list->ai_next) {
        if (list->ai_family != AF_INET && list->ai_family != AF_INET6)
            continue;
        if (getnameinfo(list->ai_addr, list->ai_addrlen, out->addresses[out->count],
                        RESOLVE_ADDRESS_BYTES, NULL, 0, NI_NUMERICHOST) == 0)
            out->count++;
    }
}

static void on_addresses(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct resolve *resolve = request->data;
    struct resolve_result result = { .count = 0 };

    if (resolve->on_done) {
        if (status == 0)
            collect(list, &result);
        if (status < 0)
            resolve->on_done(&result, uv_strerror(status), resolve->arg);
        else
            resolve->on_done(&result, result.count > 0 ? NULL : "no IPv4 or IPv6 address",
                             resolve->arg);
    }
    uv_freeaddrinfo(list);
    free(resolve);
}

int resolve_start(uv_loop_t *loop, const char *host, resolve_cb *on_done, void *arg,
                  struct resolve **out, struct error *err)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct resolve *resolve = calloc(1, sizeof(*resolve));
    int r = 0;

    if (!resolve)
        return error_set(err, -ENOMEM, "allocate a name look-up");
    resolve->request.data = resolve;
    resolve->on_done = on_done;
    resolve->arg = arg;
    r = uv_getaddrinfo(loop, &resolve->request, on_addresses, host, NULL, &hints);
    if (r < 0) {
        free(resolve);
        return error_set(err, r, "look up %s: %s", host, uv_strerror(r));
    }
    *out = resolve;
    return 0;
}

void resolve_abandon(struct resolve *resolve)
{
    if (!resolve)
        return;
    resolve->on_done = NULL;
    (void)uv_cancel((uv_req_t *)&resolve->request); /* works only before a thread took it up */
}
