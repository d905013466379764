#include "common/base/program_path.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/text.h"

/* Seen from the running program's folder. */
static const char *const near_folders[] = {
    "",
    /* build tree: supervisor/master, supervisor/cli, workers, tests/unit/x */
    "../../workers/",
    "../master/",
    "../supervisor/master/",
    "../../../workers/",
    "../../../supervisor/master/",
    /* installation: bin, sbin, libexec/drover */
    "../libexec/drover/",
    "../sbin/",
    "../../sbin/",
};

static bool is_program(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

/* 1 found, 0 not there. */
static int try_path(const char *folder, const char *between, const char *name, char **out_path,
                    struct error *err)
{
    _cleanup_(freep) char *path = text_format("%s/%s%s", folder, between, name);
    char *real;

    if (!path)
        return error_set(err, -ENOMEM, "no memory for the path of %s", name);
    if (!is_program(path))
        return 0;
    real = realpath(path, NULL);
    if (!real)
        return error_set(err, -errno, "resolve %s: %s", path, strerror(errno));
    *out_path = real;
    return 1;
}

static int own_folder(char out[PATH_MAX], struct error *err)
{
    ssize_t len = readlink("/proc/self/exe", out, PATH_MAX - 1);
    char *slash;

    if (len < 0)
        return error_set(err, -errno, "read /proc/self/exe: %s", strerror(errno));
    out[len] = '\0';
    slash = strrchr(out, '/');
    if (!slash)
        return error_set(err, -ENOENT, "/proc/self/exe is \"%s\", which has no folder", out);
    *slash = '\0';
    return 0;
}

int program_path_find(const char *name, const char *configured_dir, char **out_path,
                      struct error *err)
{
    const char *development = getenv("DROVER_LIBEXEC_DIR");
    char own[PATH_MAX];
    int result;

    if (!configured_dir)
        configured_dir = DROVER_LIBEXEC_DIR;
    if (development && *development) {
        result = try_path(development, "", name, out_path, err);
        if (result != 0)
            return result < 0 ? result : 0;
        return error_set(err, -ENOENT, "no program %s in DROVER_LIBEXEC_DIR (%s)", name,
                         development);
    }
    result = own_folder(own, err);
    for (size_t i = 0; result == 0 && i < ARRAY_SIZE(near_folders); i++)
        result = try_path(own, near_folders[i], name, out_path, err);
    if (result == 0)
        result = try_path(configured_dir, "", name, out_path, err);
    if (result != 0)
        return result < 0 ? result : 0;
    return error_set(err, -ENOENT, "no program %s beside %s nor in %s; is drover installed whole?",
                     name, own, configured_dir);
}
