/* The worker's scripts on a server that is full, or that takes no writes. */
#include <criterion/criterion.h>

#include "tests/lua/turn/scenario.h"

#define FULL "+ CONFIG SET maxmemory 1\n"
#define ROOM "+ CONFIG SET maxmemory 0\n"

Test(server, full_memory)
{
    static const struct scenario rows[] = {
        { "the server is full indeed", "turn\n" FULL "turn\nreply codes=ok jobs=\n" ROOM },
        { "settle all kinds",
          "active 1\nactive 2\nactive 3\nactive 4\nactive 5\n" FULL
          "turn ; c 1 ; f 2 ; r 3 ; l 4 ; g 5\nreply waiting=2 due=1000500 codes=ok jobs=\n" ROOM
          "is :completed 1=1000000\nis :failed 2=1000000\nis :wait 3 5\nis :delayed "
          "4=4098048000\n" },
        { "settle and fetch",
          "active 1\nfill w 1\n" FULL "turn want=1 ; c 1\nreply active=1 codes=ok jobs=w1\n" ROOM },
        { "fetch: what is drained frees memory",
          "fill w 1\n" FULL "turn want=1\nreply active=1 codes=ok jobs=w1\n" ROOM },
        { "renew and relock",
          "active 1\nactive 2\n+ DEL :2:lock\n" FULL "renew 1 U:1 1 2 U:1 1\nreply 1 ER\n" ROOM },
        { "outcome", "active 1\nturn n=2\n" FULL "outcome 3 1 U:1 3\nreply M\n" ROOM },
        { "stalled",
          "active 1\n+ SADD :stalled 1\n+ DEL :1:lock\n" FULL "stalled 1\nreply 1\n" ROOM },
        { "recover",
          "active 1\nactive 2\n" FULL "recover death=why most=2\nreply back=2 failed=0\n" ROOM
          "is :wait 2 1\nis $fence:U 1\nfield 1 gbc 1\n" },
        { "recover: one that fails",
          "active 1\n" FULL "recover death=why most=1\nreply back=0 failed=1\n" ROOM
          "is :failed 1=1000000\n" },
        { "adopt and give back",
          "fill w 2\nturn n=2 want=2\n" FULL "adopt want=1\nreply back=1 jobs=w2\n" ROOM },
        { "fence", FULL "fence U\nreply 0\n" ROOM "is $fence:U 1\n" },
        { "a row of the registry", FULL "renew row host h\nreply 1 \n" ROOM "ttl $worker:U\n" },
        { "a counted give-back",
          "active 1\n" FULL "turn ; G 1\nreply waiting=1 codes=ok jobs=\n" ROOM },
        { "passing over and claiming",
          "job s gbc=2\n+ LPUSH :wait s\nfill w 1\n" FULL
          "turn want=5\nreply active=1 flags=16 codes=ok jobs=w1\n" ROOM "is $solo U\n" },
        { "a damaged job", "active 1 atm=x\nactive 2\n" FULL
                           "turn ; c 1 ; c 2\nreply codes=damaged,0 jobs=\n" ROOM },
    };
    SCENARIOS(rows);
}

#define REPLICA "+ REPLICAOF 127.0.0.1 1\n"
#define MASTER  "+ REPLICAOF NO ONE\n"

Test(server, read_only)
{
    static const struct scenario rows[] = {
        { "nothing is written, all can be done later",
          "active 1\nfill w 1\n" REPLICA "turn want=1 ; c 1\nrefused READONLY\n" MASTER
          "is :active 1\nis :1:lock U:1\nis :wait w1\nfield 1 atm -\nis $turn:U -\n"
          "turn want=1 ; c 1\nreply active=1 codes=ok jobs=w1\n" },
        { "renew", "active 1\n" REPLICA "renew 1 U:1 1\nrefused READONLY\n" MASTER "is $live -\n" },
        { "outcome",
          "active 1\n" REPLICA "outcome 2 1 U:1 2\nrefused READONLY\n" MASTER "is $turn:U -\n" },
        { "recover", "active 1\n" REPLICA "recover\nrefused READONLY\n" MASTER
                     "is $fence:U -\nis :1:lock U:1\n" },
        { "adopt", "fill w 1\nturn n=2 want=1\n" REPLICA "adopt want=0\nrefused READONLY\n" MASTER
                   "is :active w1\n" },
        { "stalled", "active 1\n+ SADD :stalled 1\n+ DEL :1:lock\n" REPLICA
                     "stalled 1\nrefused READONLY\n" MASTER
                     "is :active 1\nis :stalled 1\nis :stalled-check -\n" },
    };
    SCENARIOS(rows);
}

Test(server, scripts_see_errors_of_lists_of_a_wrong_kind_before_they_write)
{
    static const struct scenario rows[] = {
        { "recover: but for the fence", "active 1\n+ SET :prioritized x\nrecover\nrefused "
                                        "WRONGTYPE\nis :1:lock U:1\nis $fence:U 1\nloose\n" },
        { "recover: a set of failed jobs that is none",
          "active 1\n+ SET :failed x\nrecover\nrefused WRONGTYPE\nis :1:lock U:1\nloose\n" },
        { "adopt", "active 1\n+ SET :prioritized x\nadopt want=1\nrefused WRONGTYPE\nis "
                   ":1:lock U:1\nloose\n" },
        { "stalled", "active 1\n+ SET :prioritized x\nstalled 1\nrefused WRONGTYPE\nis "
                     ":stalled-check -\nloose\n" },
    };
    SCENARIOS(rows);
}
