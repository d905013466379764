/* scenario.h - a transition told line by line: what lies in Redis, which calls come, what must be
 * there afterwards. The scripts run over a blocking connection, exactly as they were built in.
 *
 * Words are separated by blanks; "a b" is one word. In Redis commands `:x` is the key bull:q:x and
 * `$x` is drover:{bull:q}:x. Job ids are any word; the process is called U, its locks U:<n>.
 *
 *   job ID [field=value...]       a hash with the six base fields (and others)
 *   active ID [field=value...]    the same, and it is in `active`, locked by U:1, with ats=1
 *   fill ID COUNT                 COUNT jobs ID1, ID2... in `wait`, ID1 next
 *   + COMMAND...                  a Redis command that must succeed
 *   now MS                        the clock from here on (at first 1000000)
 *   turn [want=K] [live=N] [bytes=B] [n=CALL] [worker=NAME] [uuid=U] [givebacks=N] [alone=1]
 *        [limit=MAX per=MS] [metrics=POINTS]
 *        [; SETTLE]...   SETTLE: KIND ID [token=T] [value=V] [keep=K] [stack=S] [most=N] [delay=MS]
 *   renew ID TOKEN ATS [...] [row FIELD VALUE...]
 *   outcome NEWEST [ID TOKEN CALL]...
 *   recover [uuid=U] [death=D] [most=N] [look=N]        all of its pieces
 *   recover-piece NAME [as recover]                     the next one of the walk NAME (a or b)
 *   adopt [want=K] [look=N] [known ID TOKEN...]         all of its pieces
 *   stalled MAX     leave     fence UUID     workers    (one page)     concurrency N
 *   stock-stalled                 what a stock worker's stalled check does (wire format 7)
 *   reply TEXT                    what the last call answered
 *   refused WORD                  the last call was answered by that error
 *   is KEY TEXT                   what a key holds, see scenario_show; none: "-"
 *   field ID NAME TEXT            one field of a job; "-" when absent
 *   has ID NAME TEXT              it contains TEXT
 *   events TEXT                   events of this queue since the last look: "name k=v | name..."
 *   events-of PREFIX TEXT         all events of another queue (bull:p)
 *   ttl KEY                       it has a time to live
 *   loose                         this row breaks the invariants on purpose: don't look at the end
 *
 * After each row the invariants of the layout are looked at: each id in exactly one place, with its
 * hash; no lock outside of `active`; no key of ours under the queue's prefix. */
#pragma once

#include "tests/support/redis_server.h"

struct scenario {
    const char *name;
    const char *lines;
};

/* Runs each row on an empty server; a row that fails says its name, line and what it found. */
void scenario_run_all(const struct scenario *rows, size_t count);

#define SCENARIOS(rows) scenario_run_all(rows, sizeof(rows) / sizeof((rows)[0]))
