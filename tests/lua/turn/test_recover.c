/* A dead process' jobs go back (design 2: stop, see dead, give back), and what may come between. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "common/base/attr.h"
#include "tests/lua/turn/scenario.h"

#define DEATH "death=\"2026-01-02T03:04:05Z signal 9 (SIGKILL)\""
/* "assert(EXPRESSION)" about one key. */
#define HOLDS(key, expression) \
    "+ EVAL \"local at, key = redis.call, KEYS[1] assert(" expression ")\" 1 " key "\n"
#define HISTORY "cjson.decode(at('HGET', key, 'gbh'))"

Test(recover, gives_back)
{
    static const struct scenario rows[] = {
        { "to the front, the first fetched is next",
          "active 1 stc=1 atm=2\nactive 2\nactive 3\nfill w 1\nnow 2000000\nrecover\n"
          "reply back=3 failed=0\nis :wait w1 3 2 1\nis :active -\nis :1:lock -\nis :marker 0=0\n"
          "field 1 atm 2\nfield 1 ats 1\nfield 1 stc 1\nfield 1 gbc -\nfield 1 gbh -\n"
          "is $fence:U 1\nttl $fence:U\n"
          "events waiting jobId=3 prev=active | waiting jobId=2 prev=active | waiting jobId=1 "
          "prev=active\n" },
        { "in the same order by pieces",
          "active 1\nactive 2\nactive 3\nactive 4\nactive 5\nfill w 1\nrecover look=2\n"
          "reply back=5 failed=0\nis :wait w1 5 4 3 2 1\nis :active -\n" },
        { "others' jobs, and those without a lock, are left alone",
          "active 1\n+ SET :1:lock V:1\nactive 2\n+ SET :2:lock UX:1\nactive 3\n+ DEL :3:lock\n"
          "active 4\n+ DEL :4:lock\n+ LPUSH :4:lock U:1\nrecover look=1\nreply back=0 failed=0\n"
          "is :active 4 3 2 1\nis :marker -\nis :wait -\n" },
        { "the suspicion of a stall goes with it",
          "active 1\nactive 2\n+ SET :2:lock V:1\n+ SADD :stalled 1 2\nrecover\nis :stalled 2\n" },
        { "by their priority, as the first of it",
          "active p priority=2\njob o priority=2\n+ ZADD :prioritized 8589934593 o\nrecover\n"
          "is :prioritized p=8589934592 o=8589934593\nis :marker 0=0\n" },
        { "a paused queue", "+ HSET :meta paused 1\nactive 1\nactive 2\nrecover\nis :paused 2 1\n"
                            "is :wait -\nis :marker -\n" },
        { "a full queue has room now",
          "+ HSET :meta concurrency 1\nactive 1\nrecover\nis :wait 1\nis :marker 0=0\n" },
        { "one that stays full",
          "+ HSET :meta concurrency 1\nactive 1\nactive 2\n+ SET :2:lock V:1\nrecover\n"
          "is :wait 1\nis :marker -\n" },
        { "nothing there", "recover\nreply back=0 failed=0\nis $fence:U 1\nevents \n" },
        { "an id without a job is dropped",
          "+ LPUSH :active g\n+ SET :g:lock U:1\nactive 1\nrecover " DEATH "\n"
          "reply back=1 failed=0\nis :wait 1\nis :active -\nis :g:lock -\nis :g -\n" },
        { "a damaged job goes back, and the fetch finds it out",
          "active 1\n+ DEL :1\n+ SET :1 x\nactive 2 priority=high atm=many\nrecover " DEATH "\n"
          "reply back=2 failed=0\nis :wait 2 1\nturn uuid=V want=2\nreply damaged=2 codes=ok "
          "jobs=\nis :failed 1=1000000 2=1000000\nis :wait -\n" },
        { "an id that stands twice in the list goes back once",
          "active 1\nactive 2\n+ LPUSH :active 1\n+ RPUSH :active 1\nrecover look=2\n"
          "reply back=2 failed=0\nis :wait 1 2\nis :active -\n" },
        { "a list in which others' ids stand many times has an end",
          "active x\nactive y\nactive z\n+ SET :x:lock V:1\n+ SET :y:lock V:1\n"
          "+ LPUSH :active x y x y x y x y x y x x x x y y x\nrecover look=2\n"
          "reply back=1 failed=0\nis :wait z\nloose\n" },
        { "its row, its index entry and its place among the living go",
          "renew row host h\n+ ZADD $live 99999999999999 V\n+ ZADD $workers 5 V\n"
          "+ HSET $worker:V host h\nrecover\nis $worker:U -\nis $workers V=5\n"
          "is $live V=99999999999999\nis $worker:V host=h\n" },
        { "not before the walk is complete",
          "renew row host h\nactive 1\nactive 2\nrecover-piece a look=1\nreply back=1 failed=0 "
          "more\n"
          "ttl $worker:U\nrecover-piece a look=1\nrecover-piece a look=1\nreply back=0 failed=0\n"
          "is $worker:U -\n" },
        { "keys of the registry that hold something else",
          "active 1\n+ SET $workers x\n+ SET $live x\n+ LPUSH $worker:U x\n+ LPUSH $fence:U x\n"
          "recover\nreply back=1 failed=0\nis $worker:U -\nis $fence:U 1\n" },
    };
    SCENARIOS(rows);
}

Test(recover, counts_deaths)
{
    static const struct scenario rows[] = {
        { "the first", "active 1\nrecover " DEATH "\nreply back=1 failed=0\nfield 1 gbc 1\n" HOLDS(
                           ":1", "#" HISTORY " == 1 and " HISTORY
                                 "[1] == '2026-01-02T03:04:05Z signal 9 (SIGKILL)'") },
        { "without a cause nothing changes", "active 1 gbc=2 gbh=[]\nrecover\nreply back=1 "
                                             "failed=0\nfield 1 gbc 2\nfield 1 gbh []\n" },
        { "the last: it fails, with the history",
          "active 1 gbc=1 atm=1\n"
          "+ EVAL \"redis.call('HSET', KEYS[1], 'gbh', cjson.encode({'2026-01-01T00:00:00Z exit "
          "1', "
          "'no time'}))\" 1 :1\n"
          "recover most=2 " DEATH "\nreply back=0 failed=1\nis :failed 1=1000000\nis :wait -\n"
          "is :active -\nis :1:lock -\n"
          "field 1 failedReason \"its process died 2 times while running it: exit 1; no time; "
          "signal "
          "9 (SIGKILL)\"\n"
          "field 1 gbc 2\nfield 1 atm 2\nfield 1 finishedOn 1000000\nfield 1 stc -\n"
          "events failed jobId=1 failedReason=its process died 2 times while running it: exit 1; "
          "no "
          "time; signal 9 (SIGKILL) prev=active\n" },
        { "the first is the last",
          "active 1\nrecover most=1 " DEATH "\nreply back=0 failed=1\n"
          "field 1 failedReason \"its process died once while running it: signal 9 (SIGKILL)\"\n" },
        { "more often than allowed, since somebody lowered it",
          "active 1 gbc=7\nrecover most=3 " DEATH "\nreply back=0 failed=1\nfield 1 gbc 8\n" },
        { "one fails, its neighbours go back",
          "active 1\nactive 2 gbc=2\nactive 3\nrecover most=3 " DEATH "\nreply back=2 failed=1\n"
          "is :wait 3 1\nis :failed 2=1000000\nfield 1 gbc 1\nfield 3 gbc 1\n" },
        { "a job of a scheduler is counted and never fails",
          "active 1 gbc=9 rjk=s\n+ ZADD :repeat 5 s\nrecover most=3 " DEATH
          "\nreply back=1 failed=0\nfield 1 gbc 10\nis :wait 1\n" },
        { "of one with a hash", "active 1 gbc=9 rjk=s\n+ HSET :repeat:s ic 1\nrecover most=3 " DEATH
                                "\nreply back=1 failed=0\nis :wait 1\n" },
        { "of a scheduler that is gone", "active 1 gbc=2 rjk=s\nrecover most=3 " DEATH
                                         "\nreply back=0 failed=1\nis :failed 1=1000000\n" },
        { "room in a full queue",
          "+ HSET :meta concurrency 1\nactive 1\nfill w 1\nrecover most=1 " DEATH
          "\nreply back=0 failed=1\nis :marker 0=0\n" },
        { "a history of a bounded length",
          "active 1 gbc=30\n"
          "+ EVAL \"local h = {} for i = 1, 30 do h[i] = 'd' .. i end redis.call('HSET', KEYS[1], "
          "'gbh', cjson.encode(h))\" 1 :1\n"
          "recover most=99 " DEATH
          "\nfield 1 gbc 31\n" HOLDS(":1", "#" HISTORY " == 20 and " HISTORY
                                           "[1] == 'd12' and " HISTORY "[19] == 'd30'") },
        { "a story too long to be ours is left out",
          "active 1 gbc=1\n"
          "+ EVAL \"redis.call('HSET', KEYS[1], 'gbh', cjson.encode({string.rep('x', 2000), "
          "'d'}))\" 1 :1\n"
          "recover " DEATH "\n" HOLDS(":1", "#" HISTORY " == 2 and " HISTORY "[1] == 'd'") },
        { "and one that is no history at all",
          "active 1 gbc=1\n"
          "+ EVAL \"redis.call('HSET', KEYS[1], 'gbh', '[' .. string.rep('1,', 40000) .. '1]')\" 1 "
          ":1\n"
          "recover " DEATH "\n" HOLDS(":1", "#" HISTORY " == 1") },
    };
    SCENARIOS(rows);
}

Test(recover, damaged_counts)
{
    static const struct {
        const char *name, *gbc, *gbh, *count, *length;
    } damages[] = {
        { "a word", "many", "[]", "1", "1" },
        { "negative", "-7", "{}", "1", "1" },
        { "a fraction", "1.5", "nil", "1", "1" },
        { "an exponent", "1e3", "{a", "1", "1" },
        { "too big", "99999999999999999999", "[[[", "1", "1" },
        { "the history is a number", "1", "7", "2", "1" },
        { "the history holds other things", "1", "[null,1,{},[]]", "2", "1" },
    };
    static char lines[ARRAY_SIZE(damages)][1024];
    struct scenario rows[ARRAY_SIZE(damages)];

    for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
        (void)snprintf(lines[i], sizeof(lines[i]),
                       "active 1 gbc=%s gbh=%s\nrecover " DEATH "\nreply back=1 failed=0\n"
                       "field 1 gbc %s\nis :wait 1\n" HOLDS(":1", "#" HISTORY " == %s"),
                       damages[i].gbc, damages[i].gbh, damages[i].count, damages[i].length);
        rows[i] = (struct scenario){ damages[i].name, lines[i] };
    }
    SCENARIOS(rows);
}

#define CHILD(flags)                                                                     \
    "active 1 parentKey=bull:p:P\n"                                                      \
    "+ EVAL \"redis.call('HSET', KEYS[1], 'parent', cjson.encode({id = 'P', queueKey = " \
    "'bull:p'" flags "}))\" 1 :1\n"
#define PARENT                                    \
    "+ HSET bull:p:P name p priority 0 delay 0\n" \
    "+ ZADD bull:p:waiting-children 5 P\n"        \
    "+ SADD bull:p:P:dependencies bull:q:1\n"
#define FAILS   "recover most=1 " DEATH "\nreply back=0 failed=1\nis :failed 1=1000000\n"
#define RETURNS "recover most=2 " DEATH "\nreply back=1 failed=0\nis :wait 1\n"

Test(recover, failing_matters_to_others)
{
    static const struct scenario rows[] = {
        { "the parent fails too", CHILD(", fpof = true") PARENT FAILS
          "is bull:p:wait P\nis bull:p:marker 0=0\nis bull:p:P:unsuccessful bull:q:1=1000000\n"
          "is bull:p:P defa=child bull:q:1 failed delay=0 name=p priority=0\n" },
        { "the parent goes on without it",
          CHILD(", idof = true") PARENT FAILS "is bull:p:wait P\nis bull:p:P:dependencies -\n"
                                              "is bull:p:P:failed bull:q:1=its process died once "
                                              "while running it: signal 9 (SIGKILL)\n" },
        { "no policy: the parent waits", CHILD("") PARENT FAILS
          "is bull:p:waiting-children P=5\nis bull:p:P:dependencies bull:q:1\n" },
        { "a parent that is damaged does not save it",
          CHILD(", fpof = true") "+ SET bull:p:P x\n" FAILS },
        { "given back, nobody hears of it", CHILD(", fpof = true") PARENT RETURNS
          "is bull:p:waiting-children P=5\nis bull:p:P:dependencies bull:q:1\nis bull:p:wait -\n" },
        { "its deduplication ends", "active 1 deid=d\n+ SET :de:d 1\n" FAILS "is :de:d -\n" },
        { "the last update runs in its stead",
          "active 1 deid=d\n+ SET :de:d 1\n+ HSET :dn:d name n data 7 opts {} jid next\n" FAILS
          "is :wait next\nfield next data 7\nis :de:d next\nis :dn:d -\nis :marker 0=0\n" },
        { "given back, it goes on", "active 1 deid=d\n+ SET :de:d 1\n" RETURNS "is :de:d 1\n" },
        { "a deduplication that is damaged does not save it",
          "active 1 deid=d\n+ LPUSH :de:d x\n" FAILS "is :de:d -\n" },
        { "neither do parts of wrong kinds",
          "active 1\n+ SET :1:logs x\n+ SET :1:dependencies x\n" FAILS
          "is $quarantine:1:1:logs x\nis :1:logs -\n" },
    };
    SCENARIOS(rows);
}

Test(recover, interleavings)
{
    static const struct scenario rows[] = {
        { "a fetch call executed after the recovery looked takes nothing",
          "active 1\nfill w 1\nrecover\nturn want=5\n"
          "reply waiting=2 flags=8 codes=ok jobs=\nis :wait w1 1\nis :active -\nis :w1:lock -\n" },
        { "between two pieces neither",
          "active 1\nactive 2\nfill w 1\nrecover-piece a look=1\nreply back=1 failed=0 more\n"
          "turn want=5\nreply waiting=2 active=1 flags=8 codes=ok jobs=\nrecover-piece a look=1\n"
          "recover-piece a look=1\nreply back=0 failed=0\nis :active -\nis :wait w1 2 1\n" },
        { "it settles what it still holds",
          "active 1\nactive 2\nrecover-piece a look=1\nturn ; c 1\nreply waiting=1 flags=8 "
          "codes=ok "
          "jobs=\nis :completed 1=1000000\nrecover-piece a look=1\nreply back=0 failed=0\n"
          "is :wait 2\n" },
        { "but not what was given back",
          "active 1\nactive 2\nrecover\nturn ; c 1 ; r 2\nreply waiting=2 flags=8 codes=-2,-2 "
          "jobs=\n"
          "is :wait 2 1\nis :completed -\nfield 1 returnvalue -\nfield 2 atm -\n" },
        { "nor what another has fetched since",
          "active 1\nrecover\nturn uuid=V want=1\nturn n=7 ; f 1\nreply active=1 flags=8 codes=-6 "
          "jobs=\nis :active 1\nis :failed -\n" },
        { "a promotion is none of its business",
          "job d\n+ ZADD :delayed 1 d\nfence U\nturn want=5\nis :delayed d=1\n" },
        { "twice: the second finds nothing, and counts nothing",
          "active 1\nrecover " DEATH "\nrecover " DEATH "\nreply back=0 failed=0\nis :wait 1\n"
          "field 1 gbc 1\nevents waiting jobId=1 prev=active\n" },
        { "twice, fetched by another in between",
          "active 1\nrecover " DEATH "\nturn uuid=V want=1\nrecover " DEATH "\nreply back=0 "
          "failed=0\nis :active 1\nis :1:lock V:2\nfield 1 gbc 1\n" },
        { "two side by side, piece by piece",
          "active 1\nactive 2\nactive 3\nactive 4\nactive 5\nactive 6\n"
          "recover-piece a look=2 " DEATH "\nreply back=2 failed=0 more\n"
          "recover-piece b look=3 " DEATH "\nreply back=3 failed=0 more\n"
          "recover-piece a look=2 " DEATH "\nreply back=1 failed=0\n"
          "recover-piece b look=3 " DEATH "\nreply back=0 failed=0\n"
          "is :wait 6 5 4 3 2 1\nis :active -\nfield 1 gbc 1\nfield 6 gbc 1\n" },
        { "the anchor is settled between the pieces",
          "active 1\nactive 2\nactive o\n+ SET :o:lock V:1\nrecover-piece a look=1\n"
          "turn uuid=V ; c o token=V:1\nrecover-piece a look=1\nrecover-piece a look=1\n"
          "recover-piece a look=1\nreply back=0 failed=0\nis :wait 2 1\nis :active -\n" },
        { "the anchor is settled and fetched again",
          "active 1\nactive 2\nactive o\n+ SET :o:lock V:1\nrecover-piece a look=1\n"
          "turn uuid=V want=1 ; r o token=V:1\nis :active o 2 1\nrecover-piece a look=2\n"
          "recover-piece a look=2\nreply back=0 failed=0\nis :wait 2 1\nis :active o\n" },
        { "others fetch between the pieces",
          "active 1\nactive 2\nactive o\n+ SET :o:lock V:1\nfill w 3\nrecover-piece a look=1\n"
          "turn uuid=V want=3\nrecover-piece a look=1\nreply back=1 failed=0 more\n"
          "recover-piece a look=1\nreply back=1 failed=0 more\nrecover-piece a look=1\n"
          "reply back=0 failed=0\nis :wait 2 1\nis :active w3 w2 w1 o\n" },
        { "our stalled check first: the lock had run out",
          "active 1\n+ SADD :stalled 1\n+ DEL :1:lock\nstalled 1\nreply 1\nrecover " DEATH
          "\nreply back=0 failed=0\nis :wait 1\nfield 1 stc 1\nfield 1 gbc -\n" },
        { "our stalled check first: the lock still held",
          "active 1\n+ SADD :stalled 1\nstalled 1\nreply 0\nrecover\nreply back=1 failed=0\n"
          "is :wait 1\nis :stalled -\nfield 1 stc -\n" },
        { "our stalled check afterwards",
          "active 1\n+ SADD :stalled 1\nrecover\nstalled 1\nreply 0\nis :wait 1\nfield 1 stc -\n" },
        { "our stalled check afterwards, when another runs it",
          "active 1\n+ SADD :stalled 1\nrecover\nturn uuid=V want=1\nstalled 1\nreply 0\n"
          "is :active 1\nis :1:lock V:2\nfield 1 stc -\n" },
        { "a stock stalled check first: the lock had run out",
          "active 1\nstock-stalled\n+ DEL :1:lock\nstock-stalled\nrecover\n"
          "reply back=0 failed=0\nis :wait 1\nfield 1 stc 1\n" },
        { "a stock stalled check first: the lock still held",
          "active 1\nstock-stalled\nstock-stalled\nis :active 1\nrecover\nreply back=1 "
          "failed=0\nstock-stalled\nis :wait 1\nfield 1 stc -\n" },
        { "a stock stalled check afterwards",
          "active 1\nstock-stalled\nrecover\nstock-stalled\nis :wait 1\nfield 1 stc -\nis "
          ":stalled -\n" },
        { "a paused process that wakes up: nothing of it works, others' jobs are untouched",
          "active 1\nactive 2\nrenew row host h\nrecover\nturn uuid=V want=1\n"
          "renew 1 U:1 1 2 U:1 1 row host h\nreply 0 LL fenced\nis $live -\nis $worker:U -\n"
          "is $workers -\nis :1:lock V:2\nis :2:lock -\n"
          "turn n=9 want=1 ; c 1 ; g 2\nreply waiting=1 active=1 flags=8 codes=-6,-2 jobs=\n"
          "adopt want=5\nreply fenced back=0 jobs=\n"
          "is :active 1\nis :wait 2\nis :completed -\nis :1:lock V:2\nfield 1 returnvalue -\n" },
        { "it was waiting for an answer: adopting is no way around the fence",
          "fill w 1\nturn n=2 want=1\n+ PEXPIRE :w1:lock 5000\nfence U\noutcome 2\n"
          "adopt want=5\nreply fenced back=0 jobs=\nis :active w1\n" HOLDS(
              ":w1:lock",
              "at('PTTL', key) <= 5000") "recover\nreply back=1 failed=0\nis :wait w1\n" },
        { "its successor has another uuid and is not touched",
          "active 1\nfill w 1\nrecover\nturn uuid=U2 want=2\nrecover\nreply back=0 failed=0\n"
          "is :active w1 1\n" },
    };
    SCENARIOS(rows);
}

Test(recover, fence_alone)
{
    static const struct scenario rows[] = {
        { "settles, and fetches nothing",
          "active 1\nfill w 1\nfence U\nreply 0\nttl $fence:U\nturn want=1 ; c 1\n"
          "reply waiting=1 flags=8 codes=ok jobs=\nis :completed 1=1000000\nis :wait w1\n" },
        { "keeps what is active",
          "active 1\nfence U\nis :active 1\nis :1:lock U:1\nrenew 1 U:1 1\nreply 0 L fenced\n" },
        { "others go on", "fill w 1\nfence V\nturn want=1\nreply active=1 codes=ok jobs=w1\n" },
        { "ends by itself",
          "fill w 1\nfence U\n+ DEL $fence:U\nturn want=1\nreply active=1 codes=ok jobs=w1\n" },
    };
    SCENARIOS(rows);
}
