/* secret.h - where a secret is, and what it is; the second never gets into a finding.
 * In YAML stands a place (file:/PATH, cred:NAME, env:NAME), never the secret itself. */
#pragma once

#include "common/config/tree.h"

#define SECRET_BYTES_MAX 4096u

/* Resolves `place`. Returns the secret (malloc'ed, at least one byte, UTF-8, one line; free with
 * secret_free) or NULL with a finding made. */
char *secret_resolve(const char *place, const struct tree_mark *mark, const char *key,
                     struct findings *findings);

/* Overwrites, then frees; NULL is fine. */
void secret_free(char *secret);
