/* program_path.h - where drover's other programs are: droverd starts drover-worker, a worker starts
 * drover-exec, `drover dev` starts droverd. */
#pragma once

#include "common/base/error.h"

/* Absolute path of the executable file `name`, in new memory (free it). Looked for, in this order:
 * the folder of the environment variable DROVER_LIBEXEC_DIR (development; when set, only there),
 * the folder of the running program, the folders beside it in a build tree and in an installation,
 * `configured_dir` (NULL: the libexecdir that drover was built for). -ENOENT names the places. */
MUST_CHECK int program_path_find(const char *name, const char *configured_dir, char **out_path,
                                 struct error *err);
