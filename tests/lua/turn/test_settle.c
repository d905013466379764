/* What becomes of a job that was run (wire format 5.1 to 5.5, 3.10). */
#include <criterion/criterion.h>

#include "tests/lua/turn/scenario.h"

Test(settle, placement_fields_and_events)
{
    static const struct scenario rows[] = {
        { "complete", "active 1\n"
                      "turn ; c 1 value={\"ok\":1}\n"
                      "reply codes=ok jobs=\n"
                      "is :completed 1=1000000\n"
                      "is :active -\n"
                      "is :1:lock -\n"
                      "field 1 returnvalue {ok:1}\n"
                      "field 1 finishedOn 1000000\n"
                      "field 1 atm 1\n"
                      "field 1 failedReason -\n"
                      "events completed jobId=1 returnvalue={ok:1} prev=active | drained\n" },
        { "complete counts on from the attempts made", "active 1 atm=9\n"
                                                       "turn ; c 1\n"
                                                       "field 1 atm 10\n" },
        { "complete leaves the stalled set",
          "active 1\n+ SADD :stalled 1 x\nturn ; c 1\nis :stalled x\n" },
        { "fail for good", "active 1 atm=2 defa=why\n"
                           "turn ; f 1 value=boom stack=[\"a\"] most=3\n"
                           "is :failed 1=1000000\n"
                           "is :1:lock -\n"
                           "field 1 failedReason boom\n"
                           "field 1 stacktrace [a]\n"
                           "field 1 defa -\n"
                           "field 1 atm 3\n"
                           "events failed jobId=1 failedReason=boom prev=active | "
                           "retries-exhausted jobId=1 attemptsMade=3 | drained\n" },
        { "fail before the last attempt says nothing of exhausted",
          "active 1\n"
          "turn ; f 1 most=3\n"
          "events failed jobId=1 failedReason=boom prev=active | drained\n" },
        { "retry now goes behind what waits", "active 1\nfill w 2\n"
                                              "turn ; r 1 value=bad\n"
                                              "reply waiting=3 codes=ok jobs=\n"
                                              "is :wait 1 w2 w1\n"
                                              "is :marker 0=0\n"
                                              "field 1 failedReason bad\n"
                                              "field 1 atm 1\n"
                                              "field 1 finishedOn -\n"
                                              "events waiting jobId=1 prev=active\n" },
        { "retry now of a lifo job goes to the front",
          "active 1\nfill w 2\nturn ; R 1\nis :wait w2 w1 1\n" },
        { "retry now of a job with a priority", "active 1 priority=3\n+ SET :pc 6\n"
                                                "turn ; r 1\n"
                                                "is :prioritized 1=12884901895\n"
                                                "is :wait -\nis :marker 0=0\n" },
        { "retry now promotes what is due before",
          "active 1\njob d delay=5\n+ ZADD :delayed 4096 d\n"
          "turn ; r 1\n"
          "is :wait 1 d\nfield d delay 0\n"
          "events waiting jobId=d prev=delayed | waiting jobId=1 prev=active\n" },
        { "retry later",
          "active 1\n"
          "turn ; l 1 value=bad stack=[] delay=250\n"
          "is :delayed 1=4097024000\n"
          "is :marker 1=1000250\n"
          "field 1 delay 250\nfield 1 atm 1\nfield 1 failedReason bad\nfield 1 stacktrace []\n"
          "reply due=1000250 codes=ok jobs=\n"
          "events delayed jobId=1 delay=1000250\n" },
        { "delay is no attempt", "active 1\n"
                                 "turn ; d 1 delay=1000\n"
                                 "is :delayed 1=4100096000\nfield 1 atm -\nfield 1 failedReason "
                                 "-\nfield 1 delay 1000\nis :1:lock -\n"
                                 "events delayed jobId=1 delay=1001000\n" },
        { "delayed in one millisecond keep their order",
          "active 1\nactive 2\nactive 3\n"
          "turn ; d 1 delay=0 ; d 2 delay=0 ; d 3 delay=0\n"
          "is :delayed 1=4096000000 2=4096000001 3=4096000002\n" },
        { "a full millisecond shares its last score",
          "active 1\njob x\n+ ZADD :delayed 4096004095 x\n"
          "turn ; d 1 delay=0\n"
          "is :delayed 1=4096004095 x=4096004095\n" },
        { "give back: the first fetched is next",
          "active 1\nactive 2\nactive 3\nfill w 1\n"
          "turn ; g 1 ; g 2 ; g 3\n"
          "is :wait w1 3 2 1\n"
          "field 1 atm -\nfield 1 ats 1\nis :active -\nis :marker 0=0\n"
          "events waiting jobId=1 prev=active | waiting jobId=2 prev=active | waiting jobId=3 "
          "prev=active\n" },
        { "give back with a priority: first of its priority",
          "active 1 priority=2\njob p\n+ ZADD :prioritized 8589934593 p\n"
          "turn ; g 1\nis :prioritized 1=8589934592 p=8589934593\n" },
        { "on a paused queue all goes to paused",
          "+ HSET :meta paused 1\nactive 1\nactive 2\nactive 3\njob d\n+ ZADD :delayed 1 d\njob "
          "x\n+ RPUSH :paused x\n"
          "turn want=5 ; r 1 ; g 2 ; R 3\n"
          "is :paused 1 d x 3 2\nis :wait -\nis :marker -\n"
          "reply flags=1 codes=ok jobs=\n" },
        { "many kinds in one batch", "active 1\nactive 2\nactive 3\nactive 4\nactive 5\n"
                                     "turn ; c 1 ; f 2 ; c 3 ; l 4 delay=100 ; g 5\n"
                                     "is :completed 1=1000000 3=1000000\nis :failed 2=1000000\nis "
                                     ":delayed 4=4096409600\nis :wait 5\n"
                                     "is :active -\n" },
        { "complete in any order", "active 1\nactive 2\nactive 3\nturn ; c 3 ; c 1 ; c 2\nis "
                                   ":active -\nis :completed 1=1000000 2=1000000 3=1000000\n" },
        { "complete among those of other workers",
          "active 1\nactive o\nactive 2\nturn ; c 1 ; c 2\nis :active o\nis :completed 1=1000000 "
          "2=1000000\n" },
        { "one job twice in a batch is settled once",
          "active 1\nturn ; c 1 ; c 1\nreply codes=0,-3 jobs=\nfield 1 atm 1\nis :completed "
          "1=1000000\n" },
    };
    SCENARIOS(rows);
}

Test(settle, codes)
{
    static const struct scenario rows[] = {
        { "-1 no hash", "+ LPUSH :active 1\n+ SET :1:lock U:1\nturn ; c 1\nreply codes=-1 "
                        "jobs=\nis :active -\nis :1:lock -\n" },
        { "-1 no hash, not ours",
          "+ SET :1:lock V:1\nturn ; c 1\nreply codes=-1 jobs=\nis :1:lock V:1\nloose\n" },
        { "-2 no lock", "active 1\n+ DEL :1:lock\nturn ; c 1\nreply active=1 codes=-2 jobs=\nfield "
                        "1 atm -\nevents \n" },
        { "-6 lock of another", "active 1\n+ SET :1:lock V:9\nturn ; c 1\nreply active=1 codes=-6 "
                                "jobs=\nis :1:lock V:9\nfield 1 atm -\nevents \n" },
        { "-6 an older token of the same process",
          "active 1\n+ SET :1:lock U:2\nturn ; f 1\nreply active=1 codes=-6 jobs=\nfield 1 "
          "failedReason -\n" },
        { "-3 not active",
          "active 1\n+ DEL :active\n+ LPUSH :wait 1\nturn ; c 1\nreply waiting=1 codes=-3 jobs=\n"
          "field 1 returnvalue -\nis :1:lock -\nis :wait 1\n" },
        { "-3 not active, failing", "active 1\n+ DEL :active\n+ LPUSH :wait 1\nturn ; f 1\nreply "
                                    "waiting=1 codes=-3 jobs=\nfield 1 failedReason -\n" },
        { "-4 children pending", "active 1\n+ SADD :1:dependencies bull:c:1\nturn ; c 1\nreply "
                                 "active=1 codes=-4 jobs=\nis :1:lock U:1\nfield 1 atm -\n" },
        { "-9 a child failed", "active 1\n+ ZADD :1:unsuccessful 5 bull:c:1\nturn ; c 1\nreply "
                               "active=1 codes=-9 jobs=\nis :1:lock U:1\n" },
        { "failing does not ask for children",
          "active 1\n+ SADD :1:dependencies bull:c:1\nturn ; f 1\nreply codes=ok jobs=\nis :failed "
          "1=1000000\n" },
        { "each refusal stands alone",
          "active 1\nactive 2\nactive 3\nactive 4\nactive 5\n+ DEL :2:lock\n+ SET :4:lock V:1\n"
          "turn ; c 1 ; c 2 ; c 3 ; f 4 ; c 5\n"
          "reply active=2 codes=0,-2,0,-6,0 jobs=\n"
          "is :active 4 2\nis :completed 1=1000000 3=1000000 5=1000000\n" },
    };
    SCENARIOS(rows);
}

Test(settle, keep_rules)
{
    static const struct scenario rows[] = {
        { "none: all six keys go",
          "active 1\n+ RPUSH :1:logs x\n+ HSET :1:processed a b\n+ HSET :1:failed a b\n"
          "turn ; c 1 keep=0\n"
          "is :1 -\nis :1:logs -\nis :1:processed -\nis :1:failed -\nis :completed -\nis :1:lock "
          "-\n"
          "events completed jobId=1 returnvalue=1 prev=active | drained\n" },
        { "none, failed", "active 1\nturn ; f 1 keep=0\nis :1 -\nis :failed -\n"
                          "events failed jobId=1 failedReason=boom prev=active | retries-exhausted "
                          "jobId=1 attemptsMade=1 | drained\n" },
        { "count",
          "job a\njob b\njob c\n+ ZADD :completed 1 a 2 b 3 c\n+ RPUSH :a:logs x\nactive 1\n"
          "turn ; c 1 keep=\"2 -1 1000\"\n"
          "is :completed c=3 1=1000000\nis :a -\nis :a:logs -\nis :b -\n" },
        { "count in a batch", "active 1\nactive 2\nactive 3\nactive 4\n"
                              "turn ; c 1 keep=\"2 -1 1000\" ; c 2 keep=\"2 -1 1000\" ; c 3 "
                              "keep=\"2 -1 1000\" ; c 4 keep=\"2 -1 1000\"\n"
                              "is :completed 3=1000000 4=1000000\n" },
        { "age in seconds",
          "job a\njob b\n+ ZADD :completed 989999 a 990001 b\nactive 1\n"
          "turn ; c 1 keep=\"-1 10 1000\"\nis :completed b=990001 1=1000000\nis :a -\n" },
        { "age, fraction of a second",
          "job a\njob b\n+ ZADD :completed 999500 a 999501 b\nactive 1\n"
          "turn ; c 1 keep=\"-1 0.5 1000\"\nis :completed b=999501 1=1000000\n" },
        { "age, newest first up to the limit",
          "job a\njob b\njob c\n+ ZADD :completed 1 a 2 b 3 c\nactive 1\n"
          "turn ; c 1 keep=\"-1 10 2\"\nis :completed a=1 1=1000000\n" },
        { "age and count",
          "job a\njob b\njob c\n+ ZADD :completed 1 a 999998 b 999999 c\nactive 1\n"
          "turn ; c 1 keep=\"2 10 1000\"\nis :completed c=999999 1=1000000\n" },
        { "failed has its own rule",
          "job a\njob b\n+ ZADD :failed 1 a\n+ ZADD :completed 1 b\nactive 1\n"
          "turn ; f 1 keep=\"1 -1 1000\"\nis :failed 1=1000000\nis :completed b=1\n" },
        { "two rules in a batch",
          "active 1\nactive 2\njob a\n+ ZADD :completed 1 a\n+ ZADD :failed 1 b\njob b\n"
          "turn ; c 1 keep=\"1 -1 1000\" ; f 2 keep=\"1 -1 1000\"\n"
          "is :completed 1=1000000\nis :failed 2=1000000\n" },
        { "a trimmed child lets its parent go",
          "job a parentKey=bull:q:p\njob p priority=3\n+ SADD :p:dependencies bull:q:a\n+ ZADD "
          ":waiting-children 1 p\n"
          "+ ZADD :failed 1 a\nactive 1\n"
          "turn ; f 1 keep=\"1 -1 1000\"\nis :wait p\nis :waiting-children -\n" },
    };
    SCENARIOS(rows);
}

Test(settle, drained_markers_and_events_trim)
{
    static const struct scenario rows[] = {
        { "no drained while others are active",
          "active 1\nactive o\nturn ; c 1\nevents completed jobId=1 returnvalue=1 prev=active\n" },
        { "no drained while jobs wait",
          "active 1\nfill w 1\nturn ; c 1\nevents completed jobId=1 returnvalue=1 prev=active\n" },
        { "no drained while prioritized jobs wait",
          "active 1\njob p priority=1\n+ ZADD :prioritized 4294967297 p\nturn ; c 1\n"
          "events completed jobId=1 returnvalue=1 prev=active\n" },
        { "drained with delayed jobs when nothing is fetched",
          "active 1\njob d\n+ ZADD :delayed 9000000000000 d\nturn ; c 1\n"
          "events completed jobId=1 returnvalue=1 prev=active | drained\n" },
        { "no drained with delayed jobs when fetching",
          "active 1\njob d\n+ ZADD :delayed 9000000000000 d\nturn want=1 ; c 1\n"
          "events completed jobId=1 returnvalue=1 prev=active\n" },
        { "once a batch", "active 1\nactive 2\nturn want=9 ; c 1 ; c 2\n"
                          "events completed jobId=1 returnvalue=1 prev=active | completed jobId=2 "
                          "returnvalue=1 prev=active | drained\n" },
        { "no drained for a mere retry",
          "active 1\nturn ; l 1\nevents delayed jobId=1 delay=1000500\n" },
        { "no marker for a finish without a fetch",
          "active 1\nfill w 2\nturn ; c 1\nis :marker -\n" },
        { "marker after a fetch that left something", "fill w 2\nturn want=1\nis :marker 0=0\n" },
        { "none when nothing is left", "fill w 2\nturn want=2\nis :marker -\n" },
        { "marker when room is made in a full queue",
          "+ HSET :meta concurrency 1\nactive 1\nfill w 2\nturn ; c 1\nis :marker 0=0\n" },
        { "none when it is still full",
          "+ HSET :meta concurrency 1\nactive 1\nactive 2\nfill w 2\nturn ; c 1\nis :marker -\n" },
        { "retry in a full queue gets none", "+ HSET :meta concurrency 1\nactive 1\nactive 2\nturn "
                                             "; r 1\nis :marker -\nis :wait 1\n" },
        { "retry later and a fetch that leaves something: one marker",
          "active 1\nfill w 2\nturn want=1 ; l 1\nis :marker 0=0\n" },
        { "retry later and a fetch that leaves nothing: the due time",
          "active 1\nfill w 1\nturn want=1 ; l 1\nis :marker 1=1000500\n" },
        { "the due time of the head, with its fraction",
          "active 1\njob d\n+ ZADD :delayed 4096004096 d\nturn ; l 1\nis :marker 1=1000001\n" },
        { "the due marker of a paused queue",
          "+ HSET :meta paused 1\nactive 1\nturn ; l 1\nis :marker 1=1000500\n" },
        { "the stream is trimmed",
          "+ HSET :meta opts.maxLenEvents 0\nactive 1\nturn ; c 1\nevents \n" },
        { "the stream's default length is written",
          "active 1\nturn ; c 1\nis :meta opts.maxLenEvents=10000\n" },
        { "a user's length stays", "+ HSET :meta opts.maxLenEvents 50\nactive 1\nturn ; c 1\nis "
                                   ":meta opts.maxLenEvents=50\n" },
    };
    SCENARIOS(rows);
}
