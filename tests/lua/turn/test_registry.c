/* The registry of processes: rows written by renewals, read page by page. */
#include <criterion/criterion.h>

#include "tests/lua/turn/scenario.h"

#define ROW "renew row host h1 pid 7\n"

Test(registry, rows)
{
    static const struct scenario rows[] = {
        { "a beat writes it", ROW "reply 1 \nworkers\nreply U/1/h1/7 end\nttl $worker:U\nttl "
                                  "$workers\n" },
        { "each beat counts", ROW ROW "renew row host h2 pid 7\nworkers\nreply U/3/h2/7 end\n" },
        { "beside locks", "active 1\nrenew 1 U:1 1 row host h pid 1\nreply 1 E\nworkers\nreply "
                          "U/1/h/1 end\n" },
        { "who gives nothing has no row",
          "renew\nreply 1 \nis $worker:U -\nis $workers -\nworkers\nreply end\n" },
        { "its place in the index is that of its first beat",
          "+ ZADD $workers 5 U\n" ROW "is $workers U=5\n" },
        { "leaving takes it away", ROW "+ ZADD $workers 5 V\n+ HSET $worker:V host h\nleave\nis "
                                       "$worker:U -\nis $workers V=5\n" },
        { "a row that has ended is dropped from the index",
          ROW "+ ZADD $workers 5 V\nworkers\nreply U/1/h1/7 end\n"
              "+ EVAL \"assert(redis.call('ZCARD', KEYS[1]) == 1)\" 1 $workers\n" },
        { "a key of a wrong kind is no row",
          "+ ZADD $workers 5 V\n+ SET $worker:V x\nworkers\nreply end\nis $workers -\n" },
        { "a process writes over what is no row",
          "+ SET $worker:U x\n" ROW "reply 1 \nworkers\nreply U/1/h1/7 end\n" },
        { "over a counter that is none",
          ROW "+ HSET $worker:U beat many\n" ROW "workers\nreply U/1/h1/7 end\n" },
        { "over an index that is none",
          "+ SET $workers x\nworkers\nreply end\n" ROW "reply 1 \nworkers\nreply U/1/h1/7 end\n" },
        { "a beat long ago",
          ROW "+ HSET $worker:U beat_at_ms 5\nworkers\nreply old:U/1/h1/7 end\n" },
        { "a time that can't be read: since it was seen first",
          ROW "+ HSET $worker:U beat_at_ms soon\nworkers\nreply U/1/h1/7 end\n"
              "+ ZADD $workers 5 U\nworkers\nreply old:U/1/h1/7 end\n" },
        { "fields of another version",
          "renew row host h new x\nworkers\nreply U/1/h/- end\nis $fence:U -\n" },
        { "a fenced process writes nothing",
          "active 1\n+ PEXPIRE :1:lock 5000\nfence U\nrenew 1 U:1 1 row host h\nreply 0 L fenced\n"
          "is $worker:U -\nis $workers -\nis $live -\n"
          "+ EVAL \"assert(redis.call('PTTL', KEYS[1]) <= 5000)\" 1 :1:lock\n" },
    };
    SCENARIOS(rows);
}
