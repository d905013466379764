/* exec_status.h - what drover-exec tells its worker about a program that it could not start.
 * One struct exec_status on the status descriptor, then end of file. End of file without it means
 * that the program runs: the descriptor is close-on-exec. */
#pragma once

#include <stdint.h>

#define EXEC_STATUS_FD 3  /* where drover-exec finds the descriptor */
#define EXEC_EXIT_CODE 71 /* EX_OSERR, how drover-exec ends after reporting */

/* The numbers stay, whatever the order in which the steps are done (main.c). */
enum exec_step {
    EXEC_STEP_ARGUMENTS = 1, /* drover-exec was called wrongly */
    EXEC_STEP_GROUP,         /* a process group of its own */
    EXEC_STEP_DEATH_SIGNAL,  /* PR_SET_PDEATHSIG, or the worker was dead already */
    EXEC_STEP_PRIVILEGES,    /* PR_SET_NO_NEW_PRIVS */
    EXEC_STEP_SIGNALS,
    EXEC_STEP_DESCRIPTORS,
    EXEC_STEP_DIRECTORY,
    EXEC_STEP_EXEC,
    EXEC_STEP_LIMIT, /* setrlimit; `detail` says which */
    EXEC_STEP_NICE,
    EXEC_STEP_USER_GROUPS,  /* supplementary groups and group of the other user */
    EXEC_STEP_USER,         /* its uid */
    EXEC_STEP_CAPABILITIES, /* giving them up, and seeing that they are gone */
    EXEC_STEP_COUNT
};

struct exec_status {
    int32_t step;   /* enum exec_step */
    int32_t code;   /* errno, > 0 */
    int32_t detail; /* EXEC_STEP_LIMIT: enum resource; else 0 */
};
