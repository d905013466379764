#include "common/config/open_log.h"

#include "common/base/log.h"

int config_open_log(const struct config *config, const char *identifier, struct error *err)
{
    log_set_identifier(identifier);
    log_open(STDERR_FILENO, (enum log_format)config->log_format, (enum log_level)config->log_level);
    log_set_limit(config->log_burst, config->log_interval_ms);
    return log_set_patterns(config->log_redact, err);
}
