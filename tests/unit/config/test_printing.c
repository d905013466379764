/* What people read of a configuration: --effective, --explain. */
#include <errno.h>
#include <jansson.h>

#include "tests/unit/config/support.h"

Test(printing, effective_names_every_source)
{
    struct config_override override = { "queues.q.concurrency", "3" };
    struct config *config = load_text("defaults:\n"
                                      "  attempts: 4\n"
                                      "queues:\n"
                                      "  q:\n"
                                      "    lock: 20s\n"
                                      "    handler: noop\n"
                                      "    types: {t: {timeout: 9s}}\n",
                                      &override, 1, NULL);
    static const char *const lines[] = {
        "queues.q.attempts = 4  # test.yaml:2:13\n",
        "queues.q.lock = 20s  # test.yaml:5:11\n",
        "queues.q.concurrency = 3  # --set\n",
        "queues.q.batch = 50  # default\n",
        "queues.q.types.t.timeout = 9s  # test.yaml:7:26\n",
        "queues.q.types.t.attempts = 4  # test.yaml:2:13\n",
        "queues.q.types.t.handler.noop.duration = 0s  # default\n",
        "redis.default.url = \"redis://127.0.0.1:6379/0\"  # default\n",
    };
    struct buf out = BUF_INIT(65536);
    json_t *json;

    cr_assert(config);
    cr_assert(config_print_effective(config, &out, NULL) == 0);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        cr_expect(strstr(buf_text(&out), lines[i]), "%s not in\n%s", lines[i], buf_text(&out));
    buf_reset(&out);
    cr_assert(config_print_effective_json(config, &out, NULL) == 0);
    json = json_loads(buf_text(&out), JSON_REJECT_DUPLICATES, NULL);
    cr_assert(json, "%s", buf_text(&out));
    /* The two kinds of handler are shown by their parts. */
    cr_expect_eq(json_object_size(json), config->origins_count - 2);
    cr_expect_str_eq(json_string_value(json_object_get(
                         json_object_get(json, "queues.q.types.t.timeout"), "from")),
                     "test.yaml:7:26");
    cr_expect_eq(
        json_integer_value(json_object_get(json_object_get(json, "queues.q.concurrency"), "value")),
        3);
    json_decref(json);
    buf_done(&out);
    config_free(config);
}

Test(printing, effective_shows_the_parts_of_each_kind_of_handler)
{
    struct config *config =
        load_good("control: /run/drover-2/control\n"
                  "defaults: {max_givebacks: 5}\n"
                  "queues:\n"
                  " q:\n"
                  "  concurrency: 4\n"
                  "  handler: {process: [/bin/cat, -], children: 2, parallel: 2, env: {K: v}}\n"
                  "  types:\n"
                  "   auto: {handler: {process: [/bin/cat], heartbeat: 1m}}\n"
                  "   once: {handler: {exec: [/bin/cat], max_output: 2MiB}}\n");
    static const char *const lines[] = {
        "control = /run/drover-2/control  # test.yaml:1:10\n",
        "queues.q.max_givebacks = 5  # test.yaml:2:27\n",
        "queues.q.handler.process = [\"/bin/cat\", \"-\"]  # test.yaml:6:22\n",
        "queues.q.handler.children = 2  # test.yaml:6:47\n",
        "queues.q.handler.parallel = 2  # test.yaml:6:60\n",
        "queues.q.handler.heartbeat = none  # default\n",
        "queues.q.handler.env = {K: \"***\"}  # test.yaml:6:68\n",
        "queues.q.types.auto.handler.children = auto  # default\n",
        "queues.q.types.auto.handler.heartbeat = 1m  # test.yaml:8:53\n",
        "queues.q.types.once.handler.max_output = 2MiB  # test.yaml:9:51\n",
    };
    static const char *const absent[] = {
        "queues.q.handler.exec",
        "queues.q.types.once.handler.children",
        "queues.q.types.once.handler.process",
        "queues.q.types.auto.handler.exec",
        "queues.q.types.auto.max_givebacks",
    };
    struct buf out = BUF_INIT(65536);
    json_t *json;

    cr_assert(config_print_effective(config, &out, NULL) == 0);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        cr_expect(strstr(buf_text(&out), lines[i]), "%s not in\n%s", lines[i], buf_text(&out));
    for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
        cr_expect(!strstr(buf_text(&out), absent[i]), "%s", absent[i]);
    buf_reset(&out);
    cr_assert(config_print_effective_json(config, &out, NULL) == 0);
    json = json_loads(buf_text(&out), JSON_REJECT_DUPLICATES, NULL);
    cr_assert(json, "%s", buf_text(&out));
    cr_expect_eq(json_integer_value(
                     json_object_get(json_object_get(json, "queues.q.handler.children"), "value")),
                 2);
    cr_expect_str_eq(json_string_value(json_object_get(
                         json_object_get(json, "queues.q.types.auto.handler.children"), "value")),
                     "auto");
    json_decref(json);
    buf_done(&out);
    config_free(config);
}

Test(printing, explain)
{
    static const struct {
        const char *key, *fragment;
        int result;
    } cases[] = {
        { NULL, "queues.*.types.*.handler.exec", 0 },
        { "queues.*.concurrency", "range:   1 … 100000", 0 },
        { "queues.money.concurrency", "Jobs at once on this host", 0 },
        { "queues.\"a.b\".lock", "order:   queue, then defaults", 0 },
        { "queues.a.types.b.attempts", "order:   type, then queue, then defaults", 0 },
        { "defaults.backoff.type", "exponential  the delay doubles each time", 0 },
        { "defaults.backoff", "defaults.backoff.jitter", 0 },
        { "queues.*.handler", "queues.*.handler.max_output", 0 },
        { "redis", "redis.*.password", 0 },
        { "control", "default: /run/drover/control", 0 },
        { "control", "change:  restart (systemctl restart drover)", 0 },
        { "queues.a.max_givebacks", "range:   1 … 1000", 0 },
        { "queues.a.max_givebacks", "order:   queue, then defaults", 0 },
        { "queues.a.concurrency", "change:  live (drover reload, which interrupts nothing)", 0 },
        { "queues.a.batch", "change:  new workers (drover reload; old workers leave when", 0 },
        { "queues.a.handler.process", "type:    list: program and arguments", 0 },
        { "queues.a.handler.children", "default: auto", 0 },
        { "queues.a.handler.children", "range:   1 … 10000 or auto", 0 },
        { "queues.a.types.b.handler.parallel", "Jobs at once in one program", 0 },
        { "queues.a.handler.heartbeat", "range:   100ms … 1d or none", 0 },
        { "queues.a.handler.max_output", "longest line", 0 },
        { "queues.a.handler.child", "there is no key queues.a.handler.child", -ENOENT },
        { "queues.a.handler.childern", "did you mean queues.*.handler.children?", -ENOENT },
        { "max_givebacks", "did you mean defaults.max_givebacks?", -ENOENT },
        { "contrl", "did you mean control?", -ENOENT },
        { "queues.a.concurency", "did you mean queues.*.concurrency?", -ENOENT },
        { "backoff.delay", "did you mean defaults.backoff.delay?", -ENOENT },
        { "concurrency", "did you mean queues.*.concurrency?", -ENOENT },
        { "nonsense", "there is no key nonsense", -ENOENT },
        { "log.level.more", "there is no key", -ENOENT },
        { "queues.\"a.lock", "there is no key", -ENOENT },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf out = BUF_INIT(65536);
        struct error err = { 0 };
        const char *key = cases[i].key ? cases[i].key : "(all)";

        cr_expect_eq(config_explain(cases[i].key, &out, &err), cases[i].result, "%s: %s", key,
                     err.text);
        cr_expect(strstr(cases[i].result < 0 ? err.text : buf_text(&out), cases[i].fragment),
                  "%s: %s%s", key, buf_text(&out), err.text);
        buf_done(&out);
    }
}

Test(printing, no_room_is_an_error)
{
    struct config *config = load_good("queues: {q: {handler: noop}}");
    struct buf small = BUF_INIT(100);
    struct error err = { 0 };

    cr_expect(config_print_json(config, CONFIG_SECRETS_KEPT, &small, &err) == -ENOBUFS);
    buf_reset(&small);
    cr_expect(config_print_effective(config, &small, &err) < 0);
    buf_reset(&small);
    cr_expect(config_print_effective_json(config, &small, &err) < 0);
    buf_reset(&small);
    cr_expect(config_explain(NULL, &small, &err) < 0);
    buf_done(&small);
    config_free(config);
}
