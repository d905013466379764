/* undumpable.h - for processes that hold secrets (the master and the workers hold passwords).
 * No core file, no ptrace and no reading of /proc/PID/mem by processes of the same user. A program
 * started by exec is dumpable again, so handlers are not touched. */
#pragma once

/* From now on. Does nothing in a build with AddressSanitizer: its leak check traces the process. */
void undumpable_begin(void);
