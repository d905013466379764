/* Counting workers by the names of their connections (wire format 8.14). */
#include <criterion/criterion.h>

#include "supervisor/cli/queues.h"

Test(queues, workers_are_counted_by_name)
{
    char list[] = "id=1 addr=x name=bull:cQ== age=1\n"
                  "id=2 addr=x name=bull:cQ==:w:host-q-0 age=1\n"
                  "id=3 addr=x name=bull:cQ==:qe age=1\n"
                  "id=4 addr=x name=bull:cQ==x age=1\n"
                  "id=5 addr=x name= age=1\n"
                  "id=6 addr=x name=other:cQ== age=1\n"
                  "id=7 lib-name=bull:cQ== name=bull:cQ==:w:b age=1\n";
    struct cli_clients clients = { list };
    struct cli_clients none = { NULL };

    cr_expect(cli_count_workers(&clients, "bull:cQ==") == 3);
    cr_expect(cli_count_workers(&clients, "bull:cA==") == 0);
    cr_expect(cli_count_workers(&none, "bull:cQ==") == 0);
}

Test(queues, names_are_kept_once)
{
    struct cli_names names = { 0 };

    cr_expect(cli_names_add(&names, "ab", 2) && cli_names_add(&names, "abc", 3));
    cr_expect(cli_names_add(&names, "abcd", 2) && cli_names_add(&names, "a", 1));
    cr_expect(names.count == 3);
    cr_expect_str_eq(names.items[2], "a");
    cli_names_done(&names);
    cr_expect(names.count == 0);
}
