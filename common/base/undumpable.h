/* undumpable.h - for processes that hold secrets (the master and the workers hold passwords).
 * No core file, no ptrace and no reading of /proc/PID/mem by processes of the same user. A program
 * started by exec is dumpable again, so handlers are not touched. */
#pragma once

/* From now on; to be called after a change of user, which sets it anew. In a build with
 * AddressSanitizer it makes the process dumpable: the leak check traces it. */
void undumpable_begin(void);
