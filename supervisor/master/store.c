#include "supervisor/master/store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/log.h"
#include "common/scoreboard/totals.h"
#include "supervisor/master/notify.h"

#define HIGH_FD 64 /* passed ones move there */

static void take_one(struct store_passed *passed, int fd)
{
    int moved = -1;

    if (passed->count < STORE_PASSED_MAX && passed->surplus == 0) /* names go by order */
        moved = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
    (void)close(fd); /* it lives on under the other number, or is one too many */
    if (moved >= 0)
        passed->fds[passed->count++] = moved;
    else
        passed->surplus++;
}

void store_take(struct store_passed *out_passed)
{
    char **names = NULL;
    int count = sd_listen_fds_with_names(/* unset_environment= */ 0, &names);

    *out_passed = (struct store_passed){ 0 };
    if (count < 0) { /* the names do not fit: then nothing in there is ours */
        out_passed->error = count;
        count = sd_listen_fds(/* unset_environment= */ 0);
    }
    out_passed->names = names;
    for (int i = 0; i < count; i++)
        take_one(out_passed, SD_LISTEN_FDS_START + i);
}

static void free_names(struct store_passed *passed)
{
    for (char **name = passed->names; name && *name; name++)
        free(*name);
    free(passed->names);
    passed->names = NULL;
}

static const char *name_of(const struct store_passed *passed, int n)
{
    return passed->names ? passed->names[n] : "";
}

/* Closes what is not ours, and lets systemd forget it, or it would take a place for ever. */
static void refuse(int fd, const char *name, const char *why)
{
    log_warn("systemd.fd_closed", LOG_INT("fd", fd), LOG_STR("name", name), LOG_STR("why", why));
    (void)close(fd); /* nothing was written to it */
}

/* True when there is none yet and this one can be used. */
static bool take_board(int fd, struct scoreboard **board)
{
    struct error err = { 0 };

    if (*board) {
        refuse(fd, STORE_BOARD_NAME, "one scoreboard is enough");
        return false;
    }
    if (scoreboard_open(fd, board, &err) == 0)
        return true;
    log_warn("scoreboard.refused", LOG_STR("why", err.text),
             LOG_STR("hint", "a new one is made; totals begin anew"));
    (void)close(fd); /* likewise */
    return false;
}

static struct scoreboard *take_all(struct store_passed *passed, bool *out_renew)
{
    struct scoreboard *board = NULL;

    for (int i = 0; i < passed->count; i++) {
        const char *name = name_of(passed, i);
        int fd = passed->fds[i];

        if (strcmp(name, STORE_BOARD_NAME) == 0) {
            *out_renew = !take_board(fd, &board) || *out_renew;
        } else {
            refuse(fd, name, "droverd knows no descriptor of that name");
            if (*name)
                notify_forget(name);
        }
    }
    return board;
}

static void say_kept(const struct scoreboard *board)
{
    struct scoreboard_life life;

    scoreboard_read_life(board, &life);
    log_info("scoreboard.kept", LOG_UINT("starts", life.starts),
             LOG_UINT("since_at_ms", life.made_at_ms));
}

int store_open_board(struct store_passed *passed, struct scoreboard **out_board, bool *out_kept,
                     struct error *err)
{
    struct scoreboard *board = NULL;
    bool renew = false;
    int result = 0;

    if (passed && passed->error < 0)
        log_warn("systemd.fds_ignored", LOG_STR("error", strerror(-passed->error)),
                 LOG_STR("why", "LISTEN_FDS and LISTEN_FDNAMES do not say what was passed"));
    if (passed && passed->surplus > 0)
        log_warn("systemd.fds_ignored", LOG_INT("count", passed->surplus),
                 LOG_STR("why", "more descriptors were passed than droverd looks at"));
    if (passed) {
        board = take_all(passed, &renew);
        free_names(passed);
    }
    if (renew) /* a name stands for all of that name, the good one included */
        notify_forget(STORE_BOARD_NAME);
    *out_kept = board != NULL;
    if (!board) {
        renew = true;
        result = scoreboard_new(&board, err);
    }
    if (result < 0)
        return result;
    scoreboard_begin(board);
    if (renew)
        notify_store(scoreboard_fd(board), STORE_BOARD_NAME);
    if (*out_kept)
        say_kept(board);
    *out_board = board;
    return 0;
}
