/* ps.h - what `drover ps` shows: worker processes of this host, as droverd answers (rows of
 * docs/protocols/control.md), or of all hosts, as the registry in Redis knows them. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "common/base/buf.h"
#include "common/queue/queue.h"
#include "supervisor/cli/connect.h"

/* A process that has said nothing for so long is marked: it beats every 2 s. */
#define PS_SILENT_MS 8000

/* Sorts an array of process rows by queue, host, slot and age. False on no memory. */
bool ps_sort(json_t *processes);

/* Tables for people; rows are sorted. `now_ms`: wall time. */
void ps_print_processes(const json_t *processes, uint64_t now_ms, struct buf *out);
void ps_print_jobs(const json_t *processes, struct buf *out);
void ps_print_recoveries(const json_t *recoveries, struct buf *out);
void ps_print_cluster(const json_t *processes, uint64_t now_ms, struct buf *out);

/* The row of a process of the registry (new); NULL on no memory. */
json_t *ps_cluster_row(const char *queue, const struct worker_entry *entry);
/* Adds the rows of all wanted queues (none named: all) to `processes`. 0, or an exit code. */
int ps_look_at_cluster(const struct cli_target *target, const char *const *names,
                       size_t names_count, json_t *processes);
