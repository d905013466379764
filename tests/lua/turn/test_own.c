/* Locks, lost calls, the stalled check (wire format 7; PLAN of ownership: design 2). */
#include <criterion/criterion.h>

#include "tests/lua/turn/scenario.h"

Test(renew, answers)
{
    static const struct scenario rows[] = {
        { "extended", "active 1\n+ PEXPIRE :1:lock 10\n+ SADD :stalled 1 x\nrenew 1 U:1 1\nreply 1 "
                      "E\nis :1:lock U:1\nis :stalled x\n" },
        { "relocked",
          "active 1\n+ DEL :1:lock\nrenew 1 U:1 1\nreply 1 R\nis :1:lock U:1\nttl :1:lock\n" },
        { "lost: of another",
          "active 1\n+ SET :1:lock V:1\nrenew 1 U:1 1\nreply 1 L\nis :1:lock V:1\n" },
        { "lost: our own later fetch",
          "active 1\n+ SET :1:lock U:9\nrenew 1 U:1 1\nreply 1 L\nis :1:lock U:9\n" },
        { "lost: no longer active", "active 1\n+ DEL :1:lock :active\n+ LPUSH :wait 1\nrenew 1 U:1 "
                                    "1\nreply 1 L waiting=1 oldest=1\nis :1:lock -\n" },
        { "lost: somebody ran it meanwhile, and is gone too",
          "active 1 ats=2\n+ DEL :1:lock\nrenew 1 U:1 1\nreply 1 L\nis :1:lock -\n" },
        { "lost: the job is gone",
          "+ LPUSH :active 1\nrenew 1 U:1 1\nreply 1 L\nis :1:lock -\nloose\n" },
        { "lost: a lock of a wrong kind",
          "active 1\n+ DEL :1:lock\n+ LPUSH :1:lock x\nrenew 1 U:1 1\nreply 1 L\nis :1:lock x\n" },
        { "lost: no hash",
          "active 1\n+ DEL :1:lock :1\n+ SET :1 x\nrenew 1 U:1 1\nreply 1 L\nloose\n" },
        { "each for itself", "active 1\nactive 2\nactive 3\n+ DEL :2:lock\n+ SET :3:lock "
                             "V:1\nrenew 1 U:1 1 2 U:1 1 3 U:1 1\nreply 1 ERL\n" },
        { "a beat without jobs", "renew\nreply 1 \nttl $live\n" },
        { "live processes are counted",
          "+ EVAL \"local t = redis.call('TIME')[1] * 1000 redis.call('ZADD', KEYS[1], t - 1000, "
          "'V', t - 60000, 'W')\" 1 $live\nrenew\nreply 2 \n" },
    };
    SCENARIOS(rows);
}

/* As `drover status` counts: lib/waiting.lua.*/
Test(renew, tells_what_waits)
{
    static const struct scenario rows[] = {
        { "nothing", "active 1\nrenew 1 U:1 1\nreply 1 E\n" },
        { "wait and prioritized; the end of wait is next",
          "job 1 timestamp=11\njob 2 timestamp=22\njob 3 timestamp=33\n+ LPUSH :wait 1 2\n"
          "+ ZADD :prioritized 5 3\nrenew\nreply 1  waiting=3 oldest=11\n" },
        { "prioritized alone",
          "job 1 timestamp=11\njob 2 timestamp=22\n+ ZADD :prioritized 9 1 5 2\nrenew\n"
          "reply 1  waiting=2 oldest=22\n" },
        { "what a paused queue of version 5 holds",
          "job 1 timestamp=11\n+ HSET :meta paused 1\n+ LPUSH :paused 1\nrenew\n"
          "reply 1  waiting=1 oldest=11\n" },
        { "its hash is gone", "+ LPUSH :wait 1\nrenew\nreply 1  waiting=1\nloose\n" },
        { "its hash is none", "+ LPUSH :wait 1\n+ SET :1 x\nrenew\nreply 1  waiting=1\nloose\n" },
        { "delayed ones do not wait yet",
          "job 1 timestamp=11\n+ ZADD :delayed 999999999 1\nrenew\nreply 1 \n" },
        { "a key of a wrong kind costs no lock",
          "active 1\n+ PEXPIRE :1:lock 10\n+ SET :wait x\nrenew 1 U:1 1\n"
          "reply 1 E waiting=?\nttl :1:lock\nloose\n" },
        { "nor does another one", "active 1\n+ SET :prioritized x\nrenew 1 U:1 1\n"
                                  "reply 1 E waiting=?\nloose\n" },
    };
    SCENARIOS(rows);
}

Test(outcome, interleavings)
{
    static const struct scenario rows[] = {
        { "executed", "active 1\nturn n=2 ; c 1\noutcome 2 1 U:1 2\nreply D\nis $turn:U 2/2\n" },
        { "executed, but the job was no longer ours",
          "active 1\n+ SET :1:lock V:1\nturn n=2 ; c 1\noutcome 2 1 U:1 2\nreply D\n" },
        { "executed and refused: children pending",
          "active 1\n+ SADD :1:dependencies x\nturn n=2 ; c 1\noutcome 2 1 U:1 2\nreply M\n" },
        { "not executed: still mine",
          "active 1\noutcome 2 1 U:1 2\nreply M\nis $turn:U 0/2\nttl $turn:U\n" },
        { "not executed, then it arrives: nothing happens",
          "active 1\nfill w 1\noutcome 2 1 U:1 2\nturn n=2 want=1 ; c 1\nis :active 1\nis :wait "
          "w1\nis :1:lock U:1\nis :completed -\n"
          "turn n=3 ; c 1\nreply waiting=1 codes=ok jobs=\nis :completed 1=1000000\n" },
        { "asked twice: the same answers", "active 1\noutcome 2 1 U:1 2\nreply M\noutcome 2 1 "
                                           "U:1 2\nreply M\nis $turn:U 0/2\n" },
        { "asked twice, lock gone: still free, not done",
          "active 1\noutcome 2 1 U:1 2\n+ DEL :1:lock\noutcome 2 1 U:1 2\nreply F\n" },
        { "two lost calls, the first executed", "active 1\nactive 2\nturn n=2 ; c 1\noutcome 3 1 "
                                                "U:1 2 2 U:1 3\nreply DM\nis $turn:U 2/3\n" },
        { "lock expired, nobody took it", "active 1\n+ DEL :1:lock\noutcome 2 1 U:1 2\nreply F\n" },
        { "lock expired, put back",
          "active 1\n+ DEL :1:lock :active\n+ LPUSH :wait 1\noutcome 2 1 U:1 2\nreply N\n" },
        { "taken by another", "active 1\n+ SET :1:lock V:3\noutcome 2 1 U:1 2\nreply N\n" },
        { "the job is gone", "outcome 2 1 U:1 2\nreply N\n" },
        { "the number never goes down", "turn n=9\noutcome 4\nis $turn:U 9/9\n" },
        { "after the memory of the server is gone",
          "active 1\nturn n=5\n+ DEL $turn:U\noutcome 6 1 U:1 6\nreply M\nis $turn:U 0/6\n" },
    };
    SCENARIOS(rows);
}

Test(stalled, two_passes)
{
    static const struct scenario rows[] = {
        { "the first pass only remembers",
          "active 1\nactive 2\nstalled 1\nreply 0\nis :stalled 1 2\nis :stalled-check 1000000\nttl "
          ":stalled-check\nevents \n" },
        { "the gate", "active 1\n+ SADD :stalled 1\n+ DEL :1:lock\n+ SET :stalled-check 1\nstalled "
                      "1\nreply -1\nis :active 1\n" },
        { "the second puts back what has no lock",
          "active 1\nactive 2\nfill w 1\n+ SADD :stalled 1 2\n+ DEL :1:lock\nstalled 1\nreply 1\n"
          "is :wait w1 1\nis :active 2\nis :stalled 2\nfield 1 stc 1\nfield 1 defa -\nfield 1 atm "
          "-\nis :marker 0=0\n"
          "events waiting jobId=1 prev=active | stalled jobId=1\n" },
        { "to wait even with a priority", "active 1 priority=5\n+ SADD :stalled 1\n+ DEL "
                                          ":1:lock\nstalled 1\nis :wait 1\nis :prioritized -\n" },
        { "too often: it will fail",
          "active 1 stc=1\n+ SADD :stalled 1\n+ DEL :1:lock\nstalled 1\nfield 1 stc 2\n"
          "field 1 defa \"job stalled more than allowable limit\"\nis :wait 1\nis :failed -\n" },
        { "a job of a scheduler never",
          "active 1 stc=9 rjk=s\n+ ZADD :repeat 5 s\n+ SADD :stalled 1\n+ DEL :1:lock\nstalled "
          "1\nfield 1 stc 10\nfield 1 defa -\n" },
        { "of a scheduler that is gone",
          "active 1 stc=9 rjk=s\n+ SADD :stalled 1\n+ DEL :1:lock\nstalled 1\nfield 1 defa \"job "
          "stalled more than allowable limit\"\n" },
        { "settled meanwhile", "+ SADD :stalled 1\nstalled 1\nreply 0\nis :stalled -\n" },
        { "on a paused queue", "+ HSET :meta paused 1\nactive 1\n+ SADD :stalled 1\n+ DEL "
                               ":1:lock\nstalled 1\nis :paused 1\nis :wait -\nis :marker -\n" },
        { "an id without a job is dropped", "+ LPUSH :active g\n+ SADD :stalled g\nstalled "
                                            "1\nreply 0\nis :active -\nis :wait -\nis :g -\n" },
        { "a damaged job goes back and the fetch finds it out",
          "+ SET :1 x\n+ LPUSH :active 1\n+ SADD :stalled 1\nstalled 1\nreply 1\nis :wait 1\nturn "
          "want=1\nis :failed 1=1000000\n" },
    };
    SCENARIOS(rows);
}

Test(leave, leaves_nothing)
{
    static const struct scenario rows[] = {
        { "alone", "turn n=3\nrenew\nleave\nreply 0\nis $turn:U -\nis $live -\n" },
        { "others live on",
          "renew\n+ ZADD $live 99999999999999 V\nleave\nreply 1\nis $live V=99999999999999\n" },
    };
    SCENARIOS(rows);
}
