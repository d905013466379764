/* Leaving `active` without an attempt: to a time, to the front, to the children (wire format 5.5).
 */
#include <criterion/criterion.h>

#include "common/base/attr.h"

#include "tests/lua/turn/scenario.h"

Test(moves, to_wait)
{
    static const struct scenario rows[] = {
        { "to the tail of wait, without an attempt",
          "active 1\nfill w 1\nturn ; w 1\nreply waiting=2 codes=ok jobs=\nis :wait w1 1\n"
          "is :active -\nis :1:lock -\nis :marker 0=0\nfield 1 atm -\nfield 1 ats 1\n"
          "events waiting jobId=1 prev=active\n" },
        { "by its priority: before its equals",
          "active 1 priority=3\njob o\n+ ZADD :prioritized 12884901889 o\nturn ; w 1\n"
          "is :prioritized 1=12884901888 o=12884901889\nis :pc -\n" },
        { "on a paused queue", "+ HSET :meta paused 1\nactive 1\nturn ; w 1\nreply "
                               "flags=1 codes=ok jobs=\nis :paused 1\nis :marker -\n" },
        { "the same call may fetch it again",
          "active 1\nturn want=1 ; w 1\nreply active=1 codes=ok jobs=1\nfield 1 ats 2\nis :1:lock "
          "U:2\n" },
        { "several: the first fetched is next",
          "active 1\nactive 2\nfill w 1\nturn ; w 1 ; w 2\nis :wait w1 2 1\n" },
        { "somebody else's lock", "active 1\n+ SET :1:lock V:9\nturn ; w 1\nreply active=1 "
                                  "codes=-6 jobs=\nis :active 1\n" },
        { "no lock", "active 1\n+ DEL :1:lock\nturn ; w 1\nreply active=1 codes=-2 jobs=\n" },
        { "gone", "active 1\n+ DEL :1\nturn ; w 1\nreply codes=-1 jobs=\nis :1:lock -\n" },
    };
    SCENARIOS(rows);
}

Test(moves, manual_rate_limit)
{
    static const struct scenario rows[] = {
        { "the limit is used up for that time, and this call fetches nothing",
          "active 1\nfill w 1\nturn want=2 ; w 1 delay=60000\nreply waiting=2 limit=60000 "
          "codes=ok jobs=\nis :limiter 9007199254740991\nttl :limiter\nis :wait w1 1\n" },
        { "workers with a limiter rest, too",
          "active 1\nfill w 1\nturn ; w 1 delay=100000000\nturn want=2 limit=5 per=1000\n"
          "is :wait w1 1\nis :active -\nis :limiter 9007199254740991\n" },
        { "so do all when the queue has one",
          "+ HSET :meta max 5 duration 1000\nactive 1\nturn ; w 1 delay=100000000\nturn want=2\n"
          "is :wait 1\nis :active -\n" },
        { "workers without a limiter do not look",
          "active 1\nturn ; w 1 delay=60000\nturn want=2\nreply active=1 codes=ok jobs=1\n"
          "is :limiter 9007199254740991\n" },
        { "whatever the counter held",
          "active 1\n+ LPUSH :limiter x\nturn ; w 1 delay=60000\nreply "
          "waiting=1 codes=ok jobs=\nis :limiter 9007199254740991\n" },
        { "not when the job was not ours",
          "active 1\n+ SET :1:lock V:9\nturn want=1 ; w 1 delay=60000\nreply active=1 codes=-6 "
          "jobs=\nis :limiter -\n" },
    };
    SCENARIOS(rows);
}

Test(moves, to_children)
{
    static const struct scenario rows[] = {
        { "waits for them, without an attempt",
          "active 1\n+ SADD :1:dependencies bull:c:a\nturn ; k 1\nreply codes=ok jobs=\n"
          "is :waiting-children 1=1000000\nis :active -\nis :1:lock -\nfield 1 atm -\n"
          "events waiting-children jobId=1 prev=active\n" },
        { "none is pending: as it was",
          "active 1\n+ SADD :stalled 1\nturn ; k 1\nreply active=1 codes=1 jobs=\n"
          "is :1:lock U:1\nis :active 1\nis :stalled 1\nis :waiting-children -\nevents \n" },
        { "one has failed: it can't go on",
          "active 1\n+ SADD :1:dependencies bull:c:a\n+ ZADD :1:unsuccessful 5 bull:c:b\nturn ; k "
          "1\nreply active=1 codes=-9 jobs=\nis :1:lock U:1\n" },
        { "failed goes before pending before the lock",
          "active 1\n+ DEL :1:lock\n+ ZADD :1:unsuccessful 5 bull:c:b\nturn ; k 1\nreply active=1 "
          "codes=-9 jobs=\n" },
        { "no children goes before the lock",
          "active 1\n+ DEL :1:lock\nturn ; k 1\nreply active=1 codes=1 jobs=\n" },
        { "no lock", "active 1\n+ DEL :1:lock\n+ SADD :1:dependencies bull:c:a\nturn ; k 1\nreply "
                     "active=1 codes=-2 jobs=\n" },
        { "somebody else's", "active 1\n+ SET :1:lock V:9\n+ SADD :1:dependencies bull:c:a\nturn ; "
                             "k 1\nreply active=1 codes=-6 jobs=\n" },
        { "not active", "active 1\n+ LREM :active 1 1\n+ SADD :1:dependencies bull:c:a\nturn ; k "
                        "1\nreply codes=-3 jobs=\nloose\n" },
        { "gone", "active 1\n+ DEL :1\nturn ; k 1\nreply codes=-1 jobs=\n" },
        { "the last child lets it go on",
          "active 1\n+ SADD :1:dependencies bull:q:2\nturn ; k 1\n"
          "active 2 parentKey=bull:q:1\n+ EVAL \"redis.call('HSET', KEYS[1], 'parent', "
          "cjson.encode({id = '1', queueKey = 'bull:q'}))\" 1 :2\n"
          "turn want=1 ; c 2\nreply active=1 codes=ok jobs=1\nfield 1 ats 2\n" },
        { "a place of another kind refuses the whole call",
          "active 1\n+ SADD :1:dependencies bull:c:a\n+ SET :waiting-children x\nturn ; k 1\n"
          "refused WRONGTYPE\nis :1:lock U:1\nloose\n" },
        { "its place is not looked at without need",
          "active 1\n+ SET :waiting-children x\nturn ; c 1\nreply codes=ok jobs=\nloose\n" },
        { "children of another kind: damaged",
          "active 1\n+ SET :1:dependencies x\nturn ; k 1\nhas 1 failedReason dependencies\n"
          "is :active -\n" },
    };
    SCENARIOS(rows);
}

Test(moves, to_a_time)
{
    static const struct scenario rows[] = {
        { "no attempt", "active 1\nturn ; d 1 delay=700\nreply due=1000700 codes=ok jobs=\n"
                        "field 1 delay 700\nfield 1 atm -\nis :marker 1=1000700\n"
                        "events delayed jobId=1 delay=1000700\n" },
        { "makes room in a full queue", "+ HSET :meta concurrency 1\nactive 1\nfill w 1\nturn ; d "
                                        "1 delay=700\nis :marker 0=0\n" },
        { "so does an attempt that is repeated later",
          "+ HSET :meta concurrency 1\nactive 1\nfill w 1\nturn ; l 1\nis :marker 0=0\n" },
        { "and one that waits for its children",
          "+ HSET :meta concurrency 1\nactive 1\n+ SADD :1:dependencies bull:c:a\nfill w 1\nturn ; "
          "k 1\nis :marker 0=0\n" },
        { "a time that is over: due at once",
          "active 1\nturn ; d 1 delay=0\nreply due=1000000 codes=ok jobs=\nfield 1 delay 0\n"
          "turn want=1\nreply active=1 codes=ok jobs=1\n" },
    };
    SCENARIOS(rows);
}

/* An active job 1 with these options; a scenario's words drop quotes, so they come from Redis. */
#define OPTS(lua)                                                                          \
    "active 1\n+ EVAL \"redis.call('HSET', KEYS[1], 'opts', cjson.encode({" lua "}))\" 1 " \
    ":1\n"

Test(moves, trace_of_the_producer)
{
    static const struct scenario rows[] = {
        { "goes on into a failed attempt",
          OPTS("tm = 't1', attempts = 2") "turn ; l 1\nfield 1 tm t1\n" },
        { "also into the last", OPTS("tm = 't1'") "turn ; f 1\nfield 1 tm t1\n" },
        { "and into one that is repeated at once",
          OPTS("tm = 't1'") "turn ; r 1\nfield 1 tm t1\n" },
        { "without a new stack trace", OPTS("tm = 't1'") "turn ; f 1 stack=\nfield 1 tm t1\n" },
        { "not when it said not to", OPTS("tm = 't1', omc = true") "turn ; f 1\nfield 1 tm -\n" },
        { "not what is no text", OPTS("tm = 5") "turn ; f 1\nfield 1 tm -\n" },
        { "not where another option says tm", OPTS("jobId = 'tm'") "turn ; f 1\nfield 1 tm -\n" },
        { "not into a completed one", OPTS("tm = 't1'") "turn ; c 1\nfield 1 tm -\n" },
        { "unreadable options: without",
          "active 1\n+ EVAL \"redis.call('HSET', KEYS[1], 'opts', '{' .. string.char(34) .. 'tm' "
          ".. string.char(34) .. ':')\" 1 :1\nturn ; f 1\nfield 1 tm -\nfield 1 failedReason "
          "boom\n" },
    };
    SCENARIOS(rows);
}

Test(moves, concurrency_of_the_queue)
{
    static const struct scenario rows[] = {
        { "set, once", "concurrency 5\nreply 1\nis :meta concurrency=5\nconcurrency 5\nreply 0\n" },
        { "another number", "concurrency 5\nconcurrency 7\nreply 1\nis :meta concurrency=7\n" },
        { "over somebody else's", "+ HSET :meta concurrency 3\nconcurrency 5\nreply 1\nis :meta "
                                  "concurrency=5\n" },
        { "taken back", "concurrency 5\nconcurrency 0\nreply 1\nis :meta -\n"
                        "is $concurrency -\n" },
        { "taken back once", "concurrency 5\nconcurrency 0\nconcurrency 0\nreply 0\n" },
        { "somebody else's stays", "+ HSET :meta concurrency 3\nconcurrency 0\nreply 0\nis :meta "
                                   "concurrency=3\n" },
        { "what was changed since stays",
          "concurrency 5\n+ HSET :meta concurrency 9\nconcurrency 0\nreply 0\nis :meta "
          "concurrency=9\nis $concurrency -\n" },
        { "there may be room now", "fill w 1\nconcurrency 5\nreply 1\nis :marker 0=0\n" },
        { "not on a paused queue",
          "+ HSET :meta paused 1\nfill w 1\nconcurrency 5\nis :marker -\n" },
        { "no hash",
          "+ SET :meta x\nconcurrency 5\nrefused WRONGTYPE\nis $concurrency -\nloose\n" },
    };
    SCENARIOS(rows);
}
