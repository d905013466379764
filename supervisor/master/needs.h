/* needs.h - what a configuration takes that an ordinary process may not do: other users, higher
 * limits, a lower nice value. Looked at before anything is started, so that a configuration that
 * cannot be obeyed is refused as a whole, with the place in the file, and does not fail job by job.
 */
#pragma once

#include "common/config/config.h"

/* Adds a finding for each value that droverd, as it runs, may not obey. Returns 0, -EINVAL when
 * there was one, -ENOMEM. Keeps no state: may run beside the loop. */
MUST_CHECK int needs_check(const struct config *config, struct config_report *report);

/* Capabilities that the workers of this queue keep (bits as in common/process/privileges.h): what
 * its handlers take and droverd has. 0 for most. */
uint64_t needs_of_workers(const struct config *config, const struct config_queue *queue);

/* True when workers, and handlers without a user, would run as root. */
bool needs_leave_root(const struct config *config);
