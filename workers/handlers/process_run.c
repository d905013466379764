/* process_run.c - the lists that a run of the process handler goes through. */
#include <stdlib.h>

#include "workers/handlers/process_state.h"

void run_push_back(struct run_list *list, struct handler_run *run)
{
    run->list = list;
    run->next = NULL;
    run->prev = list->last;
    *(run->prev ? &run->prev->next : &list->first) = run;
    list->last = run;
    list->count++;
}

void run_push_front(struct run_list *list, struct handler_run *run)
{
    run->list = list;
    run->prev = NULL;
    run->next = list->first;
    *(run->next ? &run->next->prev : &list->last) = run;
    list->first = run;
    list->count++;
}

void run_remove(struct handler_run *run)
{
    struct run_list *list = run->list;

    *(run->prev ? &run->prev->next : &list->first) = run->next;
    *(run->next ? &run->next->prev : &list->last) = run->prev;
    list->count--;
    run->list = NULL;
}

void run_finish(struct handler *handler, struct handler_run *run,
                const struct handler_outcome *outcome)
{
    run->events->on_outcome(run, outcome, run->arg);
    run_push_back(&handler->spare, run);
}
