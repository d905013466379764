/* A living process whose connection broke finds what lost calls fetched for it. */
#include <criterion/criterion.h>

#include "tests/lua/turn/scenario.h"

/* A call that was executed and whose answer was lost, and the question after it. */
#define LOST "turn n=2 want=3\noutcome 2\n"

Test(adopt, adopts_and_gives_back)
{
    static const struct scenario rows[] = {
        { "all, in the order of fetching",
          "fill w 4\n" LOST "+ PEXPIRE :w1:lock 5000\n+ SADD :stalled w1 w2\n"
          "adopt want=5\nreply back=0 jobs=w1,w2,w3\nis :active w3 w2 w1\nis :w1:lock U:2\n"
          "is :wait w4\nis :stalled -\nfield w1 ats 1\n"
          "+ EVAL \"assert(redis.call('PTTL', KEYS[1]) > 20000)\" 1 :w1:lock\n" },
        { "by pieces", "fill w 4\n" LOST
                       "adopt want=5 look=1\nreply back=0 jobs=w1,w2,w3\nis :active w3 w2 w1\n" },
        { "no room: back to the front, the first fetched is next",
          "fill w 4\n" LOST "events active jobId=w1 prev=waiting | active jobId=w2 prev=waiting | "
          "active jobId=w3 prev=waiting\n"
          "adopt want=0 look=2\nreply back=3 jobs=\nis :wait w4 w3 w2 w1\nis :active -\n"
          "is :w1:lock -\nfield w1 atm -\nfield w1 gbc -\nis :marker 0=0\n"
          "events waiting jobId=w3 prev=active | waiting jobId=w2 prev=active | waiting jobId=w1 "
          "prev=active\n" },
        { "some room", "fill w 4\n" LOST
                       "adopt want=1\nreply back=2 jobs=w3\nis :active w3\nis :wait w4 w2 w1\n" },
        { "some room, by pieces", "fill w 4\n" LOST "adopt want=2 look=1\nreply back=1 jobs=w2,w3\n"
                                  "is :active w3 w2\nis :wait w4 w1\n" },
        { "known ones stay as they are",
          "fill w 3\n" LOST "adopt want=5 known w2 U:2\nreply back=0 jobs=w1,w3\n"
          "adopt want=0 known w2 U:2\nreply back=2 jobs=\nis :active w2\nis :wait w3 w1\n" },
        { "one that it knows from an earlier fetch is another",
          "fill w 1\nturn n=2 want=1\nadopt want=5 known w1 U:1\nreply back=0 jobs=w1\n" },
        { "asked again, since the answer was lost: the same",
          "fill w 3\n" LOST "adopt want=2\nadopt want=2 known w1 U:2\nreply back=0 jobs=w2,w3\n"
          "loose\n" },
        { "a job settled and fetched again by the lost call",
          "active 1\nturn n=2 want=1 ; r 1\nis :1:lock U:2\noutcome 2 1 U:1 2\nreply D\n"
          "adopt want=1\nreply back=0 jobs=1\nis :active 1\n" },
        { "connection cut before the execution: nothing to adopt, and the late call does nothing",
          "fill w 1\noutcome 2\nadopt want=5\nreply back=0 jobs=\nturn n=2 want=1\nrefused LATE\n"
          "is :wait w1\n" },
        { "one that arrives late does not know what newer calls fetched or adopted",
          "fill w 3\n" LOST
          "adopt want=1\nreply back=2 jobs=w3\nturn n=9 want=1\nis :active w1 w3\n"
          "adopt want=0 n=3\nrefused LATE\nadopt want=0 n=9\nrefused LATE\nis :active w1 w3\n"
          "adopt want=0 n=10 known w1 U:9 w3 U:2\nreply back=0 jobs=\nis :active w1 w3\n"
          "adopt want=0 n=10\nrefused LATE\nturn n=10 want=1\nrefused LATE\nis :active w1 w3\n" },
        { "cut after the execution, then recovered by others in between",
          "fill w 3\n" LOST
          "recover\nadopt want=5\nreply fenced back=0 jobs=\nis :wait w3 w2 w1\n" },
        { "its lock ran out and another has it",
          "fill w 1\nturn n=2 want=1\n+ SET :w1:lock V:1\noutcome 2\nadopt want=5\n"
          "reply back=0 jobs=\nis :w1:lock V:1\n" },
        { "others' jobs are left alone",
          "active 1\n+ SET :1:lock V:1\nactive 2\n+ SET :2:lock UX:1\nadopt want=5\nreply back=0 "
          "jobs=\nadopt want=0\nreply back=0 jobs=\nis :active 2 1\n" },
        { "with a priority", "job p priority=2\n+ ZADD :prioritized 8589934593 p\nturn n=2 "
                             "want=1\nadopt want=0\nreply back=1 jobs=\nis :prioritized "
                             "p=8589934592\n" },
        { "on a paused queue",
          "fill w 2\nturn n=2 want=2\n+ HSET :meta paused 1\nadopt want=1\nreply back=1 jobs=w2\n"
          "is :paused w1\nis :marker -\n" },
        { "without a job",
          "fill w 1\nturn n=2 want=1\n+ DEL :w1\nadopt want=5\nreply back=1 jobs=\nis :active -\n"
          "is :wait -\nis :w1:lock -\n" },
        { "a damaged one goes back and is found out later",
          "fill w 2\nturn n=2 want=2\n+ DEL :w1\n+ SET :w1 x\n+ HSET :w2 stc x\nadopt want=5\n"
          "reply back=2 jobs=\nis :wait w2 w1\nturn want=2\nreply damaged=2 codes=ok jobs=\n" },
        { "a given-back job keeps the count of its deaths",
          "job s gbc=2\n+ LPUSH :wait s\nturn n=2 want=1 alone=1\nadopt want=0\nfield s gbc 2\n"
          "is :wait s\n" },
    };
    SCENARIOS(rows);
}
