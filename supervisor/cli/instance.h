/* instance.h - which of several droverd on a host a command means: `drover --instance NAME …`, or
 * DROVER_INSTANCE. An instance is drover@NAME.service: /etc/drover/NAME/drover.yaml and
 * /run/drover-NAME/control (systemd/meson.build). Without a name: drover.service and its paths. */
#pragma once

#include <stdbool.h>

#define INSTANCE_NAME_MAX   64
#define INSTANCE_UNIT_BYTES (INSTANCE_NAME_MAX + 32)

/* Makes all of this process mean that instance. False when it is no name: letters, digits, - _ .
 * only, not beginning with a dot. */
bool instance_choose(const char *name);

/* NULL when none was chosen. An unusable DROVER_INSTANCE is told by main before any command runs.
 */
const char *instance_name(void);

/* Of the instance, or of drover itself. The texts live as long as the process. */
const char *instance_config_file(void);
const char *instance_socket(void);
/* "drover.service", "drover@NAME.service"; returns `out`. */
const char *instance_unit(char out[INSTANCE_UNIT_BYTES]);
