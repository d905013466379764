#include "supervisor/cli/unit_show.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "common/base/text.h"
#include "supervisor/cli/unit_needs.h"

#define SHOW_BYTES_MAX ((size_t)1024 * 1024)

/* ---- asking */

static int spawn_systemctl(const char *verb, const char *unit, int out_fd, pid_t *out_pid)
{
    /* Not written to: posix_spawn's type is older than const. */
    const char *const words[] = { "systemctl", verb, "--no-pager", "--", unit, NULL };
    char *argv[ARRAY_SIZE(words)];
    posix_spawn_file_actions_t actions;
    int r = posix_spawn_file_actions_init(&actions);

    if (r != 0)
        return -r;
    memcpy(argv, words, sizeof(argv));
    r = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, out_fd, STDERR_FILENO);
    if (r == 0)
        r = posix_spawnp(out_pid, argv[0], &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return -r;
}

static void read_all(int fd, struct buf *out)
{
    char bytes[4096];
    ssize_t len;

    while ((len = read(fd, bytes, sizeof(bytes))) > 0 || (len < 0 && errno == EINTR)) {
        if (len > 0)
            (void)buf_append(out, bytes, (size_t)len); /* the caller looks at out->failed */
    }
}

static int exit_of(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void end_lines(struct buf *text)
{
    for (size_t i = 0; i < text->len; i++) {
        if (text->data[i] == '\n')
            text->data[i] = '\0';
    }
}

/* Runs `systemctl VERB UNIT` and takes what it prints. */
static int ask(const char *verb, const char *unit, struct buf *out, struct error *err)
{
    int fds[2], r;
    pid_t pid = -1;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_set(err, -errno, "make a pipe: %s", strerror(errno));
    r = spawn_systemctl(verb, unit, fds[1], &pid);
    (void)close(fds[1]);
    if (r == 0)
        read_all(fds[0], out);
    (void)close(fds[0]);
    if (r < 0)
        return error_set(err, r, "there is no systemctl here (%s): is this host run by systemd?",
                         strerror(-r));
    if (exit_of(pid) != 0) { /* what it said instead is one line of text */
        const char *said = buf_text(out);
        size_t len = strcspn(said, "\n");

        return error_set(err, -EIO, "systemd cannot be asked: systemctl %s: %s%.*s", verb,
                         len ? "" : "it failed without a word", (int)len, said);
    }
    if (out->failed)
        return error_set(err, -ENOMEM, "memory ran out");
    end_lines(out);
    return 0;
}

int unit_show_read(struct unit_show *show, const char *unit, struct error *err)
{
    const char *state;
    int r;

    *show =
        (struct unit_show){ .text = BUF_INIT(SHOW_BYTES_MAX), .files = BUF_INIT(SHOW_BYTES_MAX) };
    r = ask("show", unit, &show->text, err);
    if (r < 0)
        return r;
    state = unit_show_get(show, "LoadState");
    if (!state || strcmp(state, "loaded") != 0)
        return error_set(err, -ENOENT,
                         "systemd has no unit %s (%s); install it, then: systemctl daemon-reload",
                         unit, state ? state : "it does not say");
    return ask("cat", unit, &show->files, err);
}

void unit_show_done(struct unit_show *show)
{
    buf_done(&show->text);
    buf_done(&show->files);
}

/* ---- properties */

const char *unit_show_get(const struct unit_show *show, const char *property)
{
    size_t len = strlen(property);

    for (size_t at = 0; at < show->text.len; at += strlen(show->text.data + at) + 1) {
        const char *line = show->text.data + at;

        if (strncmp(line, property, len) == 0 && line[len] == '=')
            return line + len + 1;
    }
    return NULL;
}

static bool parse_part(const char **at, uint64_t *io_us)
{
    static const struct {
        const char *name;
        uint64_t us;
    } units[] = {
        { "us", 1 },
        { "ms", 1000 },
        { "s", 1000000 },
        { "min", 60 * UINT64_C(1000000) },
        { "h", 3600 * UINT64_C(1000000) },
        { "d", 86400 * UINT64_C(1000000) },
        { "w", 7 * 86400 * UINT64_C(1000000) },
        { "month", UINT64_C(2629800) * 1000000 },
        { "y", UINT64_C(31557600) * 1000000 },
    };
    char *end;
    double number = strtod(*at, &end);
    size_t len = strcspn(end, " ");

    if (end == *at || number < 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strlen(units[i].name) == len && strncmp(units[i].name, end, len) == 0) {
            *io_us += (uint64_t)(number * (double)units[i].us);
            *at = end + len;
            return true;
        }
    }
    return false;
}

bool unit_show_parse_ms(const char *text, uint64_t *out_ms)
{
    uint64_t us = 0;

    if (strcmp(text, "infinity") == 0) {
        *out_ms = UINT64_MAX;
        return true;
    }
    if (strcmp(text, "0") == 0) {
        *out_ms = 0;
        return true;
    }
    if (!*text)
        return false;
    while (*text) {
        if (!parse_part(&text, &us))
            return false;
        text += strspn(text, " ");
    }
    *out_ms = us / 1000;
    return true;
}

bool unit_show_get_ms(const struct unit_show *show, const char *property, uint64_t *out_ms)
{
    const char *value = unit_show_get(show, property);

    return value && unit_show_parse_ms(value, out_ms);
}

bool unit_show_get_number(const struct unit_show *show, const char *property, uint64_t *out)
{
    const char *value = unit_show_get(show, property);

    if (value && strcmp(value, "infinity") == 0) {
        *out = UINT64_MAX;
        return true;
    }
    return value && text_parse_uint(value, strlen(value), out) == 0;
}

/* Calls `fits` for each word; they are separated by blanks, and a path with one is in quotes. */
static bool any_word(const char *value, bool (*fits)(const char *word, size_t len, const void *arg),
                     const void *arg)
{
    while (value && *value) {
        char quote = *value == '"' || *value == '\'' ? *value : '\0';
        size_t len;

        value += quote ? 1 : 0;
        len = strcspn(value, quote ? (char[]){ quote, '\0' } : " ");
        if (len > 0 && fits(value, len, arg))
            return true;
        value += len + (value[len] ? 1 : 0);
        value += strspn(value, " ");
    }
    return false;
}

static bool is_word(const char *word, size_t len, const void *arg)
{
    return strlen(arg) == len && strncmp(word, arg, len) == 0;
}

bool unit_show_has_word(const struct unit_show *show, const char *property, const char *word)
{
    return any_word(unit_show_get(show, property), is_word, word);
}

static bool covers(const char *word, size_t len, const void *arg)
{
    size_t skipped = strspn(word, "-+");
    _cleanup_(freep) char *folder = strndup(word + skipped, len - skipped);

    if (!folder)
        return false;
    folder[strcspn(folder, ":")] = '\0';
    return unit_path_is_below(arg, folder);
}

bool unit_show_covers(const struct unit_show *show, const char *property, const char *path)
{
    return any_word(unit_show_get(show, property), covers, path);
}

static bool begins(const char *word, size_t len, const void *arg)
{
    size_t wanted = strlen(arg);

    return len >= wanted && strncmp(word, arg, wanted) == 0 &&
           (len == wanted || word[wanted] == ':');
}

bool unit_show_lists(const struct unit_show *show, const char *directive, const char *word)
{
    size_t len = strlen(directive);
    bool found = false;

    for (size_t at = 0; at < show->files.len; at += strlen(show->files.data + at) + 1) {
        const char *line = show->files.data + at;

        if (strncmp(line, directive, len) != 0 || line[len] != '=')
            continue;
        line += len + 1;
        found = line[strspn(line, " ")] != '\0' && (found || any_word(line, begins, word));
    }
    return found;
}
