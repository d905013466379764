/* queues.h - finding queues and their workers: what status and job share. */
#pragma once

#include "supervisor/cli/connect.h"

/* Names of queues; free with cli_names_done. */
struct cli_names {
    char **items;
    size_t count;
};

void cli_names_done(struct cli_names *names);
/* Adds a copy unless it is there already. False on no memory. */
bool cli_names_add(struct cli_names *names, const char *name, size_t len);

/* The queues of this endpoint: those of the configuration, or with --redis those that have a `meta`
 * key under the prefix (a stock Queue and drover's add write it), found by SCAN, in order. 0, or an
 * exit code. */
int cli_find_queues(struct cli_session *session, struct cli_names *out);

/* Names of queues that were given to a command; none stands for all. With --redis any name is good,
 * with a configuration it must be in it: 0, or an exit code after it was told. */
int cli_check_names(const struct cli_target *target, const char *const *names, size_t names_count);
/* Whether one of the names is a queue of this endpoint of the configuration. */
bool cli_is_wanted(const struct cli_target *target, const char *const *names, size_t names_count,
                   const struct config_redis *endpoint);
/* Those that are of the session's endpoint; without names cli_find_queues. 0, or an exit code. */
int cli_pick_queues(struct cli_session *session, const char *const *names, size_t names_count,
                    struct cli_names *out);

/* What CLIENT LIST says, for counting workers by their names (wire format 8.14). */
struct cli_clients {
    char *list; /* NULL when the server does not tell (ACL) */
};
/* 0, or an exit code. */
int cli_list_clients(struct cli_session *session, struct cli_clients *out);
/* Workers of a queue, stock ones included; `base` is queue_worker_client_name(queue, NULL). */
uint64_t cli_count_workers(const struct cli_clients *clients, const char *base);
