/* The metrics lists (wire format 5.4), and the limiter of a worker (4.1). */
#include <criterion/criterion.h>

#include "common/base/attr.h"

#include "tests/lua/turn/scenario.h"

Test(metrics, minutes)
{
    static const struct scenario rows[] = {
        { "none unless asked for", "active 1\nturn ; c 1\nis :metrics:completed -\n" },
        { "the first only counts",
          "active 1\nactive 2\nnow 600000\nturn metrics=10 ; c 1 ; c 2\n"
          "is :metrics:completed count=2 prevCount=0 prevTS=600000\nis :metrics:completed:data -\n"
          "is :metrics:failed -\nloose\n" },
        { "a minute later: what came before this call",
          "active 1\nactive 2\nactive 3\nnow 600000\nturn metrics=10 ; c 1 ; c 2\nnow 660000\n"
          "turn metrics=10 ; c 3\nis :metrics:completed count=3 prevCount=2 prevTS=660000\n"
          "is :metrics:completed:data 2\nloose\n" },
        { "the same minute",
          "active 1\nactive 2\nnow 600000\nturn metrics=10 ; c 1\nnow 659999\nturn "
          "metrics=10 ; c 2\nis :metrics:completed count=2 prevCount=0 "
          "prevTS=600000\nis :metrics:completed:data -\nloose\n" },
        { "a gap: it belongs to the oldest minute",
          "active 1\nactive 2\nnow 600000\nturn metrics=10 ; c 1\nnow 780000\nturn metrics=10 ; c "
          "2\n"
          "is :metrics:completed:data 0 0 1\nloose\n" },
        { "no more than wanted",
          "active 1\nactive 2\n+ RPUSH :metrics:completed:data 7 8 9\nnow 600000\nturn metrics=3 ; "
          "c "
          "1\nnow 720000\nturn metrics=3 ; c 2\nis :metrics:completed:data 0 1 7\nloose\n" },
        { "a long gap is as long as the list",
          "active 1\nactive 2\nnow 600000\nturn metrics=3 ; c 1\nnow 99000000\nturn metrics=3 ; c "
          "2\nis :metrics:completed:data 0 0 1\nloose\n" },
        { "failed ones apart, also those that were damaged",
          "active 1\nactive 2\nactive 3\nnow 600000\nturn metrics=3 ; c 1 ; f 2 ; x 3\n"
          "is :metrics:completed count=1 prevCount=0 prevTS=600000\n"
          "is :metrics:failed count=2 prevCount=0 prevTS=600000\nloose\n" },
        { "an attempt is no end",
          "active 1\nactive 2\nturn metrics=3 ; r 1 ; l 2\nis :metrics:failed -\n" },
        { "what is not kept counts",
          "active 1\nnow 600000\nturn metrics=3 ; c 1 keep=0\nis :metrics:completed count=1 "
          "prevCount=0 prevTS=600000\nloose\n" },
        { "damaged metrics hurt no job",
          "active 1\n+ SET :metrics:completed x\nturn metrics=3 ; c 1\nreply codes=ok jobs=\nis "
          ":metrics:completed x\nloose\n" },
        { "nor does a damaged list",
          "active 1\nactive 2\n+ SET :metrics:completed:data x\nnow 600000\nturn metrics=3 ; c "
          "1\nnow 660000\nturn metrics=3 ; c 2\nreply codes=ok jobs=\nloose\n" },
    };
    SCENARIOS(rows);
}

Test(limiter, of_the_worker)
{
    static const struct scenario rows[] = {
        { "a fresh window", "fill w 3\nturn want=3 limit=2 per=60000\nreply waiting=1 active=2 "
                            "codes=ok jobs=w1,w2\nis :limiter 2\nttl :limiter\n" },
        { "what others have left",
          "fill w 3\n+ SET :limiter 2 PX 60000\nturn want=3 limit=3 per=1000\nreply waiting=2 "
          "active=1 codes=ok jobs=w1\nis :limiter 3\n" },
        { "used up",
          "fill w 1\n+ SET :limiter 3 PX 60000000\nturn want=3 limit=3 per=1000\nis :wait "
          "w1\nis :active -\n" },
        { "the queue's maximum goes before",
          "+ HSET :meta max 1 duration 60000\nfill w 3\nturn want=3 limit=3 per=60000\nreply "
          "waiting=2 active=1 codes=ok jobs=w1\n" },
        { "the worker's duration goes before",
          "+ HSET :meta max 3 duration 0\nfill w 3\nturn want=3 limit=1 per=60000\nis :limiter "
          "3\n+ PEXPIRE :limiter 50000 LT\nttl :limiter\n" },
        { "without one the queue's",
          "+ HSET :meta max 3 duration 60000\nfill w 1\nturn want=3\nttl :limiter\n" },
        { "a job that carries its failure uses nothing up",
          "job a defa=x\nfill w 1\n+ RPUSH :wait a\nturn want=1 limit=1 per=60000\nreply waiting=1 "
          "active=1 codes=ok jobs=a\nis :limiter -\n"
          "turn want=1 limit=1 per=60000\nis :limiter 1\n" },
        { "an empty fetch uses nothing up", "turn want=3 limit=2 per=1000\nis :limiter -\n" },
        { "settled jobs use nothing up", "active 1\nturn limit=2 per=1000 ; c 1\nis :limiter -\n" },
    };
    SCENARIOS(rows);
}
