/* Which jobs a fetch takes, and what it leaves for the others (wire format 4.1, 14.2). */
#include <criterion/criterion.h>

#include "common/base/attr.h"

#include "tests/lua/turn/scenario.h"

Test(fetch, order_and_fields)
{
    static const struct scenario rows[] = {
        { "from the tail of wait, oldest first",
          "fill w 4\n"
          "turn want=3 worker=host-q-0\n"
          "reply waiting=1 active=3 codes=ok jobs=w1,w2,w3\n"
          "is :wait w4\nis :active w3 w2 w1\n"
          "is :w1:lock U:2\nttl :w1:lock\n"
          "field w1 ats 1\nfield w1 processedOn 1000000\nfield w1 pb host-q-0\nfield w1 atm -\n"
          "events active jobId=w1 prev=waiting | active jobId=w2 prev=waiting | active jobId=w3 "
          "prev=waiting\n"
          "is :marker 0=0\n" },
        { "no name, no pb", "fill w 1\nturn want=1\nfield w1 pb -\n" },
        { "ats counts on", "job a ats=41\n+ LPUSH :wait a\nturn want=1\nfield a ats 42\n" },
        { "prioritized after wait, lowest first",
          "fill w 1\njob p1\njob p2\n+ ZADD :prioritized 4294967297 p1 8589934593 p2\n"
          "turn want=3\nreply active=3 codes=ok jobs=w1,p1,p2\nis :prioritized -\nis :active p2 p1 "
          "w1\n" },
        { "prioritized, some are left",
          "job p1\njob p2\n+ ZADD :prioritized 4294967297 p1 8589934593 p2\n"
          "turn want=1\nreply waiting=1 active=1 codes=ok jobs=p1\nis :marker 0=0\n" },
        { "nothing there",
          "turn want=5\nreply codes=ok jobs=\nis :marker -\nis :meta -\nevents \n" },
        { "an empty queue forgets its priority counter", "+ SET :pc 7\nturn want=1\nis :pc -\n" },
        { "the counter stays while something waits",
          "+ SET :pc 7\nfill w 2\nturn want=1\nis :pc 7\n" },
        { "settle, then fetch in one call",
          "active 1\nfill w 2\nturn want=1 ; c 1\nreply waiting=1 active=1 codes=ok jobs=w1\n"
          "events completed jobId=1 returnvalue=1 prev=active | active jobId=w1 prev=waiting\n" },
        { "what was just put back may come again",
          "active 1\nturn want=1 ; r 1\nreply active=1 codes=ok jobs=1\nis :1:lock U:2\nfield 1 "
          "ats 2\n" },
        { "absent fields of a job",
          "+ HSET :a timestamp 5\n+ LPUSH :wait a\nturn want=1\nreply active=1 codes=ok jobs=a\n" },
        { "a lock of a wrong kind is replaced",
          "job a\n+ LPUSH :wait a\n+ LPUSH :a:lock x\nturn want=1\nis :a:lock U:2\n" },
    };
    SCENARIOS(rows);
}

Test(fetch, paused_maxed_limited)
{
    static const struct scenario rows[] = {
        { "paused", "+ HSET :meta paused 1\nfill w 2\nturn want=2\nreply waiting=2 flags=1 "
                    "codes=ok jobs=\nis :wait w2 w1\n" },
        { "paused, whatever the value", "+ HSET :meta paused 0\nfill w 1\nturn want=2\nreply "
                                        "waiting=1 flags=1 codes=ok jobs=\n" },
        { "concurrency leaves room for one",
          "+ HSET :meta concurrency 2\nactive o\nfill w 3\nturn want=3\n"
          "reply waiting=2 active=2 flags=2 codes=ok jobs=w1\nis :marker 0=0\n" },
        { "full", "+ HSET :meta concurrency 1\nactive o\nfill w 1\nturn want=1\nreply waiting=1 "
                  "active=1 flags=2 codes=ok jobs=\n" },
        { "settling makes the room", "+ HSET :meta concurrency 1\nactive 1\nfill w 1\nturn want=1 "
                                     "; c 1\nreply active=1 flags=2 codes=ok jobs=w1\n" },
        { "a limit in a fresh window",
          "+ HSET :meta max 2 duration 1000\nfill w 3\nturn want=3\n"
          "reply waiting=1 active=2 codes=ok jobs=w1,w2\nis :limiter 2\nttl :limiter\n" },
        { "what the window has left",
          "+ HSET :meta max 3 duration 1000\n+ SET :limiter 2 PX 700\nfill w 3\nturn want=3\n"
          "reply waiting=2 active=1 codes=ok jobs=w1\nis :limiter 3\n" },
        { "a used window: nothing, and for how long",
          "+ HSET :meta max 3 duration 1000\n+ SET :limiter 3 PX 100000000\nfill w 1\nturn want=3\n"
          "has w1 name n\nis :wait w1\nis :limiter 3\n" },
        { "a counter that never expires does not block",
          "+ HSET :meta max 3 duration 1000\n+ SET :limiter 9\nfill w 1\nturn want=3\nreply "
          "active=1 codes=ok jobs=w1\n" },
        { "without a limit of the queue the counter is not looked at",
          "+ SET :limiter 9007199254740991 PX 60000\nfill w 1\nturn want=3\nreply active=1 "
          "codes=ok jobs=w1\n"
          "is :limiter 9007199254740991\n" },
        { "an empty fetch uses nothing up",
          "+ HSET :meta max 3 duration 1000\nturn want=3\nis :limiter -\n" },
    };
    SCENARIOS(rows);
}

Test(fetch, fair_share_and_bytes)
{
    static const struct scenario rows[] = {
        { "half each",
          "fill w 8\nturn want=8 live=2\nreply waiting=4 active=4 codes=ok jobs=w1,w2,w3,w4\n" },
        { "rounded up",
          "fill w 3\nturn want=8 live=2\nreply waiting=1 active=2 codes=ok jobs=w1,w2\n" },
        { "one for many", "fill w 1\nturn want=8 live=50\nreply active=1 codes=ok jobs=w1\n" },
        { "wanted less than the share",
          "fill w 9\nturn want=2 live=2\nreply waiting=7 active=2 codes=ok jobs=w1,w2\n" },
        { "prioritized count too",
          "fill w 1\njob a\njob b\njob c\n+ ZADD :prioritized 4294967297 a 4294967298 b 4294967299 "
          "c\n"
          "turn want=9 live=2\nreply waiting=2 active=2 codes=ok jobs=w1,a\n" },
        { "bytes: two fit",
          "fill w 3\n+ HSET :w1 data 123456 opts {}\n+ HSET :w2 data 123456 opts {}\n"
          "turn want=3 bytes=17\nreply waiting=1 active=2 codes=ok jobs=w1,w2\nis :wait w3\n" },
        { "bytes: one is always taken",
          "fill w 2\n+ HSET :w1 data 12345678901234567890\nturn want=3 bytes=5\nreply waiting=1 "
          "active=1 codes=ok jobs=w1\n" },
        { "bytes: among the prioritized",
          "job a\njob b\n+ ZADD :prioritized 4294967297 a 4294967298 b\n"
          "turn want=3 bytes=5\nreply waiting=1 active=1 codes=ok jobs=a\nis :prioritized "
          "b=4294967298\n" },
    };
    SCENARIOS(rows);
}

Test(fetch, promotion)
{
    static const struct scenario rows[] = {
        { "due jobs are promoted in order, then fetched",
          "job a delay=5\njob b delay=5 priority=2\njob c delay=5\njob d delay=5\n"
          "+ ZADD :delayed 4095999999 a 4096000000 b 4096004095 c 4096004096 d\n"
          "turn want=2\n"
          "reply waiting=1 active=2 due=1000001 codes=ok jobs=a,c\n"
          "is :prioritized b=8589934593\nis :delayed d=4096004096\nfield a delay 0\nfield b delay "
          "0\nfield d delay 5\n"
          "events waiting jobId=a prev=delayed | waiting jobId=b prev=delayed | waiting jobId=c "
          "prev=delayed | "
          "active jobId=a prev=waiting | active jobId=c prev=waiting\n" },
        { "promoted ones stand behind what waits",
          "job a\n+ ZADD :delayed 1 a\nfill w 1\nturn want=1\nis :wait a\nis :active w1\n" },
        { "paused: promoted to paused, no marker",
          "+ HSET :meta paused 1\njob a\n+ ZADD :delayed 1 a\nturn want=1\nis :paused a\nis :wait "
          "-\nis :marker -\n" },
        { "full: promoted to wait, no marker",
          "+ HSET :meta concurrency 1\nactive o\njob a\n+ ZADD :delayed 1 a\nturn want=1\nis :wait "
          "a\nis :marker -\n" },
        { "limited: promoted, with a marker",
          "+ HSET :meta max 1 duration 5\n+ SET :limiter 1 PX 100000000\njob a\n+ ZADD :delayed 1 "
          "a\nturn want=1\nis :wait a\nis :marker 0=0\n" },
        { "not promoted when nothing is wanted",
          "job a\n+ ZADD :delayed 1 a\nturn\nis :delayed a=1\n" },
        { "ids without a job are dropped",
          "+ ZADD :delayed 1 ghost\njob a\n+ ZADD :delayed 2 a\nturn want=1\nreply active=1 "
          "ghosts=1 codes=ok jobs=a\nis :delayed -\n" },
        { "damaged ones end in failed", "+ SET :bad x\njob odd priority=high\njob a\n+ ZADD "
                                        ":delayed 1 bad 2 odd 3 a\nturn want=1\n"
                                        "reply active=1 damaged=2 codes=ok jobs=a\nis :failed "
                                        "bad=1000000 odd=1000000\nis :delayed -\n"
                                        "has bad failedReason \"is not a hash\"\nhas odd "
                                        "failedReason priority\nfield odd priority 0\n" },
    };
    SCENARIOS(rows);
}

Test(fetch, promotes_a_bounded_number)
{
    static char lines[65536];
    struct scenario row = { "more due than one call promotes", lines };
    size_t at = 0;

    for (int i = 1; i <= 201; i++)
        at += (size_t)snprintf(lines + at, sizeof(lines) - at, "job d%d\n+ ZADD :delayed %d d%d\n",
                               i, i, i);
    (void)snprintf(
        lines + at, sizeof(lines) - at,
        "turn want=1\nreply waiting=199 active=1 flags=4 codes=ok jobs=d1\nis :delayed d201=201\n"
        "turn want=1\nreply waiting=199 active=2 codes=ok jobs=d2\nis :delayed -\n");
    scenario_run_all(&row, 1);
}

Test(fetch, looks_at_a_bounded_number)
{
    static const struct scenario row = {
        "a flood of ids without a job",
        "+ EVAL \"for i = 1, 300 do redis.call('RPUSH', KEYS[1], 'g' .. i) end\" 1 :wait\n"
        "+ HSET :w name n\n+ LPUSH :wait w\n"
        "turn want=10\nreply waiting=41 flags=4 ghosts=260 codes=ok jobs=\nis :marker 0=0\n"
        "turn want=10\nreply active=1 ghosts=40 codes=ok jobs=w\n"
    };
    scenario_run_all(&row, 1);
}

Test(fetch, ghosts_markers_and_damage)
{
    static const struct scenario rows[] = {
        { "ids without a job are dropped and others taken instead",
          "fill w 3\n+ RPUSH :wait g1 g2\nturn want=2\nreply waiting=1 active=2 ghosts=2 codes=ok "
          "jobs=w1,w2\n" },
        { "markers of old versions",
          "fill w 1\n+ RPUSH :wait 0:0\n+ LPUSH :wait 0:1700000000000\nturn want=2\nreply active=1 "
          "ghosts=2 codes=ok jobs=w1\nis :wait -\n" },
        { "only ghosts", "+ RPUSH :wait g1 g2\nturn want=5\nreply ghosts=2 codes=ok jobs=\nis "
                         ":wait -\nis :active -\n" },
        { "ghosts among the prioritized",
          "job p\n+ ZADD :prioritized 4294967297 g 4294967298 p\nturn want=2\nreply active=1 "
          "ghosts=1 codes=ok jobs=p\n" },
        { "an id twice in the list is taken once", "fill w 1\n+ RPUSH :wait w1\nturn want=5\nreply "
                                                   "active=1 codes=ok jobs=w1\nis :active w1\n" },
        { "a key that is no hash",
          "fill w 2\n+ DEL :w1\n+ RPUSH :w1 odd\nturn want=2\nreply active=1 damaged=1 codes=ok "
          "jobs=w2\n"
          "is :failed w1=1000000\nis $quarantine:w1:1 odd\nhas w1 failedReason \"not a "
          "hash\"\nfield w1 name (damaged)\nfield w1 opts {}\n"
          "field w1 atm 1\n" },
        { "a second time: another place",
          "fill w 1\n+ DEL :w1\n+ SET :w1 odd\n+ SET $quarantine:w1:1 before\nturn want=2\nis "
          "$quarantine:w1:2 odd\nis $quarantine:w1:1 before\n" },
        { "ats", "fill w 2\n+ HSET :w1 ats many\nturn want=2\nreply active=1 damaged=1 codes=ok "
                 "jobs=w2\nhas w1 failedReason many\nfield w1 ats 0\n"
                 "is $quarantine:w1:1:fields ats=many\n" },
        { "atm", "fill w 2\n+ HSET :w1 atm 1.5\nturn want=2\nreply active=1 damaged=1 codes=ok "
                 "jobs=w2\nfield w1 atm 1\n" },
        { "stc", "fill w 2\n+ HSET :w1 stc 1e3\nturn want=2\nreply active=1 damaged=1 codes=ok "
                 "jobs=w2\n" },
        { "priority", "fill w 2\n+ HSET :w1 priority 0x1\nturn want=2\nreply active=1 damaged=1 "
                      "codes=ok jobs=w2\n" },
        { "timestamp", "fill w 2\n+ HSET :w1 timestamp then\nturn want=2\nreply active=1 damaged=1 "
                       "codes=ok jobs=w2\n"
                       "field w1 timestamp 1000000\n" },
    };
    SCENARIOS(rows);
}

Test(fetch, calls_that_come_late)
{
    static const struct scenario rows[] = {
        { "the number is kept", "turn n=7\nis $turn:U 7\nttl $turn:U\n" },
        { "the same number again does nothing",
          "active 1\nfill w 1\nturn n=7\nturn n=7 want=1 ; c 1\nreply LATE call 7 of U came after "
          "its outcome was settled\n"
          "is :active 1\nis :wait w1\n" },
        { "a lower one neither", "active 1\nturn n=7\nturn n=6 ; c 1\nreply LATE call 6 of U came "
                                 "after its outcome was settled\nis :active 1\n" },
        { "a raised number refuses", "active 1\nfill w 1\n+ SET $turn:U 3/9\nturn n=9 want=1 ; c "
                                     "1\nis :active 1\nis :wait w1\nis $turn:U 3/9\n"
                                     "turn n=10 want=1 ; c 1\nis :active w1\nis $turn:U 10\n" },
    };
    SCENARIOS(rows);
}

Test(fetch, keys_of_the_queue_of_a_wrong_kind_refuse_before_any_write)
{
    static const char *const keys[] = { "wait",   "active", "prioritized", "delayed", "completed",
                                        "failed", "marker", "stalled",     "events",  "meta" };
    static char lines[ARRAY_SIZE(keys)][512];
    struct scenario rows[ARRAY_SIZE(keys)];

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        (void)snprintf(lines[i], sizeof(lines[i]),
                       "active 1\n+ DEL :%s\n+ SET :%s x\nturn want=1 ; c 1\n"
                       "reply WRONGTYPE bull:q:%s is not of the kind that a queue needs\n"
                       "is :1:lock U:1\nfield 1 returnvalue -\nis $turn:U -\nloose\n",
                       keys[i], keys[i], keys[i]);
        rows[i] = (struct scenario){ keys[i], lines[i] };
    }
    SCENARIOS(rows);
}
