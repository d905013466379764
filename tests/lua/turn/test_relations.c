/* Parents and deduplication: what the end of a job means for others (wire format 3.7, 3.8, 5.6). */
#include <criterion/criterion.h>

#include "tests/lua/turn/scenario.h"

/* A parent P in bull:p, waiting for 1 and x; FLAGS as in the child's parent JSON. Quotes inside of
 * a word are written \\" by the macro's user; the scenario's words drop them, so they come from
 * Redis. */
#define CHILD(flags)                                                                     \
    "active 1\n"                                                                         \
    "+ HSET :1 parentKey bull:p:P\n"                                                     \
    "+ EVAL \"redis.call('HSET', KEYS[1], 'parent', cjson.encode({id = 'P', queueKey = " \
    "'bull:p'" flags "}))\" 1 :1\n"
#define PARENT                                    \
    "+ HSET bull:p:P name p priority 0 delay 0\n" \
    "+ ZADD bull:p:waiting-children 5 P\n"
#define LAST "+ SADD bull:p:P:dependencies bull:q:1\n"
#define TWO  "+ SADD bull:p:P:dependencies bull:q:1 bull:q:x\n"

Test(parents, completed_children)
{
    static const struct scenario rows[] = {
        { "not the last one",
          CHILD("") PARENT TWO "turn ; c 1 value=7\n"
                               "is bull:p:P:dependencies bull:q:x\nis bull:p:P:processed "
                               "bull:q:1=7\nis bull:p:waiting-children P=5\nis bull:p:wait -\n"
                               "is :completed 1=1000000\n" },
        { "the last one: the parent runs next", CHILD("") PARENT LAST
          "+ LPUSH bull:p:wait o\nturn ; c 1\n"
          "is bull:p:wait o P\nis bull:p:waiting-children -\nis bull:p:marker 0=0\n"
          "events-of bull:p waiting jobId=P prev=waiting-children\n"
          "events completed jobId=1 returnvalue=1 prev=active | drained\n" },
        { "by its priority",
          CHILD("") PARENT LAST "+ HSET bull:p:P priority 3\n+ SET bull:p:pc 4\nturn ; c 1\n"
                                "is bull:p:prioritized P=12884901893\nis bull:p:marker 0=0\n" },
        { "by its delay, from now on",
          CHILD("") PARENT LAST "+ HSET bull:p:P delay 50 priority 3\nturn ; c 1\n"
                                "is bull:p:delayed P=4096204800\nis bull:p:marker "
                                "1=1000050\nevents-of bull:p delayed jobId=P delay=1000050\n" },
        { "its queue is paused",
          CHILD("") PARENT LAST "+ HSET bull:p:meta paused 1\nturn ; c 1\n"
                                "is bull:p:paused P\nis bull:p:wait -\nis bull:p:marker -\n" },
        { "its queue is full", CHILD("") PARENT LAST
          "+ HSET bull:p:meta concurrency 1\n+ LPUSH bull:p:active o\nturn ; c 1\n"
          "is bull:p:wait P\nis bull:p:marker -\n" },
        { "a parent that is gone", CHILD("") "+ SADD bull:p:P:dependencies bull:q:1\nturn ; c "
                                             "1\nis :completed 1=1000000\nis bull:p:wait -\n" },
        { "not among the children", CHILD("") PARENT
          "turn ; c 1\nis bull:p:P:processed -\nis bull:p:waiting-children P=5\n" },
        { "a parent that is not waiting for children",
          CHILD("") LAST "+ HSET bull:p:P name p\nturn ; c 1\nis bull:p:P:processed bull:q:1=1\nis "
                         "bull:p:wait -\n" },
        { "without the parent JSON the key is enough",
          "active 1 parentKey=bull:p:P\n" PARENT LAST "turn ; c 1\nis bull:p:wait P\n" },
        { "two children of one parent in a batch",
          "active 1 parentKey=bull:p:P\nactive x parentKey=bull:p:P\n" PARENT TWO
          "turn ; c 1 ; c x\n"
          "is bull:p:wait P\nis bull:p:P:processed bull:q:1=1 bull:q:x=1\nevents-of bull:p waiting "
          "jobId=P prev=waiting-children\n" },
        { "the parent in the same queue is fetched by the same call",
          "active 1 parentKey=bull:q:P\njob P\n+ ZADD :waiting-children 5 P\n+ SADD "
          ":P:dependencies bull:q:1\n"
          "turn want=1 ; c 1\nreply active=1 codes=ok jobs=P\n"
          "events waiting jobId=P prev=waiting-children | completed jobId=1 returnvalue=1 "
          "prev=active | active jobId=P prev=waiting\n" },
        { "a child that is not kept lets go too", CHILD("") PARENT LAST
          "turn ; c 1 keep=0\nis bull:p:wait P\nis :1 -\nis bull:p:P:processed bull:q:1=1\n" },
        { "retry leaves the parent alone", CHILD("") PARENT LAST
          "turn ; r 1\nis bull:p:waiting-children P=5\nis bull:p:P:dependencies bull:q:1\n" },
    };
    SCENARIOS(rows);
}

Test(parents, failed_children)
{
    static const struct scenario rows[] = {
        { "no policy: the parent waits",
          CHILD("") PARENT LAST "turn ; f 1\n"
                                "is bull:p:waiting-children P=5\nis bull:p:P:dependencies "
                                "bull:q:1\nis bull:p:P:failed -\nis :failed 1=1000000\n" },
        { "no policy, not kept: the parent is let go", CHILD("") PARENT LAST
          "turn ; f 1 keep=0\nis bull:p:wait P\nis bull:p:P:dependencies -\n" },
        { "fpof", CHILD(", fpof = true") PARENT TWO
          "turn ; f 1\n"
          "is bull:p:P:unsuccessful bull:q:1=1000000\nis bull:p:P:dependencies bull:q:x\nis "
          "bull:p:wait P\n"
          "is bull:p:P defa=child bull:q:1 failed delay=0 name=p priority=0\nis bull:p:marker 0=0\n"
          "events-of bull:p waiting jobId=P prev=waiting-children\n" },
        { "fpof, the parent has a delay", CHILD(", fpof = true") PARENT LAST
          "+ HSET bull:p:P delay 50\nturn ; f 1\nis bull:p:delayed P=4096204800\n" },
        { "fpof, the parent is delayed", CHILD(", fpof = true") LAST
          "+ HSET bull:p:P name p priority 0 delay 50\n+ ZADD bull:p:delayed 9999 P\nturn ; f 1\n"
          "is bull:p:delayed -\nis bull:p:wait P\nis bull:p:P defa=child bull:q:1 failed delay=0 "
          "name=p priority=0\n" },
        { "fpof, the parent is the only one that is due in this queue",
          "active 1\n+ HSET :1 parentKey bull:q:P\n"
          "+ EVAL \"redis.call('HSET', KEYS[1], 'parent', cjson.encode({id = 'P', queueKey = "
          "'bull:q', fpof = true}))\" 1 :1\n"
          "job P delay=50\n+ ZADD :delayed 9999 P\n+ SADD :P:dependencies bull:q:1\n"
          "turn want=1 ; f 1\nis :delayed -\nis :active P\nfield P delay 0\n"
          "field P defa \"child bull:q:1 failed\"\nis :failed 1=1000000\n" },
        { "fpof, the parent runs", CHILD(", fpof = true") LAST
          "+ HSET bull:p:P name p\n+ LPUSH bull:p:active P\nturn ; f 1\n"
          "is bull:p:P defa=child bull:q:1 failed name=p\nis bull:p:active P\n" },
        { "fpof, the parent has failed already", CHILD(", fpof = true") LAST
          "+ HSET bull:p:P name p\n+ ZADD bull:p:failed 1 P\nturn ; f 1\nis bull:p:P name=p\n" },
        { "cpof: the parent runs at once", CHILD(", cpof = true") PARENT TWO
          "turn ; f 1 value=e4\n"
          "is bull:p:P:failed bull:q:1=e4\nis bull:p:P:dependencies bull:q:x\nis bull:p:wait P\n" },
        { "idof, not the last", CHILD(", idof = true") PARENT TWO
          "turn ; f 1 value=e2\n"
          "is bull:p:P:failed bull:q:1=e2\nis bull:p:waiting-children P=5\n" },
        { "idof, the last", CHILD(", idof = true") PARENT LAST
          "turn ; f 1 value=e2\nis bull:p:P:failed bull:q:1=e2\nis bull:p:wait P\n" },
        { "rdof, the last", CHILD(", rdof = true") PARENT LAST
          "turn ; f 1\nis bull:p:P:failed -\nis bull:p:wait P\n" },
        { "rdof, not the last", CHILD(", rdof = true") PARENT TWO
          "turn ; f 1\nis bull:p:waiting-children P=5\nis bull:p:P:dependencies bull:q:x\n" },
        { "a policy, but no child of it", CHILD(", fpof = true") PARENT
          "turn ; f 1\nis bull:p:P:unsuccessful -\nis bull:p:waiting-children P=5\n" },
        { "a completed child ignores the policy", CHILD(", fpof = true") PARENT LAST
          "turn ; c 1\nis bull:p:P:processed bull:q:1=1\nis bull:p:wait P\n" },
    };
    SCENARIOS(rows);
}

Test(parents, damaged_parents)
{
    static const struct scenario rows[] = {
        { "the JSON is broken",
          "active 1 parentKey=bull:p:P parent={\n" PARENT LAST
          "turn ; c 1\nreply codes=damaged jobs=\n"
          "is :failed 1=1000000\nhas 1 failedReason \"parent is not readable\"\nfield 1 parent "
          "-\nis $quarantine:1:1:fields parent={\n"
          "is bull:p:waiting-children P=5\nevents failed jobId=1 failedReason=damaged job data: "
          "parent is not readable: \"{\" prev=active | drained\n" },
        { "the JSON is no object", "active 1 parentKey=bull:p:P parent=7\nturn ; f 1\nreply "
                                   "codes=damaged jobs=\nis :failed 1=1000000\n" },
        { "the JSON is another parent",
          CHILD("") "+ HSET :1 parentKey bull:p:Q\nturn ; c 1\nreply codes=damaged jobs=\nhas 1 "
                    "failedReason parentKey\n" },
        { "the key is no key", "active 1 parentKey=P\nturn ; c 1\nreply codes=damaged jobs=\n" },
        { "its children are no set",
          CHILD("") PARENT "+ SET bull:p:P:dependencies x\nturn ; c 1\nreply codes=damaged jobs=\n"
                           "has 1 failedReason \"bull:p:P:dependencies holds a string, not a "
                           "set\"\nis bull:p:P:dependencies x\n" },
        { "its results are no hash", CHILD("") PARENT LAST
          "+ SET bull:p:P:processed x\nturn ; c 1\nreply codes=damaged jobs=\n"
          "is bull:p:P:dependencies bull:q:1\n" },
        { "it is no hash",
          CHILD("") LAST "+ SET bull:p:P x\nturn ; c 1\nreply codes=damaged jobs=\n" },
        { "its queue is broken",
          CHILD("") PARENT LAST "+ SET bull:p:wait x\nturn ; c 1\nreply codes=damaged jobs=\nis "
                                "bull:p:waiting-children P=5\n" },
        { "its numbers count as none",
          CHILD("") PARENT LAST "+ HSET bull:p:P priority high delay long\nturn ; c 1\nreply "
                                "codes=ok jobs=\nis bull:p:wait P\n" },
        { "a damaged child tells its parent by its policy", CHILD(", fpof = true") PARENT LAST
          "+ HSET :1 atm x\nturn ; c 1\nreply codes=damaged jobs=\n"
          "is bull:p:wait P\nis bull:p:P:unsuccessful bull:q:1=1000000\n" },
        { "others in the batch settle",
          "active 1 parent={\nactive 2\nactive 3\nturn ; c 2 ; c 1 ; c 3\nreply codes=0,damaged,0 "
          "jobs=\n"
          "is :completed 2=1000000 3=1000000\nis :failed 1=1000000\n" },
    };
    SCENARIOS(rows);
}

#define OWNER "active 1 deid=d\n+ SET :de:d 1\n"

Test(deduplication, release)
{
    static const struct scenario rows[] = {
        { "completed", OWNER "turn ; c 1\nis :de:d -\n" },
        { "failed for good", OWNER "turn ; f 1\nis :de:d -\n" },
        { "not for a retry", OWNER "turn ; r 1\nis :de:d 1\n" },
        { "not kept", OWNER "turn ; c 1 keep=0\nis :de:d -\n" },
        { "with a time to live it runs out by itself",
          OWNER "+ PEXPIRE :de:d 60000\nturn ; c 1\nis :de:d 1\nttl :de:d\n" },
        { "of another owner", OWNER "+ SET :de:d 2\nturn ; c 1\nis :de:d 2\n" },
        { "gone already", OWNER "+ DEL :de:d\nturn ; c 1\nis :de:d -\nis :completed 1=1000000\n" },
        { "a key of a wrong kind",
          OWNER "+ DEL :de:d\n+ LPUSH :de:d x\nturn ; c 1\nreply codes=damaged jobs=\n"
                "has 1 failedReason bull:q:de:d\nis :de:d -\nis $quarantine:1:1:owner x\n" },
    };
    SCENARIOS(rows);
}

#define NEXT(opts)                                                                          \
    "+ EVAL \"redis.call('HSET', KEYS[1], 'name', 'm', 'data', '[2]', 'jid', '7', 'opts', " \
    "cjson.encode({" opts "}))\" 1 :dn:d\n+ SET :id 8\n"

Test(deduplication, keep_last)
{
    static const struct scenario rows[] = {
        { "the last update becomes a job",
          OWNER NEXT(
              "de = {id = 'd', keepLastIfActive = true}") "turn ; c 1\n"
                                                          "is :wait 7\nis :de:d 7\nis :dn:d -\nis "
                                                          ":id 9\nfield 7 name m\nfield 7 data "
                                                          "[2]\nfield 7 deid d\nfield 7 timestamp "
                                                          "1000000\n"
                                                          "field 7 delay 0\nfield 7 priority 0\nis "
                                                          ":marker 0=0\n"
                                                          "events added jobId=7 name=m | waiting "
                                                          "jobId=7 | completed jobId=1 "
                                                          "returnvalue=1 prev=active\n" },
        { "failed as well",
          OWNER NEXT(
              "de = {id = 'd', keepLastIfActive = true}") "turn ; f 1\nis :wait 7\nis :dn:d -\n" },
        { "with a priority",
          OWNER NEXT(
              "priority = 2") "turn ; c 1\nis :prioritized 7=8589934593\nfield 7 priority 2\n" },
        { "delayed",
          OWNER NEXT("delay = 50, priority = 2") "turn ; c 1\nis :delayed 7=4096204800\nfield 7 "
                                                 "delay 50\nis :marker 1=1000050\n"
                                                 "events added jobId=7 name=m | delayed jobId=7 "
                                                 "delay=1000050 | completed jobId=1 returnvalue=1 "
                                                 "prev=active | drained\n" },
        { "lifo", OWNER NEXT("lifo = true") "fill w 1\nturn ; c 1\nis :wait w1 7\n" },
        { "on a paused queue",
          OWNER NEXT(
              "") "+ HSET :meta paused 1\nturn ; c 1\nis :paused 7\nis :wait -\nis :marker -\n" },
        { "with a time to live",
          OWNER NEXT("de = {id = 'd', ttl = 60000}") "turn ; c 1\nis :de:d 7\nttl :de:d\n" },
        { "without an id of its own",
          OWNER NEXT("") "+ HDEL :dn:d jid\nturn ; c 1\nis :wait 9\nis :de:d 9\n" },
        { "with a parent",
          OWNER NEXT(
              "") "+ HSET :dn:d pk bull:p:P pd {} pdk bull:p:P:dependencies rjk s\nturn ; c 1\n"
                  "field 7 parentKey bull:p:P\nfield 7 rjk s\nis bull:p:P:dependencies "
                  "bull:q:7\n" },
        { "fetched at once", OWNER NEXT("") "turn want=1 ; c 1\nreply active=1 codes=ok jobs=7\n" },
        { "its id was used meanwhile",
          OWNER NEXT(
              "") "job 7\n+ LPUSH :wait 7\nturn ; c 1\nis :wait 7\nfield 7 name n\nis :dn:d -\n" },
        { "a damaged update is put aside",
          OWNER NEXT(
              "") "+ HSET :dn:d opts {\nturn ; c 1\nreply codes=damaged jobs=\nis :dn:d -\nis "
                  ":de:d -\n"
                  "is $quarantine:1:1:next data=[2] jid=7 name=m opts={\nis :failed 1=1000000\n" },
        { "the counter is no number",
          OWNER NEXT(
              "") "+ SET :id x\nturn ; c 1\nreply codes=damaged jobs=\nis :failed 1=1000000\n" },
    };
    SCENARIOS(rows);
}
