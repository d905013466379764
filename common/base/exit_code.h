/* exit_code.h - how drover's programs end, for the shell, systemd and the master.
 * The master never restarts a worker that ended with a code marked "never restart". */
#pragma once

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILED = 1, /* the thing asked for failed; stderr says why */
    EXIT_CODE_USAGE = 64, /* EX_USAGE: bad command line */
    EXIT_CODE_UNAVAILABLE =
        69,                  /* EX_UNAVAILABLE: a server or program that is needed is not there */
    EXIT_CODE_SOFTWARE = 70, /* EX_SOFTWARE: a broken internal promise */
    EXIT_CODE_SUPERVISOR_LOST = 71, /* a worker whose channel reached its end: its master is gone */
    EXIT_CODE_FENCED =
        72, /* a worker that was declared dead while it lived: its jobs are others' */
    EXIT_CODE_CONFIG = 78, /* EX_CONFIG: bad configuration; never restart */
};

/* The word for logs and help ("config" for 78); NULL for a code that is not in the list above. */
const char *exit_code_name(int code);

/* True for codes after which starting the same program again cannot go better. */
_Bool exit_code_is_final(int code);
