/* reference.h - the table as pages: docs/configuration.md and the man page drover.yaml(5).
 * Both are generated; a test compares the committed page with what the table says. */
#pragma once

#include "common/base/buf.h"

enum reference_form { REFERENCE_MARKDOWN, REFERENCE_MAN };

/* Appends the whole page; out->failed tells when it did not fit. */
void reference_print(enum reference_form form, struct buf *out);
