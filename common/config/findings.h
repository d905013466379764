/* findings.h - collects what is wrong with a configuration, all of it, in one run.
 * Invariant: adding never fails for the caller; what did not fit or found no memory is remembered
 * and told by findings_take. The same finding (of a value that many queues inherit) is kept once.
 */
#pragma once

#include "common/config/config.h"

/* A place in a file; line and column from 1, or 0 when the value came from the command line. */
struct tree_mark {
    const char *file; /* borrowed from the loader, which outlives trees and findings */
    unsigned int line, column;
};

#define FINDINGS_MAX 500 /* more are counted, not kept */

struct finding_row {
    struct config_finding finding;
    size_t rank; /* order of the files */
    size_t seq;
};

struct findings {
    struct finding_row *rows;
    size_t count, cap;
    size_t dropped;             /* over FINDINGS_MAX */
    const char *files[2 + 256]; /* order of files for sorting; borrowed */
    size_t files_count;
    bool out_of_memory;
    bool muted;   /* a second pass over values that were already judged */
    bool outside; /* systemd's credentials are not for this process (config_inspect) */
    char **credentials;
    size_t credentials_count;
};

void findings_init(struct findings *findings);
void findings_done(struct findings *findings);

/* Files are reported in the order in which they were named here. */
void findings_add_file(struct findings *findings, const char *file);

void findings_error(struct findings *findings, const struct tree_mark *mark, const char *key,
                    const char *format, ...) PRINTF_LIKE(4, 5);
void findings_warning(struct findings *findings, const struct tree_mark *mark, const char *key,
                      const char *format, ...) PRINTF_LIKE(4, 5);

/* The file asks for this systemd credential. */
void findings_add_credential(struct findings *findings, const char *name);

/* Moves everything, sorted by file and place, into `report`. Returns 0, -EINVAL when there are
 * errors, -ENOMEM when the report is not complete for want of memory. */
MUST_CHECK int findings_take(struct findings *findings, struct config_report *report);
