/* Giving up rights, in processes of their own: what was given up cannot be had back. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/process/privileges.h"

#define NOBODY 65534

/* Runs `body` in a child; it returns 0, or the number of what went wrong. */
static void in_child(int (*body)(void))
{
    pid_t pid;
    int end = 0;

    if (geteuid() != 0)
        cr_skip_test("only root has rights to give up");
    pid = fork();
    if (pid == 0)
        _exit(body());
    cr_assert(eq(int, (int)waitpid(pid, &end, 0), (int)pid));
    cr_assert(eq(int, WIFEXITED(end) ? 1 : 0, 1));
    cr_assert(eq(int, WEXITSTATUS(end), 0));
}

static const struct privileges_wish nothing = { 0 };

static int become_nobody(void)
{
    if (privileges_set_groups(NOBODY, NULL, 0) < 0 || privileges_set_group(NOBODY) < 0 ||
        privileges_set_user(NOBODY, /* keep= */ true) < 0)
        return -1;
    return 0;
}

static int give_up_all(void)
{
    struct privileges own;
    bool could_empty;

    if (privileges_read(&own) < 0)
        return 1;
    could_empty = own.permitted & PRIVILEGE_SETPCAP;
    if (become_nobody() < 0)
        return 2;
    if (privileges_keep(&nothing) < 0 || privileges_freeze() < 0)
        return 3;
    if (privileges_verify(NOBODY, NOBODY, &nothing) < 0)
        return 4;
    if (privileges_read(&own) < 0 || own.effective || own.permitted || own.inheritable ||
        own.ambient || (could_empty && own.bounding))
        return 5;
    if (setuid(0) == 0 || setgroups(0, NULL) == 0)
        return 6;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 7;
}

Test(privileges, all_are_given_up)
{
    in_child(give_up_all);
}

static int keep_some(void)
{
    static const struct privileges_wish wish = { .kept = PRIVILEGE_KILL | PRIVILEGE_SETUID,
                                                 .effective = PRIVILEGE_KILL,
                                                 .ambient = PRIVILEGE_SETUID };
    struct privileges own;

    if (become_nobody() < 0)
        return 1;
    if (privileges_keep(&wish) < 0 || privileges_verify(NOBODY, NOBODY, &wish) < 0)
        return 2;
    if (privileges_read(&own) < 0 || own.permitted != wish.kept ||
        own.effective != PRIVILEGE_KILL || own.inheritable != PRIVILEGE_SETUID ||
        own.ambient != PRIVILEGE_SETUID || (own.bounding & ~wish.kept & PRIVILEGE_SETGID))
        return 3;
    if (setuid(0) == 0) /* permitted, but not effective */
        return 4;
    if (kill(getppid(), 0) < 0) /* of another user by now */
        return 5;
    return privileges_keep(&nothing) < 0 || privileges_verify(NOBODY, NOBODY, &nothing) < 0 ? 6 : 0;
}

Test(privileges, some_are_kept)
{
    in_child(keep_some);
}

/* What is seen is what is, not what was asked for. */
static int see_what_is_left(void)
{
    static const struct privileges_wish killer = { .kept = PRIVILEGE_KILL };

    if (privileges_verify(NOBODY, NOBODY, &nothing) != -EPERM)
        return 1;
    if (become_nobody() < 0)
        return 2;
    if (privileges_verify(NOBODY, NOBODY, &nothing) != -EPERM) /* kept over the change */
        return 3;
    if (privileges_keep(&killer) < 0)
        return 4;
    if (privileges_verify(NOBODY, NOBODY, &nothing) != -EPERM)
        return 5;
    if (privileges_verify(1, NOBODY, &killer) != -EPERM ||
        privileges_verify(NOBODY, 1, &killer) != -EPERM)
        return 6;
    return privileges_verify(NOBODY, NOBODY, &killer) < 0 ? 7 : 0;
}

Test(privileges, what_is_left_is_seen)
{
    in_child(see_what_is_left);
}

static int be_who_one_is(void)
{
    static const gid_t groups[] = { 5, 7, 5 };

    if (setgroups(2, groups) < 0 || become_nobody() < 0 || privileges_keep(&nothing) < 0)
        return 1;
    /* Nobody now, without a group and without rights: what is asked is so already. */
    if (privileges_set_groups(NOBODY, NULL, 0) < 0 || privileges_set_group(NOBODY) < 0 ||
        privileges_set_user(NOBODY, /* keep= */ false) < 0)
        return 2;
    if (privileges_set_groups(NOBODY, groups, 1) != -EPERM || privileges_set_group(7) != -EPERM ||
        privileges_set_user(1, /* keep= */ false) != -EPERM)
        return 3;
    return 0;
}

Test(privileges, to_be_who_one_is_takes_none)
{
    in_child(be_who_one_is);
}

Test(privileges, lists_of_groups_that_mean_the_same)
{
    static const gid_t some[] = { 5, 7, 5 }, same[] = { 7, 5 }, with_own[] = { 5, 9, 7 },
                       other[] = { 5, 8 };

    cr_assert(privileges_same_groups(9, some, 3, same, 2));
    cr_assert(privileges_same_groups(9, some, 3, with_own, 3), "9 is the group itself");
    cr_assert(privileges_same_groups(1, some, 3, with_own, 3) == false);
    cr_assert(privileges_same_groups(9, some, 3, other, 2) == false);
    cr_assert(privileges_same_groups(9, some, 3, NULL, 0) == false);
    cr_assert(privileges_same_groups(9, NULL, 0, with_own + 1, 1));
}

Test(privileges, names)
{
    char text[PRIVILEGE_NAMES_BYTES];

    cr_assert(eq(str, (char *)privilege_names(0, text), (char *)""));
    cr_assert(eq(str, (char *)privilege_names(PRIVILEGE_SETUID | PRIVILEGE_KILL, text),
                 (char *)"CAP_KILL CAP_SETUID"));
    cr_assert(eq(str, (char *)privilege_names(PRIVILEGE(63), text), (char *)"63"));
    cr_assert(strlen(privilege_names(UINT64_MAX, text)) < PRIVILEGE_NAMES_BYTES);
}
