/* Inheritance, overrides, files that are merged, secrets, URLs, loading in threads. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "tests/unit/config/support.h"

static char scratch[] = "/var/tmp/drover-config-XXXXXX";

static void make_scratch(void)
{
    cr_assert(mkdtemp(scratch));
}

static void remove_scratch(void)
{
    _cleanup_(freep) char *command = text_format("rm -rf -- '%s'", scratch);

    cr_assert(command && system(command) == 0);
}

/* Writes a file below the scratch folder and returns its path (malloc'ed). */
static char *put(const char *name, const char *text, mode_t mode)
{
    char *path = text_format("%s/%s", scratch, name);
    _cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct error err = { 0 };

    cr_assert(fd >= 0 && fd_write_all(fd, text, strlen(text), &err) == 0, "%s", path);
    cr_assert(fchmod(fd, mode) == 0);
    return path;
}

/* Loads a file of the scratch folder; findings into `out`. */
static struct config *load_path(const char *path, struct buf *out)
{
    struct config *config = NULL;
    struct config_report report;
    int result = config_load(path, NULL, 0, &config, &report);

    cr_assert((result == 0) == (config != NULL));
    print_report(&report, out);
    config_report_done(&report);
    return config;
}

TestSuite(files, .init = make_scratch, .fini = remove_scratch);

Test(config, the_nearest_level_wins)
{
    struct config *config = load_good("defaults: {attempts: 3, timeout: 10s, kill_grace: 1s,\n"
                                      "  backoff: {type: fixed, delay: 2s, max: 8s}}\n"
                                      "queues:\n"
                                      " q:\n"
                                      "  timeout: 20s\n"
                                      "  backoff: {delay: 4s}\n"
                                      "  handler: noop\n"
                                      "  types:\n"
                                      "   a: {timeout: 30s, backoff: {type: exponential}}\n"
                                      "   b: {attempts: 9, timeout: none}\n");
    const struct config_queue *queue = config_find_queue(config, "q");
    const struct config_type *a = config_find_type(queue, "axx", 1);
    const struct config_type *b = config_find_type(queue, "b", 1);
    const struct config_type *other = config_find_type(queue, "", 0);

    cr_assert(queue && !config_find_queue(config, "r"));
    cr_assert(a == &queue->types[0] && b == &queue->types[1] && other == &queue->fallback);
    cr_expect(a->attempts == 3 && b->attempts == 9 && other->attempts == 3);
    cr_expect(a->timeout_ms == 30000 && b->timeout_ms == 0 && other->timeout_ms == 20000);
    cr_expect(a->backoff.kind == CONFIG_BACKOFF_EXPONENTIAL && a->backoff.delay_ms == 4000 &&
              a->backoff.max_ms == 8000);
    cr_expect(b->backoff.kind == CONFIG_BACKOFF_FIXED && other->backoff.delay_ms == 4000);
    cr_expect(a->kill_grace_ms == 1000 && a->handler.kind == CONFIG_HANDLER_NOOP);
    config_free(config);
}

Test(config, a_group_is_inherited_whole)
{
    struct config *config =
        load_good("defaults: {keep: {completed: {count: 10, age: 1h}, failed: 7}}\n"
                  "queues:\n"
                  " q:\n"
                  "  keep: {completed: 5}\n"
                  "  handler: {exec: [/bin/cat], env: {A: b, C: \"\"}, directory: /tmp}\n"
                  "  types:\n"
                  "   a: {handler: {exec: [/bin/true]}}\n"
                  "   b: {handler: {noop: {duration: 3ms}}, keep: {failed: {age: 2h}}}\n");
    const struct config_queue *queue = &config->queues[0];

    cr_expect(queue->fallback.keep_completed.count == 5 &&
              queue->fallback.keep_completed.age_ms == 0);
    cr_expect_eq(queue->fallback.keep_failed.count, 7);
    cr_expect(queue->types[1].keep_failed.count == -1 &&
              queue->types[1].keep_failed.age_ms == 7200000);
    cr_expect_str_eq(queue->fallback.handler.env[0], "A=b");
    cr_expect_str_eq(queue->fallback.handler.env[1], "C=");
    cr_expect(!queue->fallback.handler.env[2]);
    cr_expect(!queue->types[0].handler.env, "the queue's variables are of another program");
    cr_expect_str_eq(queue->types[0].handler.directory, "/");
    cr_expect(queue->types[1].handler.kind == CONFIG_HANDLER_NOOP &&
              queue->types[1].handler.noop_duration_ms == 3 && !queue->types[1].handler.argv);
    config_free(config);
}

Test(config, tiers_choose_the_endpoint)
{
    struct config *config =
        load_good("redis:\n"
                  " main: {url: \"redis://h:7000/2\"}\n"
                  " fast: {url: \"unix:///run/x.sock?db=4\"}\n"
                  "tiers: {important: {redis: main}, ephemeral: {redis: fast}}\n"
                  "queues:\n"
                  " a: {handler: noop}\n"
                  " b: {handler: noop, tier: ephemeral}\n");

    cr_expect(config->queues[0].redis == &config->redis[0]);
    cr_expect(config->queues[1].redis == &config->redis[1]);
    cr_expect_str_eq(config->queues[0].redis->host, "h");
    cr_expect(config->queues[0].redis->port == 7000 && config->queues[0].redis->db == 2);
    cr_expect_str_eq(config->queues[1].redis->path, "/run/x.sock");
    cr_expect(!config->queues[1].redis->host && config->queues[1].redis->db == 4);
    config_free(config);
    config = load_good("redis: {only: {url: \"redis://h\"}}\nqueues: {q: {handler: noop}}\n");
    cr_expect_str_eq(config->queues[0].redis->name, "only");
    cr_expect(config->tiers[CONFIG_TIER_EPHEMERAL] == config->redis);
    config_free(config);
}

Test(config, overrides_win_and_are_checked)
{
    static const char file[] = "queues:\n"
                               " q: {handler: noop, keep: {completed: 5}}\n"
                               " \"a.b\": {handler: noop}\n";
    static const struct {
        const char *key, *value, *finding; /* NULL: taken */
    } cases[] = {
        { "queues.q.concurrency", "7", NULL },
        { "queues.\"a.b\".concurrency", "7", NULL },
        { "queues.q.keep.completed.age", "1d", NULL },
        { "queues.q.keep.completed", "{count: 3, age: 1d}", NULL },
        { "queues.q.handler", "{exec: [/bin/cat]}", NULL },
        { "queues.q.handler.exec", "[/bin/cat, -]", NULL },
        { "queues.q.handler.noop.duration", "5ms", NULL },
        { "redis.default.url", "unix:///run/r.sock", NULL },
        { "redis.default.password", "env:DROVER_TEST_SECRET", NULL },
        { "defaults.timeout", "none", NULL },
        { "log.level", "debug", NULL },
        { "control", "/run/other/control", NULL },
        { "queues.q.max_givebacks", "1", NULL },
        { "queues.q.handler", "{process: [/bin/cat], parallel: 4}", NULL },
        { "queues.q.handler.process", "[/bin/cat]", NULL },
        { "queues.q.handler.children", "1", "says no kind of handler" },
        { "queues.q.handler", "{process: [/bin/cat], children: 2}", "write children: 1" },
        { "control", "control", "must be an absolute path" },
        { "queues.q.concurrency", "", "has no value" },
        { "queues.q.concurrency", "0", "less than the least" },
        { "queues.q.concurrency", "\"7\"", "must be a whole number" },
        { "queues.q.processes", "3", "3 processes share a concurrency of 1" },
        { "queues.p.concurrency", "7", "did you mean `q`?" },
        { "queues.a.b.concurrency", "7", "there is no `a` in the files" },
        { "queues.q", "{handler: noop}", "is a section" },
        { "queues.q.concurency", "7", "did you mean `concurrency`?" },
        { "queues.q.types.t.attempts", "7", "there is no `t` in the files" },
        { "redis.default.password", "hunter2", "never stands on a command line" },
        { "redis.default.url", "redis://a:hunter2@h", "a password stands in the URL" },
        { "tiers.critical.redis", "default", "PostgreSQL" },
        { "nope", "1", "unknown key" },
        { "", "1", "no key can be read" },
        { "queues..x", "1", "no key can be read" },
        { "queues.\"q", "1", "no key can be read" },
        { "queues.*.lock", "30s", "there is no `*` in the files" },
        { "log.level", "\xff", "not UTF-8" },
        { "queues.q.handler.exec", "[", "not YAML" },
    };

    cr_assert(setenv("DROVER_TEST_SECRET", "geheim", 1) == 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct config_override override = { cases[i].key, cases[i].value };
        struct buf findings = BUF_INIT(65536);
        struct config *config = load_text(file, &override, 1, &findings);

        if (!cases[i].finding) {
            struct buf effective = BUF_INIT(65536);

            cr_assert(config, "%s=%s: %s", cases[i].key, cases[i].value, buf_text(&findings));
            cr_assert(config_print_effective(config, &effective, NULL) == 0);
            cr_expect(strstr(buf_text(&effective), "# --set\n"), "%s", cases[i].key);
            buf_done(&effective);
        } else {
            cr_expect(!config, "%s=%s was taken", cases[i].key, cases[i].value);
            cr_expect(strstr(buf_text(&findings), cases[i].finding), "%s=%s: %s", cases[i].key,
                      cases[i].value, buf_text(&findings));
            cr_expect(strncmp(buf_text(&findings), "--set:", 6) == 0, "%s", buf_text(&findings));
            cr_expect(!strstr(buf_text(&findings), "hunter2"));
        }
        config_free(config);
        buf_done(&findings);
    }
}

Test(config, the_last_override_of_a_key_wins)
{
    struct config_override overrides[] = { { "log.level", "nonsense" }, { "log.level", "warn" } };
    struct config *config = load_text("queues: {q: {handler: noop}}", overrides, 2, NULL);

    cr_assert(config);
    cr_expect_eq(config->log_level, LOG_LEVEL_WARN);
    config_free(config);
}

/* ---- in threads ---- */

#define THREADS 4
#define LOADS   25

/* Loads again and again; the last configuration and how often a load went wrong. */
struct loader {
    const char *path;
    struct config *config;
    size_t wrong;
};

static void *load_often(void *arg)
{
    struct loader *loader = arg;

    for (size_t i = 0; i < LOADS; i++) {
        struct config_override override = { "log.level", "warn" };
        struct config_report report;

        config_free(TAKE_PTR(loader->config));
        loader->wrong += config_load(loader->path, &override, 1, &loader->config, &report) < 0;
        loader->wrong += report.count != 1; /* a warning about the program */
        config_report_done(&report);
    }
    return NULL;
}

static void load_in_threads(const char *path, struct loader loaders[THREADS])
{
    pthread_t threads[THREADS];

    for (size_t i = 0; i < THREADS; i++) {
        loaders[i] = (struct loader){ .path = path };
        cr_assert(pthread_create(&threads[i], NULL, load_often, &loaders[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        cr_assert(pthread_join(threads[i], NULL) == 0);
}

Test(files, loads_in_threads_do_not_meet)
{
    _cleanup_(freep) char *secret = put("secret", "geheim\n", 0600);
    _cleanup_(freep) char *yaml =
        text_format("redis: {default: {password: \"file:%s\"}}\nqueues:\n q: {handler: noop}\n"
                    " r: {handler: {exec: [/nowhere/prog], directory: /tmp}}\n",
                    secret);
    _cleanup_(freep) char *path = put("drover.yaml", yaml, 0600);
    struct loader loaders[THREADS];
    struct buf first = BUF_INIT(65536);

    /* Where nothing is: absolute paths are all it needs. */
    cr_assert(chdir("/proc") == 0);
    load_in_threads(path, loaders);
    for (size_t i = 0; i < THREADS; i++) {
        struct buf json = BUF_INIT(65536);

        cr_assert(loaders[i].config && !loaders[i].wrong, "%zu went wrong", loaders[i].wrong);
        cr_assert(config_print_json(loaders[i].config, CONFIG_SECRETS_KEPT, i ? &json : &first,
                                    NULL) == 0);
        cr_expect(!i || strcmp(buf_text(&json), buf_text(&first)) == 0);
        config_free(loaders[i].config);
        buf_done(&json);
    }
    buf_done(&first);
}

Test(files, queues_d_is_merged_in_order)
{
    _cleanup_(freep) char *path = put("drover.yaml", "queues: {m: {handler: noop}}\n", 0600);
    _cleanup_(freep) char *folder = text_format("%s/queues.d", scratch);
    struct buf findings = BUF_INIT(65536);
    struct config *config;

    cr_assert(mkdir(folder, 0700) == 0);
    free(put("queues.d/20-b.yaml", "queues: {b: {handler: noop}}\n", 0600));
    free(put("queues.d/10-a.yaml", "queues: {a: {handler: noop}}\n", 0600));
    free(put("queues.d/30-empty.yaml", "# nothing\n", 0600));
    free(put("queues.d/.hidden.yaml", "nonsense: [\n", 0600));
    free(put("queues.d/notes.txt", "nonsense: [\n", 0600));
    config = load_path(path, &findings);
    cr_assert(config, "%s", buf_text(&findings));
    cr_assert_eq(config->queues_count, 3);
    cr_expect_str_eq(config->queues[0].name, "m");
    cr_expect_str_eq(config->queues[1].name, "a");
    cr_expect_str_eq(config->queues[2].name, "b");
    cr_expect_eq(findings.len, 0, "%s", buf_text(&findings));
    config_free(config);
    buf_done(&findings);
}

Test(files, findings_of_all_files_come_in_one_run)
{
    _cleanup_(freep) char *path =
        put("drover.yaml", "log: {level: loud}\nqueues:\n  m: {handler: noop}\n", 0600);
    _cleanup_(freep) char *folder = text_format("%s/queues.d", scratch);
    _cleanup_(freep) char *expected = NULL;
    struct buf findings = BUF_INIT(65536);

    cr_assert(mkdir(folder, 0700) == 0);
    free(put("queues.d/a.yaml", "queues:\n  m: {handler: noop}\n  x: {handler: noop, lock: 3}\n",
             0600));
    free(put("queues.d/b.yaml", "queues: [\n", 0600));
    free(put("queues.d/c.yaml", "log: {level: info}\nqueues: {y: {}}\n", 0600));
    free(put("queues.d/d.yml", "", 0600));
    cr_assert(!load_path(path, &findings));
    expected = text_format(
        "%s/drover.yaml:1:14: log.level: `loud` is none of: debug, info, warn, error\n"
        "%s/queues.d/a.yaml:2:3: queues.m: queue m is defined twice, first in "
        "%s/drover.yaml:3:3; keep one of the two\n"
        "%s/queues.d/a.yaml:3:28: queues.x.lock: 3 has no unit: `3s` (seconds), `3ms` or `3m` "
        "(minutes)?\n",
        scratch, scratch, scratch, scratch);
    cr_expect(strncmp(buf_text(&findings), expected, strlen(expected)) == 0, "%s\nnot\n%s",
              buf_text(&findings), expected);
    cr_expect(strstr(buf_text(&findings), "/queues.d/b.yaml:"));
    cr_expect(strstr(buf_text(&findings), "/queues.d/c.yaml:1:1: log: only `queues` can stand"));
    cr_expect(strstr(buf_text(&findings), "/queues.d/c.yaml:2:10: queues.y: has no handler"));
    cr_expect(strstr(buf_text(&findings), "/queues.d/d.yml:0:0: warning: : not read"));
    buf_done(&findings);
}

Test(files, secrets_are_resolved_and_never_shown)
{
    _cleanup_(freep) char *secret = put("secret", "geheim1\n", 0600);
    _cleanup_(freep) char *open_secret = put("open", "geheim2", 0644);
    _cleanup_(freep) char *credential = put("redis", "geheim3\r\n", 0600);
    _cleanup_(freep) char *yaml =
        text_format("redis:\n"
                    " default: {url: \"redis://h\", password: \"file:%s\"}\n"
                    " b: {url: \"redis://h\", password: \"file:%s\"}\n"
                    " c: {url: \"redis://h\", password: cred:redis}\n"
                    " d: {url: \"redis://h\", password: env:DROVER_TEST_SECRET}\n"
                    "queues:\n"
                    " q: {handler: {exec: [/bin/cat], env: {TOKEN: geheim5}}}\n",
                    secret, open_secret);
    struct buf findings = BUF_INIT(65536), out = BUF_INIT(1u << 20);
    struct config *config;

    cr_assert(credential && setenv("CREDENTIALS_DIRECTORY", scratch, 1) == 0);
    cr_assert(setenv("DROVER_TEST_SECRET", "geheim4", 1) == 0);
    config = load_text(yaml, NULL, 0, &findings);
    cr_assert(config, "%s", buf_text(&findings));
    for (size_t i = 0; i < 4; i++) {
        char expected[16];

        (void)snprintf(expected, sizeof expected, "geheim%zu", i + 1);
        cr_expect_str_eq(config->redis[i].password, expected);
    }
    cr_expect(strstr(buf_text(&findings), "can be read by everybody"));
    cr_expect(!strstr(buf_text(&findings), "redis.default: can"), "%s", buf_text(&findings));
    cr_assert(config_print_json(config, CONFIG_SECRETS_MASKED, &out, NULL) == 0);
    cr_assert(config_print_effective(config, &out, NULL) == 0);
    cr_assert(config_print_effective_json(config, &out, NULL) == 0);
    cr_expect(!strstr(buf_text(&out), "geheim"), "%s", buf_text(&out));
    cr_expect(!strstr(buf_text(&findings), "geheim"));
    cr_expect(strstr(buf_text(&out), "redis.default.password = ***"));
    cr_expect(strstr(buf_text(&out), "queues.q.handler.env = {TOKEN: \"***\"}"));
    buf_reset(&out);
    cr_assert(config_print_json(config, CONFIG_SECRETS_KEPT, &out, NULL) == 0);
    for (unsigned int i = 1; i <= 5; i++) {
        char expected[16];

        (void)snprintf(expected, sizeof expected, "geheim%u", i);
        cr_expect(strstr(buf_text(&out), expected), "a child needs %s", expected);
    }
    config_free(config);
    buf_done(&findings);
    buf_done(&out);
}

Test(files, secrets_that_cannot_be)
{
    static const struct {
        const char *content, *fragment;
    } cases[] = {
        { "", "is empty" },
        { "\n", "is empty" },
        { "two\nlines\n", "more than one line" },
        { "\xff\xfe", "is not UTF-8" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(freep) char *secret = put("secret", cases[i].content, 0600);
        _cleanup_(freep) char *yaml = text_format("redis: {default: {password: \"file:%s\"}}\n"
                                                  "queues: {q: {handler: noop}}\n",
                                                  secret);
        struct buf findings = BUF_INIT(65536);

        cr_expect(!load_text(yaml, NULL, 0, &findings), "%s", cases[i].fragment);
        cr_expect(strstr(buf_text(&findings), cases[i].fragment), "%s", buf_text(&findings));
        buf_done(&findings);
    }
}

Test(config, urls)
{
    static const struct {
        const char *url, *host, *path, *username;
        unsigned int port, db;
    } good[] = {
        { "redis://h", "h", NULL, NULL, 6379, 0 },
        { "redis://h/", "h", NULL, NULL, 6379, 0 },
        { "redis://h:1/15", "h", NULL, NULL, 1, 15 },
        { "redis://10.0.0.1:65535/65535", "10.0.0.1", NULL, NULL, 65535, 65535 },
        { "redis://bob@h:6380/1", "h", NULL, "bob", 6380, 1 },
        { "redis://b%40b@h", "h", NULL, "b@b", 6379, 0 },
        { "redis://[::1]:7/2", "::1", NULL, NULL, 7, 2 },
        { "redis://[fe80::1%eth0]", NULL, NULL, NULL, 0, 0 },
        { "unix:///run/r.sock", NULL, "/run/r.sock", NULL, 0, 0 },
        { "unix:///run/r%20s.sock?db=3", NULL, NULL, NULL, 0, 0 },
        { "unix:///run/r.sock?db=3", NULL, "/run/r.sock", NULL, 0, 3 },
    };
    static const char *const bad[] = {
        "",
        "h",
        "redis:",
        "redis://",
        "redis:///0",
        "redis://h:0",
        "redis://h:",
        "redis://h:x",
        "redis://h:65536",
        "redis://h/-1",
        "redis://h/0/1",
        "redis://h/65536",
        "redis://h/0?x=1",
        "redis://h/0#x",
        "redis://@h",
        "redis://:hunter2@h",
        "redis://a:hunter2@h",
        "redis://a:hunter2@b@h",
        "redis://a:hunter2:@h:1/0",
        "redis://a%@h",
        "redis://a%2@h",
        "redis://a%00@h",
        "redis://a b@h",
        "redis://h h",
        "redis://[::1",
        "redis://[]",
        "redis://::1",
        "REDIS://h",
        "http://h",
        "rediss://a:hunter2@h",
        "unix://",
        "unix://r.sock",
        "unix:///r.sock?password=hunter2",
        "unix:///r.sock?db=",
        "unix:///r.sock#1",
        "unix:///"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaa",
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct config_redis redis = { 0 };
        struct error err = { 0 };
        int result = config_parse_redis_url(good[i].url, &redis, &err);

        if (!good[i].host && !good[i].path) { /* written like a good one, and refused */
            cr_expect(result == -EINVAL && !redis.url, "%s", good[i].url);
            continue;
        }
        cr_assert(result == 0, "%s: %s", good[i].url, err.text);
        cr_expect_str_eq(redis.url, good[i].url);
        cr_expect((redis.host != NULL) == (good[i].host != NULL));
        cr_expect(!good[i].host || strcmp(redis.host, good[i].host) == 0, "%s", good[i].url);
        cr_expect(!good[i].path || strcmp(redis.path, good[i].path) == 0, "%s", good[i].url);
        cr_expect((redis.username != NULL) == (good[i].username != NULL));
        cr_expect(!good[i].username || strcmp(redis.username, good[i].username) == 0);
        cr_expect(redis.port == good[i].port && redis.db == good[i].db, "%s", good[i].url);
        config_redis_done(&redis);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct config_redis redis = { 0 };
        struct error err = { 0 };

        cr_expect(config_parse_redis_url(bad[i], &redis, &err) == -EINVAL, "%s", bad[i]);
        cr_expect(!redis.url && !redis.host && !redis.path && !redis.username, "%s", bad[i]);
        cr_expect(err.text[0] && !strstr(err.text, "hunter2"), "%s: %s", bad[i], err.text);
        config_redis_done(&redis);
    }
}

Test(config, urls_of_several_hosts)
{
    static const struct {
        const char *url, *nodes, *master, *username;
        enum config_redis_kind kind;
        unsigned int db;
    } good[] = {
        { "redis+sentinel://h/m", "h:26379", "m", NULL, CONFIG_REDIS_SENTINEL, 0 },
        { "redis+sentinel://h:1,[::1]:2,g/my%20m/3", NULL, NULL, NULL, CONFIG_REDIS_SENTINEL, 0 },
        { "redis+sentinel://h:1,[::1]:2,g/my-m/3", "h:1 ::1:2 g:26379", "my-m", NULL,
          CONFIG_REDIS_SENTINEL, 3 },
        { "redis+sentinel://bob@h/m/", "h:26379", "m", "bob", CONFIG_REDIS_SENTINEL, 0 },
        { "redis+cluster://a,b:7,[::1]", "a:6379 b:7 ::1:6379", NULL, NULL, CONFIG_REDIS_CLUSTER,
          0 },
        { "redis+cluster://bob@a", "a:6379", NULL, "bob", CONFIG_REDIS_CLUSTER, 0 },
    };
    static const char *const bad[] = {
        "redis://a,b",
        "redis+sentinel://h",
        "redis+sentinel://h/",
        "redis+sentinel://h//1",
        "redis+sentinel:///m",
        "redis+sentinel://h,/m",
        "redis+sentinel://,h/m",
        "redis+sentinel://h,h/m",
        "redis+sentinel://h/m/x",
        "redis+sentinel://h/m/1/2",
        "redis+sentinel://h/m?x",
        "redis+sentinel://a:hunter2@h/m",
        "redis+sentinel://h:0/m",
        "redis+cluster://",
        "redis+cluster://a,",
        "redis+cluster://a/0",
        "redis+cluster://a?x",
        "redis+cluster://a,a:6379",
        "redis+cluster://a:hunter2@h",
        "redis+cluster://1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y",
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct config_redis redis = { 0 };
        struct error err = { 0 };
        int result = config_parse_redis_url(good[i].url, &redis, &err);
        char nodes[128] = "";

        if (!good[i].nodes) {
            cr_expect(result == -EINVAL, "%s", good[i].url);
            continue;
        }
        cr_assert(result == 0, "%s: %s", good[i].url, err.text);
        for (size_t k = 0; k < redis.nodes_count; k++)
            (void)snprintf(nodes + strlen(nodes), sizeof(nodes) - strlen(nodes), "%s%s:%u",
                           k ? " " : "", redis.nodes[k].host, redis.nodes[k].port);
        cr_expect_str_eq(nodes, good[i].nodes);
        cr_expect(redis.kind == good[i].kind && redis.db == good[i].db, "%s", good[i].url);
        cr_expect((redis.master != NULL) == (good[i].master != NULL));
        cr_expect(!good[i].master || strcmp(redis.master, good[i].master) == 0);
        cr_expect((redis.username != NULL) == (good[i].username != NULL));
        cr_expect(!redis.host && !redis.path && redis.port == 0);
        /* Another URL takes its place, whole. */
        cr_assert(config_parse_redis_url("redis://other:1", &redis, &err) == 0);
        cr_expect(redis.kind == CONFIG_REDIS_SERVER && !redis.nodes && !redis.master);
        config_redis_done(&redis);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct config_redis redis = { 0 };
        struct error err = { 0 };

        cr_expect(config_parse_redis_url(bad[i], &redis, &err) == -EINVAL, "%s", bad[i]);
        cr_expect(!redis.url && !redis.nodes && !redis.master && !redis.username, "%s", bad[i]);
        cr_expect(err.text[0] && !strstr(err.text, "hunter2"), "%s: %s", bad[i], err.text);
    }
}

/* On a cluster all keys of a queue are in one slot, or the file is refused where the queue is. */
Test(config, queues_of_a_cluster)
{
    static const struct {
        const char *yaml, *finding; /* NULL: good */
    } rows[] = {
        { "redis: {d: {url: \"redis+cluster://h\", prefix: \"{bull}\"}}\n"
          "queues: {a: {handler: noop}, b: {handler: noop}}\n",
          NULL },
        { "redis: {d: {url: \"redis+cluster://h\"}}\nqueues: {\"{a}\": {handler: noop}}\n", NULL },
        { "redis: {d: {url: \"redis://h\"}}\nqueues: {a: {handler: noop}}\n", NULL },
        { "redis: {d: {url: \"redis+cluster://h\"}}\nqueues: {a: {handler: noop}}\n",
          "test.yaml:2:10: queues.a: redis.d is a cluster" },
        { "redis: {d: {url: \"redis+cluster://h\", prefix: \"{}\"}}\n"
          "queues: {a: {handler: noop}}\n",
          "test.yaml:2:10: queues.a: redis.d is a cluster" },
        { "redis: {d: {url: \"redis://h\", sentinel_username: x}}\n"
          "queues: {a: {handler: noop}}\n",
          "test.yaml:1:31: redis.d.sentinel_username: goes with Sentinels only" },
        { "redis: {d: {url: \"redis+sentinel://h/m\", sentinel_username: x}}\n"
          "queues: {a: {handler: noop, wait_replicas: 1, wait_timeout: 5s, lock: 30s}}\n",
          NULL },
        { "queues: {a: {handler: noop, wait_replicas: 1, wait_timeout: 5001ms, lock: 30s}}\n",
          "wait_timeout (5001ms) is more than a sixth of the lock (30s)" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct buf findings = BUF_INIT(65536);
        struct config *config = load_text(rows[i].yaml, NULL, 0, &findings);

        cr_expect((config != NULL) == (rows[i].finding == NULL), "%s: %s", rows[i].yaml,
                  buf_text(&findings));
        cr_expect(!rows[i].finding || strstr(buf_text(&findings), rows[i].finding), "%s",
                  buf_text(&findings));
        config_free(config);
        buf_done(&findings);
    }
}

/* The children of droverd get what was parsed. */
Test(config, several_hosts_in_the_json_form)
{
    struct config *config = load_good("redis: {d: {url: \"redis+sentinel://bob@a,b:1/m/2\"}}\n"
                                      "queues: {q: {handler: noop, wait_replicas: 2}}\n");
    struct buf json = BUF_INIT((size_t)1 << 20);
    struct config *copy = NULL;
    struct error err = { 0 };

    cr_assert(config_print_json(config, CONFIG_SECRETS_KEPT, &json, &err) == 0, "%s", err.text);
    cr_assert(config_from_json(buf_text(&json), json.len, &copy, &err) == 0, "%s", err.text);
    cr_expect(copy->redis[0].kind == CONFIG_REDIS_SENTINEL && copy->redis[0].nodes_count == 2);
    cr_expect(copy->redis[0].nodes[1].port == 1 && copy->redis[0].db == 2);
    cr_expect_str_eq(copy->redis[0].master, "m");
    cr_expect_str_eq(copy->redis[0].username, "bob");
    cr_expect(copy->queues[0].wait_replicas == 2 && copy->queues[0].wait_timeout_ms == 1000);
    config_free(copy);
    config_free(config);
    buf_done(&json);
}

Test(config, an_endpoint_without_a_file)
{
    struct config_redis redis;
    struct error err = { 0 };

    cr_assert(config_redis_init(&redis, "cli", "redis://bob@h:1/2", &err) == 0, "%s", err.text);
    cr_expect_str_eq(redis.prefix, "bull");
    cr_expect_str_eq(redis.username, "bob");
    cr_expect(redis.connect_timeout_ms == 5000 && redis.command_timeout_ms == 10000);
    cr_expect(!redis.password && redis.port == 1 && redis.db == 2);
    config_redis_done(&redis);
    cr_expect(config_redis_init(&redis, "cli", "h", &err) == -EINVAL && !redis.prefix);
}

Test(config, children_that_fit)
{
    static const struct {
        unsigned int concurrency, processes, parallel, children;
    } fitting[] = {
        { 1, 1, 1, 1 }, { 40, 1, 20, 2 },   { 40, 2, 20, 2 }, { 12, 3, 2, 6 },
        { 3, 2, 1, 3 }, { 100, 7, 1, 100 }, { 8, 2, 4, 2 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(fitting); i++) {
        _cleanup_(freep) char *yaml = text_format(
            "queues: {q: {concurrency: %u, processes: %u,\n"
            "  handler: {process: [/bin/cat], parallel: %u, children: %u}}}\n",
            fitting[i].concurrency, fitting[i].processes, fitting[i].parallel, fitting[i].children);
        struct config *config = load_good(yaml);

        cr_expect_eq(config->queues[0].fallback.handler.children, fitting[i].children);
        config_free(config);
    }
}

Test(config, the_longest_path_of_a_socket)
{
    char path[SCHEMA_SOCKET_PATH_BYTES_MAX + 1] = "/run/";
    _cleanup_(freep) char *yaml = NULL;
    struct config *config;

    memset(path + 5, 'a', sizeof path - 6);
    yaml = text_format("control: %s\nqueues: {q: {handler: noop}}\n", path);
    config = load_good(yaml);
    cr_expect_str_eq(config->control_path, path);
    config_free(config);
    config = load_good("queues: {q: {handler: noop}}\n");
    cr_expect_str_eq(config->control_path, "/run/drover/control");
    config_free(config);
}

Test(config, empty_sections_and_a_bom_are_fine)
{
    struct config *config = load_good("\xef\xbb\xbf# only comments below these\n"
                                      "redis:\nlog:\ndefaults:\ntiers:\n"
                                      "queues: {q: {handler: {noop: }, types: , backoff: }}\n");

    cr_expect_eq(config->queues_count, 1);
    config_free(config);
}
