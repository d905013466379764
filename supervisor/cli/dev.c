/* drover dev: the command line, the configuration, the scratch folder. */
#include "supervisor/cli/dev.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "supervisor/cli/command.h"
#include "supervisor/cli/connect.h"
#include "supervisor/cli/dev_sample.h"
#include "supervisor/cli/output.h"

#define DEMO_SAMPLE   1000
#define SAMPLE_MAX    1000000
#define ENDPOINTS_MAX 32

struct dev_values {
    const char *config, *producer;
    struct cli_number sample;
    bool once, json;
};

#define AT(member) .at = offsetof(struct dev_values, member)
static const struct cli_option options[] = {
    { .name = "config",
      .letter = 'c',
      .kind = CLI_TEXT,
      .arg = "FILE",
      .value = CLI_VALUE_FILE,
      AT(config),
      .help = "your configuration instead of the demo's; its Redis servers are replaced by the\n"
              "private one" },
    { .name = "once",
      .kind = CLI_FLAG,
      AT(once),
      .help = "end by itself when all jobs have ended: 0 when they did within 60 s" },
    { .name = "sample",
      .kind = CLI_NUMBER,
      .arg = "N",
      AT(sample),
      .help = "put N mixed jobs into the queues noop and exec; 1000 with the demo's\n"
              "configuration, none with yours" },
    { .name = "producer",
      .kind = CLI_TEXT,
      .arg = "COMMAND",
      AT(producer),
      .help = "run this shell command to add jobs; it finds DROVER_DEMO_SOCKET,\n"
              "DROVER_DEMO_PREFIX and DROVER_DEMO_JOBS in its environment and says\n"
              "`added N`; the sample is filled up to its size after that" },
    { .name = "json",
      .kind = CLI_FLAG,
      AT(json),
      .help = "counts, summary and story as one JSON object per line" },
};

static int cli_dev(int argc, char **argv);

const struct cli_command cli_dev_command = {
    .name = "dev",
    .summary = "shows drover at work, or your configuration, on a private Redis",
    .usage = "drover dev [OPTION...]",
    .about = "Starts a Redis of its own on a unix socket in a scratch folder, and droverd on it;\n"
             "shows the counts of every queue while jobs run; on Ctrl-C lets running jobs finish\n"
             "and removes everything (a second Ctrl-C ends it at once).",
    .examples = "a thousand jobs, and the story of one\n"
                "drover dev --once\n"
                "your own queues, without touching any real server\n"
                "drover dev -c drover.yaml\n",
    .options = options,
    .options_count = ARRAY_SIZE(options),
    .run = cli_dev,
};

/* ---- which configuration ---- */

/* The demo's file beside this program: in a build tree, or installed. NULL, told, when it is not
 * there. */
static char *find_demo_file(void)
{
    static const char *const near[] = { "../../conf/demo/drover.yaml",
                                        "../share/drover/demo/drover.yaml" };
    char own[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);

    own[len > 0 ? len : 0] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(near) && strrchr(own, '/'); i++) {
        _cleanup_(freep) char *path =
            text_format("%.*s/%s", (int)(strrchr(own, '/') - own), own, near[i]);

        if (path && access(path, R_OK) == 0)
            return realpath(path, NULL);
    }
    if (access(DROVER_DEMO_DIR "/drover.yaml", R_OK) == 0)
        return strdup(DROVER_DEMO_DIR "/drover.yaml");
    output_error("the demo's configuration is not installed (%s); give yours with -c FILE",
                 DROVER_DEMO_DIR "/drover.yaml");
    return NULL;
}

static int load(const char *file, const struct config_override *overrides, size_t count,
                struct config **out_config)
{
    struct config_report report;
    int r = config_load(file, overrides, count, out_config, &report);

    if (r < 0)
        cli_print_findings(&report);
    config_report_done(&report);
    return r < 0 ? EXIT_CODE_CONFIG : 0;
}

static int check_endpoints(const struct config *config, const char *file)
{
    if (config->redis_count > ENDPOINTS_MAX) {
        output_error("%s has more than %d Redis servers", file, ENDPOINTS_MAX);
        return EXIT_CODE_CONFIG;
    }
    for (size_t i = 0; i < config->redis_count; i++) {
        const struct config_redis *redis = &config->redis[i];

        if (!redis->password && !redis->username && !redis->sentinel_password &&
            !redis->sentinel_username)
            continue;
        output_error("%s: redis.%s has a user or password; the private Redis of drover dev has "
                     "none. Leave them out of the file that you develop with",
                     file, redis->name);
        return EXIT_CODE_CONFIG;
    }
    for (size_t i = 0; i < config->queues_count; i++) {
        if (config->queues[i].wait_replicas == 0)
            continue;
        output_error("%s: queue %s waits for replicas (wait_replicas); the private Redis of "
                     "drover dev has none, so nothing would be fetched. Leave it out of the file "
                     "that you develop with",
                     file, config->queues[i].name);
        return EXIT_CODE_CONFIG;
    }
    return 0;
}

/* Reads the file, then once more with every server replaced by the private one. */
static int load_on_private_redis(const char *file, const char *url, struct config **out_config)
{
    struct config *config = NULL;
    struct config_override overrides[ENDPOINTS_MAX];
    char *keys[ENDPOINTS_MAX] = { NULL };
    size_t count = 0;
    int code = load(file, NULL, 0, &config);

    if (code == 0)
        code = check_endpoints(config, file);
    for (; code == 0 && count < config->redis_count; count++) {
        keys[count] = text_format("redis.%s.url", config->redis[count].name);
        if (!keys[count])
            code = EXIT_CODE_FAILED;
        overrides[count] = (struct config_override){ .key = keys[count], .value = url };
    }
    if (code == 0)
        code = load(file, overrides, count, out_config);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        free(keys[i]);
    config_free(config);
    return code;
}

/* ---- the scratch folder ---- */

static int make_dir(struct dev_plan *plan)
{
    const char *base = getenv("TMPDIR");

    /* A unix socket's path has at most 107 bytes (unix(7)). */
    if (!base || base[0] != '/' || strlen(base) > 60)
        base = "/var/tmp";
    (void)snprintf(plan->dir, sizeof(plan->dir), "%s/drover-dev-XXXXXX", base);
    if (!mkdtemp(plan->dir)) {
        output_error("make a scratch folder %s: %s", plan->dir, strerror(errno));
        plan->dir[0] = '\0';
        return EXIT_CODE_FAILED;
    }
    (void)snprintf(plan->socket_path, sizeof(plan->socket_path), "%s/redis.sock", plan->dir);
    (void)snprintf(plan->url, sizeof(plan->url), "unix://%s", plan->socket_path);
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static void remove_dir(const char *dir)
{
    if (dir[0] && nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        output_error("remove %s: %s", dir, strerror(errno));
}

/* ---- the command ---- */

static int check_values(const struct dev_values *values)
{
    if (values->sample.given && values->sample.value > 0 &&
        (values->sample.value < DEV_SAMPLE_MIN || values->sample.value > SAMPLE_MAX))
        return cli_usage_error("dev", "--sample is 0 or %d to %d", DEV_SAMPLE_MIN, SAMPLE_MAX);
    if (values->once && !values->producer &&
        (values->sample.given ? values->sample.value == 0 : values->config != NULL))
        return cli_usage_error("dev", "--once needs jobs: --sample N or --producer COMMAND");
    return 0;
}

static int check_sample_queues(const struct dev_plan *plan)
{
    static const char *const needed[] = { "noop", "exec" };

    for (size_t i = 0; plan->sample > 0 && i < ARRAY_SIZE(needed); i++) {
        if (config_find_queue(plan->config, needed[i]))
            continue;
        return cli_usage_error("dev", "--sample needs the queues noop and exec; %s has no queue %s",
                               plan->config_file, needed[i]);
    }
    return 0;
}

static int run(const struct dev_values *values, const char *file)
{
    struct dev_plan plan = { .config_file = file,
                             .producer = values->producer,
                             .demo = values->config == NULL,
                             .once = values->once,
                             .json = values->json };
    _cleanup_(config_freep) struct config *config = NULL;
    int code = make_dir(&plan);

    plan.sample = values->sample.given ? values->sample.value : plan.demo ? DEMO_SAMPLE : 0;
    if (code == 0)
        code = load_on_private_redis(file, plan.url, &config);
    plan.config = config;
    if (code == 0)
        code = check_sample_queues(&plan);
    if (code == 0)
        code = dev_run(&plan);
    remove_dir(plan.dir);
    return code;
}

static int cli_dev(int argc, char **argv)
{
    struct dev_values values = { 0 };
    _cleanup_(freep) char *file = NULL;
    _cleanup_(freep) const char **words = calloc((size_t)argc, sizeof(*words));
    size_t words_count = 0;
    enum cli_parsed parsed;
    int code;

    if (!words) {
        output_error("no memory");
        return EXIT_CODE_FAILED;
    }
    parsed = cli_parse("dev", argc, argv, &values, words, &words_count);
    if (parsed != CLI_PARSED_GO_ON)
        return parsed == CLI_PARSED_HELP ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    if (words_count > 0)
        return cli_usage_error("dev", "unexpected argument \"%s\"", words[0]);
    code = check_values(&values);
    if (code != 0)
        return code;
    file = values.config ? realpath(values.config, NULL) : find_demo_file();
    if (!file && values.config)
        output_error("%s: %s", values.config, strerror(errno));
    return file ? run(&values, file) : EXIT_CODE_CONFIG;
}
