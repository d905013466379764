#include <criterion/criterion.h>
#include <string.h>

#include "supervisor/cli/instance.h"
#include "supervisor/cli/unit_needs.h"
#include "supervisor/cli/unit_show.h"

Test(unit_show, times_are_read_as_systemd_prints_them)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } rows[] = {
        { "1min", 60000 },
        { "1min 30s", 90000 },
        { "2min 19s", 139000 },
        { "30s", 30000 },
        { "500ms", 500 },
        { "1.5s", 1500 },
        { "infinity", UINT64_MAX },
        { "0", 0 },
        { "1h 2min 3s 4ms", 3723004 },
        { "1w 1d", 691200000 },
        { "999us", 0 },
    };
    static const char *const none[] = { "", "min", "1", "5 s", "1min x", "-1s", "1parsec" };
    uint64_t ms = 42;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cr_expect(unit_show_parse_ms(rows[i].text, &ms), "%s", rows[i].text);
        cr_expect(ms == rows[i].ms, "%s: %llu", rows[i].text, (unsigned long long)ms);
    }
    for (size_t i = 0; i < ARRAY_SIZE(none); i++)
        cr_expect(!unit_show_parse_ms(none[i], &ms), "%s", none[i]);
}

static void given(struct unit_show *show, const char *const *lines)
{
    *show = (struct unit_show){ .text = BUF_INIT(65536), .files = BUF_INIT(65536) };
    for (size_t i = 0; lines[i]; i++)
        cr_assert(buf_append(&show->text, lines[i], strlen(lines[i]) + 1) == 0);
    for (size_t i = 0; lines[i]; i++)
        cr_assert(buf_append(&show->files, lines[i], strlen(lines[i]) + 1) == 0);
}

Test(unit_show, lists_are_read_from_the_files)
{
    static const char *const lines[] = { "# LoadCredential=commented:/x",
                                         "LoadCredential=a:/x",
                                         "LoadCredential=",
                                         "LoadCredential=redis:/etc/y",
                                         "LoadCredential=bare",
                                         "RestartPreventExitStatus=78 SIGABRT",
                                         NULL };
    struct unit_show show;

    given(&show, lines);
    cr_expect(unit_show_lists(&show, "LoadCredential", "redis"));
    cr_expect(unit_show_lists(&show, "LoadCredential", "bare"));
    cr_expect(!unit_show_lists(&show, "LoadCredential", "red"));
    cr_expect(!unit_show_lists(&show, "LoadCredential", "a"), "taken back");
    cr_expect(!unit_show_lists(&show, "LoadCredential", "commented"));
    cr_expect(unit_show_lists(&show, "RestartPreventExitStatus", "78"));
    cr_expect(!unit_show_lists(&show, "RestartPreventExitStatus", "7"));
    unit_show_done(&show);
}

Test(unit_show, properties_are_found_by_their_whole_name)
{
    static const char *const lines[] = { "LimitNOFILESoft=1024",
                                         "LimitNOFILE=65536",
                                         "TimeoutStopUSec=1min",
                                         "TasksMax=infinity",
                                         "ReadWritePaths=/srv/a \"/srv/b c\" -/srv/d",
                                         "BindReadOnlyPaths=/home/x/app:/home/x/app:rbind",
                                         NULL };
    struct unit_show show;
    uint64_t number = 0;

    given(&show, lines);
    cr_expect(unit_show_get_number(&show, "LimitNOFILE", &number) && number == 65536);
    cr_expect(unit_show_get_number(&show, "TasksMax", &number) && number == UINT64_MAX);
    cr_expect(!unit_show_get_number(&show, "Limit", &number));
    cr_expect_null(unit_show_get(&show, "imitNOFILE"));
    cr_expect(unit_show_get_ms(&show, "TimeoutStopUSec", &number) && number == 60000);
    cr_expect(unit_show_has_word(&show, "ReadWritePaths", "/srv/a"));
    cr_expect(!unit_show_has_word(&show, "ReadWritePaths", "/srv"));
    cr_expect(unit_show_covers(&show, "ReadWritePaths", "/srv/a/deep"));
    cr_expect(unit_show_covers(&show, "ReadWritePaths", "/srv/b c"));
    cr_expect(unit_show_covers(&show, "ReadWritePaths", "/srv/d"));
    cr_expect(!unit_show_covers(&show, "ReadWritePaths", "/srv/ab"));
    cr_expect(!unit_show_covers(&show, "ReadWritePaths", "/srv"));
    cr_expect(unit_show_covers(&show, "BindReadOnlyPaths", "/home/x/app/run.js"));
    cr_expect(!unit_show_covers(&show, "BindPaths", "/home/x/app/run.js"));
    unit_show_done(&show);
}

Test(unit_needs, hidden_places)
{
    cr_expect(unit_hides_home("/home/app/x") && unit_hides_home("/root/x"));
    cr_expect(unit_hides_home("/run/user/1000/x") && !unit_hides_home("/rootless/x"));
    cr_expect(unit_hides_tmp("/tmp/x") && unit_hides_tmp("/var/tmp") && !unit_hides_tmp("/tmpx"));
}

Test(instance, names_that_can_be_parts_of_paths_only)
{
    char long_name[INSTANCE_NAME_MAX + 2];
    char unit[INSTANCE_UNIT_BYTES];

    memset(long_name, 'a', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    cr_expect_null(instance_name());
    cr_expect_str_eq(instance_unit(unit), "drover.service");
    cr_expect(!instance_choose("") && !instance_choose("..") && !instance_choose("a/b"));
    cr_expect(!instance_choose("a b") && !instance_choose(long_name));
    cr_expect_str_eq(instance_socket(), "/run/drover/control");
    cr_expect(instance_choose("money-2"));
    cr_expect_str_eq(instance_config_file(), "/etc/drover/money-2/drover.yaml");
    cr_expect_str_eq(instance_socket(), "/run/drover-money-2/control");
    cr_expect_str_eq(instance_unit(unit), "drover@money-2.service");
    cr_expect(instance_choose(long_name + 1));
    cr_expect(strlen(instance_unit(unit)) < sizeof(unit) - 1);
}
