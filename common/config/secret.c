#include "common/config/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/fd.h"
#include "common/base/text.h"

struct place {
    const struct tree_mark *mark;
    const char *key;
    struct findings *findings;
};

void secret_free(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

/* Checks what was read; `source` is for people. */
static char *accept(const char *bytes, size_t len, const char *source, const struct place *place)
{
    char *secret;

    if (len && bytes[len - 1] == '\n')
        len--;
    if (len && bytes[len - 1] == '\r')
        len--;
    if (!len) {
        findings_error(place->findings, place->mark, place->key, "%s is empty", source);
        return NULL;
    }
    if (memchr(bytes, '\n', len) || memchr(bytes, '\0', len)) {
        findings_error(place->findings, place->mark, place->key,
                       "%s holds more than one line; it must hold the password alone", source);
        return NULL;
    }
    if (text_utf8_prefix(bytes, len) != len) {
        findings_error(place->findings, place->mark, place->key, "%s is not UTF-8", source);
        return NULL;
    }
    secret = strndup(bytes, len);
    if (!secret)
        place->findings->out_of_memory = true;
    return secret;
}

static char *read_file(const char *path, const char *source, bool warn_readable,
                       const struct place *place)
{
    /* Non-blocking: a FIFO without a writer would hold up the start for ever. */
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct buf bytes = BUF_INIT(SECRET_BYTES_MAX);
    struct error err = { 0 };
    char *secret = NULL;
    struct stat info;

    if (fd < 0 || fstat(fd, &info) < 0) {
        findings_error(place->findings, place->mark, place->key, "cannot open %s: %s", source,
                       strerror(errno));
        return NULL;
    }
    if (!S_ISREG(info.st_mode)) {
        findings_error(place->findings, place->mark, place->key, "%s is not a regular file",
                       source);
        return NULL;
    }
    if (warn_readable && (info.st_mode & S_IROTH))
        findings_warning(place->findings, place->mark, place->key,
                         "%s can be read by everybody on this host; chmod o= it", source);
    if (fd_read_all(fd, &bytes, &err) < 0)
        findings_error(place->findings, place->mark, place->key, "cannot read %s: %s", source,
                       err.text);
    else
        secret = accept(buf_text(&bytes), bytes.len, source, place);
    if (bytes.data)
        explicit_bzero(bytes.data, bytes.len);
    buf_done(&bytes);
    return secret;
}

static char *from_file(const char *path, const struct place *place)
{
    if (path[0] != '/') {
        findings_error(place->findings, place->mark, place->key,
                       "file: needs an absolute path, as in file:/etc/drover/redis.password");
        return NULL;
    }
    return read_file(path, path, /* warn_readable= */ true, place);
}

static char *no_secret(struct findings *findings)
{
    char *text = strdup("(not looked at)");

    if (!text)
        findings->out_of_memory = true;
    return text;
}

/* Fewer than systemd takes: a name goes into paths and unit files. */
static const char credential_name[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@";

static char *from_credential(const char *name, const struct place *place)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    _cleanup_(freep) char *path = NULL;
    _cleanup_(freep) char *source = NULL;

    if (!*name || name[0] == '.' || strspn(name, credential_name) != strlen(name)) {
        findings_error(place->findings, place->mark, place->key,
                       "cred: needs the name of a systemd credential (letters, digits, - _ . @), "
                       "not a path");
        return NULL;
    }
    findings_add_credential(place->findings, name);
    if ((!directory || !*directory) && place->findings->outside) {
        findings_warning(place->findings, place->mark, place->key,
                         "credential %s is for the service alone: systemd gives it to droverd, and "
                         "it was not looked at here",
                         name);
        return no_secret(place->findings);
    }
    if (!directory || !*directory) {
        findings_error(place->findings, place->mark, place->key,
                       "systemd gave no credentials (CREDENTIALS_DIRECTORY is not set); add "
                       "LoadCredential=%s:/PATH to the unit",
                       name);
        return NULL;
    }
    path = text_format("%s/%s", directory, name);
    source = text_format("credential %s", name);
    if (!path || !source) {
        place->findings->out_of_memory = true;
        return NULL;
    }
    return read_file(path, source, /* warn_readable= */ false, place);
}

static char *from_environment(const char *name, const struct place *place)
{
    const char *value = *name ? getenv(name) : NULL;
    _cleanup_(freep) char *source = NULL;

    if (!value) {
        findings_error(place->findings, place->mark, place->key,
                       "the environment variable that env: names is not set");
        return NULL;
    }
    source = text_format("environment variable %s", name);
    if (!source) {
        place->findings->out_of_memory = true;
        return NULL;
    }
    return accept(value, strlen(value), source, place);
}

char *secret_resolve(const char *place_text, const struct tree_mark *mark, const char *key,
                     struct findings *findings)
{
    struct place place = { mark, key, findings };

    if (strncmp(place_text, "file:", 5) == 0)
        return from_file(place_text + 5, &place);
    if (strncmp(place_text, "cred:", 5) == 0)
        return from_credential(place_text + 5, &place);
    if (strncmp(place_text, "env:", 4) == 0)
        return from_environment(place_text + 4, &place);
    /* The value may be the password itself: it is not repeated. */
    findings_error(findings, mark, key,
                   "a secret does not stand here; write where it is: file:/PATH, cred:NAME (a "
                   "systemd credential) or env:NAME");
    return NULL;
}
