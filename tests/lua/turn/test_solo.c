/* Jobs whose process died twice: passed over, claimed, run alone; and deaths counted by a settle.
 */
#include <criterion/criterion.h>

#include "tests/lua/turn/scenario.h"

#define SOLO "job s gbc=2\n"

Test(solo, passed_over)
{
    static const struct scenario rows[] = {
        { "in the middle: it keeps its place, the others run",
          "fill w 1\n" SOLO "+ LPUSH :wait s\njob a\njob b\n+ LPUSH :wait a b\nturn want=2\n"
          "reply waiting=1 active=2 flags=16 codes=ok jobs=w1,a\nis :wait b s\nis $solo U\n"
          "ttl $solo\nis :s:lock -\nfield s ats -\nis :marker 0=0\n" },
        { "several at the front keep their order",
          "job s1 gbc=2\njob s2 gbc=3\n+ LPUSH :wait s1 s2\nfill w 2\n+ LPUSH :wait s3\n"
          "job s3 gbc=9\nturn want=2\nreply waiting=1 active=2 flags=16 codes=ok jobs=w1,w2\n"
          "is :wait s3 s2 s1\n" },
        { "behind the last one that is taken nothing is looked at",
          "fill w 2\n" SOLO "+ LPUSH :wait s\nturn want=2\n"
          "reply waiting=1 active=2 codes=ok jobs=w1,w2\nis :wait s\nis $solo -\n" },
        { "among the prioritized, scores unchanged",
          "job p1 priority=1\njob p2 priority=2\njob s gbc=2 priority=1\n"
          "+ ZADD :prioritized 4294967297 s 4294967298 p1 8589934593 p2\nturn want=5\n"
          "reply active=2 flags=16 codes=ok jobs=p1,p2\nis :prioritized s=4294967297\n" },
        { "in wait it does not hide the prioritized",
          SOLO "+ LPUSH :wait s\njob p priority=1\n+ ZADD :prioritized 4294967297 p\nturn want=5\n"
               "reply active=1 flags=16 codes=ok jobs=p\nis :wait s\nis :prioritized -\n" },
        { "ids without a job around it",
          SOLO "+ LPUSH :wait g1 s g2\nfill w 1\nturn want=5\n"
               "reply active=1 flags=16 ghosts=2 codes=ok jobs=w1\nis :wait s\n" },
        { "a damaged one before it",
          "job d stc=x\n" SOLO "+ LPUSH :wait d s\nfill w 1\nturn want=1\n"
          "reply active=1 flags=16 damaged=1 codes=ok jobs=w1\nis :wait s\n" },
        { "nothing but such jobs: nothing is written, nobody is woken",
          SOLO "+ LPUSH :wait s\n+ SET $solo V PX 60000\nturn want=5\nreply codes=ok jobs=\n"
               "is :wait s\nis :marker -\nevents \n" },
        { "the same once more, for the one who has the claim",
          SOLO "+ LPUSH :wait s\nturn want=5\nreply flags=16 codes=ok jobs=\nturn want=5\n"
               "reply flags=16 codes=ok jobs=\nis :marker -\nis $solo U\n" },
        { "another has the claim: go on as ever",
          SOLO "+ LPUSH :wait s\nfill w 1\n+ SET $solo V PX 60000\nturn want=5\n"
               "reply active=1 codes=ok jobs=w1\nis $solo V\n" },
        { "a claim that holds something else",
          SOLO "+ LPUSH :wait s\n+ LPUSH $solo x\nturn want=5\nreply codes=ok jobs=\nturn want=5\n"
               "reply flags=16 codes=ok jobs=\nis $solo U\n" },
        { "one death is none", "job a gbc=1\n+ LPUSH :wait a\nturn want=5\nreply active=1 codes=ok "
                               "jobs=a\n" },
        { "a count that can't be read is none",
          "job a gbc=many\njob b gbc=-5\njob c gbc=2.5\n+ LPUSH :wait a b c\nturn want=5\n"
          "reply active=3 codes=ok jobs=a,b,c\n" },
        { "a promoted one",
          SOLO "+ ZADD :delayed 1 s\nturn want=5\nreply flags=16 codes=ok jobs=\nis :wait s\n" },
        { "paused: it is not looked at",
          "+ HSET :meta paused 1\n" SOLO "+ LPUSH :paused s\nturn want=5\nreply flags=1 codes=ok "
          "jobs=\nis $solo -\n" },
    };
    SCENARIOS(rows);
}

Test(solo, alone)
{
    static const struct scenario rows[] = {
        { "one such job and nothing else",
          "fill w 2\n" SOLO
          "job t gbc=2\n+ LPUSH :wait s t\n+ SET $solo U PX 5\nturn want=5 alone=1\n"
          "reply waiting=3 active=1 flags=16 codes=ok jobs=s\nis :wait t w2 w1\nis :s:lock U:2\n"
          "ttl $solo\nis $solo U\nis :marker 0=0\n" },
        { "among the prioritized, although others wait",
          "fill w 1\njob s gbc=2 priority=1\njob p priority=1\n"
          "+ ZADD :prioritized 4294967297 p 4294967298 s\nturn want=5 alone=1\n"
          "reply waiting=2 active=1 flags=16 codes=ok jobs=s\nis :prioritized p=4294967297\n"
          "is :wait w1\n" },
        { "another has the claim by now: once, then as ever",
          SOLO "+ LPUSH :wait s\n+ SET $solo V PX 60000\nturn want=5 alone=1\n"
               "reply active=1 codes=ok jobs=s\nis $solo V\n" },
        { "none is there: the claim ends",
          "fill w 2\n+ SET $solo U PX 60000\nturn want=5 alone=1\nreply waiting=2 codes=ok jobs=\n"
          "is :wait w2 w1\nis $solo -\nturn want=5\nreply active=2 codes=ok jobs=w1,w2\n" },
        { "nothing at all is there",
          "+ SET $solo U PX 60000\nturn want=5 alone=1\nreply codes=ok jobs=\nis $solo -\n" },
        { "another's claim does not end",
          "fill w 1\n+ SET $solo V PX 60000\nturn want=5 alone=1\nis $solo V\n" },
        { "nothing may be fetched now: the claim stays", SOLO
          "+ LPUSH :wait s\n+ HSET :meta concurrency 1\nactive o\n+ SET $solo U PX 60000\n"
          "turn want=5 alone=1\nreply waiting=1 active=1 flags=2 codes=ok jobs=\nis $solo U\n" },
        { "it settles its last job and takes the next in one call",
          "active 1\n" SOLO "+ LPUSH :wait s\nturn want=5 alone=1 ; c 1\n"
          "reply active=1 flags=16 codes=ok jobs=s\n" },
        { "one after the other until nothing is left",
          "job s gbc=2\njob t gbc=2\n+ LPUSH :wait s t\nfill w 1\nturn want=5\n"
          "reply active=1 flags=16 codes=ok jobs=w1\nturn want=5 alone=1 ; c w1 token=U:2\n"
          "reply waiting=1 active=1 flags=16 codes=ok jobs=s\n"
          "turn want=5 alone=1 ; c s token=U:3\nreply active=1 flags=16 codes=ok jobs=t\n"
          "turn want=5 alone=1 ; c t token=U:4\nreply codes=ok jobs=\nis $solo -\nis :wait -\n"
          "is :active -\n" },
        { "the claimer is gone: the next one claims when the claim ends", SOLO
          "+ LPUSH :wait s\nturn want=5\nturn uuid=V want=5\nreply codes=ok jobs=\n+ DEL $solo\n"
          "turn uuid=V want=5\nreply flags=16 codes=ok jobs=\nturn uuid=V want=5 alone=1\n"
          "reply active=1 flags=16 codes=ok jobs=s\n" },
        { "the claimer leaves: its claim goes with it",
          SOLO "+ LPUSH :wait s\nturn want=5\nis $solo U\nleave\nis $solo -\n" },
        { "the claimer is recovered: so does it",
          "active 1\n" SOLO "+ LPUSH :wait s\nturn want=5\nrecover\nis $solo -\n" },
        { "not another's claim", "+ SET $solo V\nleave\nrecover\nis $solo V\n" },
        { "a fenced process claims nothing", SOLO "+ LPUSH :wait s\nfence U\nturn want=5 alone=1\n"
                                                  "reply waiting=1 flags=8 codes=ok jobs=\nturn "
                                                  "want=5\nis $solo -\n" },
        { "a rate limit counts it",
          "+ HSET :meta max 5 duration 1000\n" SOLO "+ LPUSH :wait s\nturn want=5 alone=1\n"
          "is :limiter 1\n" },
    };
    SCENARIOS(rows);
}

Test(solo, a_bounded_look)
{
    static const struct scenario rows[] = {
        { "300 of them: no call for more, and the one behind waits",
          "+ EVAL \"for i = 1, 300 do redis.call('HSET', 'bull:q:s' .. i, 'name', 'n', 'gbc', '2') "
          "redis.call('LPUSH', KEYS[1], 's' .. i) end\" 1 :wait\n"
          "fill w 1\nturn want=10\nreply waiting=35 flags=16 codes=ok jobs=\nis :marker -\n"
          "+ EVAL \"assert(redis.call('LLEN', KEYS[1]) == 301 and redis.call('LINDEX', KEYS[1], "
          "-1) "
          "== 's1')\" 1 :wait\n"
          "turn want=10 alone=1\nreply waiting=300 active=1 flags=16 codes=ok jobs=s1\n" },
        { "among ids without a job: the call for more comes to an end",
          "+ EVAL \"for i = 1, 300 do redis.call('HSET', 'bull:q:s' .. i, 'name', 'n', 'gbc', '2') "
          "redis.call('LPUSH', KEYS[1], 's' .. i, 'g' .. i) end\" 1 :wait\n"
          "turn want=10\nreply waiting=334 flags=20 ghosts=133 codes=ok jobs=\n"
          "turn want=10\nreply waiting=201 flags=20 ghosts=66 codes=ok jobs=\nloose\n" },
    };
    SCENARIOS(rows);
}

#define VALUE "value=\"2026-01-02T03:04:05Z exit 1\""

Test(solo, give_back_counted)
{
    static const struct scenario rows[] = {
        { "to the front, counted",
          "active 1 atm=1 stc=1\nfill w 1\nturn ; G 1 " VALUE "\nreply waiting=2 codes=ok jobs=\n"
          "is :wait w1 1\nis :active -\nis :1:lock -\nfield 1 gbc 1\nhas 1 gbh 05Z\nfield 1 atm 1\n"
          "field 1 stc 1\nevents waiting jobId=1 prev=active\nis :marker 0=0\n" },
        { "in order, beside others",
          "active 1\nactive 2\nactive 3\nturn ; G 1 ; g 2 ; G 3\nreply waiting=3 codes=ok jobs=\n"
          "is :wait 3 2 1\nfield 2 gbc -\nfield 3 gbc 1\n" },
        { "by its priority",
          "active 1 priority=3\nturn ; G 1\nis :prioritized 1=12884901888\nfield 1 gbc 1\n" },
        { "the last one: it fails",
          "active 1 gbc=2 atm=1\nactive 2\nturn ; G 1 " VALUE " ; G 2\n"
          "reply waiting=1 codes=ok jobs=\nis :failed 1=1000000\nis :wait 2\nfield 1 atm 2\n"
          "field 1 failedReason \"its process died 3 times while running it: exit 1\"\n"
          "field 1 finishedOn 1000000\nis :active -\n" },
        { "as many as the configuration allows",
          "active 1\nturn givebacks=1 ; G 1 " VALUE "\nreply codes=ok jobs=\nis :failed 1=1000000\n"
          "events failed jobId=1 failedReason=its process died once while running it: exit 1 "
          "prev=active | drained\n" },
        { "a job of a scheduler never",
          "active 1 gbc=8 rjk=s\n+ ZADD :repeat 5 s\nturn ; G 1\nis :wait 1\nfield 1 gbc 9\n" },
        { "its parent hears of the failure",
          "active 1 parentKey=bull:p:P\n+ EVAL \"redis.call('HSET', KEYS[1], 'parent', "
          "cjson.encode({id = 'P', queueKey = 'bull:p', fpof = true}))\" 1 :1\n"
          "+ HSET bull:p:P name p\n+ ZADD bull:p:waiting-children 5 P\n"
          "+ SADD bull:p:P:dependencies bull:q:1\nturn givebacks=1 ; G 1\nis bull:p:wait P\n" },
        { "not ours", "active 1\n+ SET :1:lock V:1\nactive 2\n+ DEL :2:lock\nturn ; G 1 ; G 2\n"
                      "reply active=2 codes=-6,-2 jobs=\nfield 1 gbc -\nfield 2 gbc -\n" },
        { "damaged", "active 1\n+ DEL :1\n+ SET :1 x\nactive 2 atm=x\nturn ; G 1 ; G 2\n"
                     "reply codes=damaged,damaged jobs=\nis :failed 1=1000000 2=1000000\n" },
        { "a damaged count", "active 1 gbc=x gbh=x\nturn ; G 1\nfield 1 gbc 1\nis :wait 1\n" },
        { "in the second it is passed over by the same call",
          "active 1 gbc=1\nfill w 1\nturn want=5 ; G 1\n"
          "reply active=1 flags=16 codes=ok jobs=w1\nis :wait 1\nfield 1 gbc 2\n" },
    };
    SCENARIOS(rows);
}

/* Condemning may put a job at the front of the list out of which the ids are being taken. */
Test(solo, damaged_jobs_among_those_taken)
{
    static const struct scenario rows[] = {
        { "a damaged child whose parent waits in the same queue",
          "job P\n+ ZADD :waiting-children 5 P\n+ SADD :P:dependencies bull:q:c\n"
          "job c stc=x parentKey=bull:q:P\n+ EVAL \"redis.call('HSET', KEYS[1], 'parent', "
          "cjson.encode({id = 'P', queueKey = 'bull:q', fpof = true}))\" 1 :c\n"
          "+ LPUSH :wait c\nfill w 1\nturn want=2\n"
          "reply waiting=1 active=1 damaged=1 codes=ok jobs=w1\nis :wait P\nis :active w1\n"
          "is :failed c=1000000\nis :marker 0=0\n" },
        { "a damaged job with a last update that goes to the front",
          "job c stc=x deid=d\n+ SET :de:d c\n+ EVAL \"redis.call('HSET', KEYS[1], 'name', 'n', "
          "'jid', 'u', 'opts', cjson.encode({lifo = true}))\" 1 :dn:d\n+ LPUSH :wait c\nfill w 1\n"
          "turn want=2\nreply waiting=1 active=1 damaged=1 codes=ok jobs=w1\nis :wait u\n"
          "is :active w1\n" },
    };
    SCENARIOS(rows);
}
