/* drover scale: how many jobs of a queue this host runs at once, without a change of the file. */
#include <inttypes.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "supervisor/cli/connect.h"
#include "supervisor/cli/control_client.h"
#include "supervisor/cli/output.h"

#define SCALE_MS 60000 /* a reload that is under way is finished first */

struct scale_values {
    const char *config, *socket;
    bool keep, json;
};

#define AT(member) .at = offsetof(struct scale_values, member)
static const struct cli_option options[] = {
    { .name = "keep",
      .letter = 'k',
      .kind = CLI_FLAG,
      AT(keep),
      .help = "over reloads, until droverd ends or the queue is scaled again" },
    { .name = "json", .kind = CLI_FLAG, AT(json), .help = "for programs" },
    CLI_SOCKET_OPTION(struct scale_values, socket),
    { .name = "config",
      .letter = 'c',
      .kind = CLI_TEXT,
      .arg = "FILE",
      .value = CLI_VALUE_FILE,
      AT(config),
      .help = "where to find `control`; " CLI_CONFIG_FILE " unless given" },
};

static const struct cli_operand operands[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
    { .name = "N" },
};

static int cli_scale(int argc, char **argv);

const struct cli_command cli_scale_command = {
    .name = "scale",
    .summary = "sets how many jobs of a queue run at once on this host, for now",
    .usage = "drover scale [OPTION...] QUEUE N",
    .about =
        "Takes the place of the queue's concurrency until the next reload; with --keep also after\n"
        "it. Running jobs are not disturbed: above N they only end without another taking their\n"
        "place. 0 lets the queue rest on this host. For root and the user that droverd runs as.",
    .examples = "twice as many\ndrover scale mail 20\n"
                "none here until I say so\ndrover scale mail 0 --keep\n"
                "as the file says\ndrover reload\n",
    .options = options,
    .options_count = ARRAY_SIZE(options),
    .operands = operands,
    .operands_count = ARRAY_SIZE(operands),
    .run = cli_scale,
};

static void print_end(const json_t *end, const char *queue, struct buf *out)
{
    output_text(out, queue, strlen(queue));
    (void)buf_printf(out, ": concurrency %" PRIu64 " -> %" PRIu64 ", %s\n",
                     control_number(end, "from"), control_number(end, "to"),
                     json_is_true(json_object_get(end, "kept")) ? "kept over reloads"
                                                                : "until the next reload");
}

static void print_json(const json_t *end, const char *queue, struct buf *out)
{
    (void)buf_append_char(out, '{');
    output_member_text(out, true, "queue", queue, strlen(queue));
    output_member_number(out, false, "from", control_number(end, "from"));
    output_member_number(out, false, "to", control_number(end, "to"));
    (void)buf_printf(out, ",\"kept\":%s}\n",
                     json_is_true(json_object_get(end, "kept")) ? "true" : "false");
}

static int run(const struct scale_values *values, const char *queue, uint64_t concurrency)
{
    const struct control_call call = {
        .socket = values->socket,
        .config = values->config,
        .request = json_pack("{s:s, s:s, s:I, s:b}", "verb", "scale", "queue", queue, "concurrency",
                             (json_int_t)concurrency, "keep", values->keep),
        .timeout_ms = SCALE_MS,
    };
    struct buf out = BUF_INIT(4096);
    json_t *end = NULL;
    int code = control_client_call(&call, &end);

    if (code == 0)
        code = control_client_finish(end);
    if (code == 0) {
        if (values->json)
            print_json(end, queue, &out);
        else
            print_end(end, queue, &out);
        code = output_flush(&out) ? EXIT_CODE_OK : EXIT_CODE_FAILED;
    }
    json_decref(end);
    buf_done(&out);
    return code;
}

static int cli_scale(int argc, char **argv)
{
    struct scale_values values = { 0 };
    _cleanup_(freep) const char **words = calloc((size_t)argc, sizeof(*words));
    size_t words_count = 0;
    uint64_t concurrency;
    enum cli_parsed parsed;

    if (!words)
        return EXIT_CODE_FAILED;
    parsed = cli_parse("scale", argc, argv, &values, words, &words_count);
    if (parsed != CLI_PARSED_GO_ON)
        return parsed == CLI_PARSED_HELP ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    if (words_count != 2)
        return cli_usage_error("scale", "needs a queue and a number: drover scale mail 10");
    if (text_parse_uint(words[1], strlen(words[1]), &concurrency) < 0 || concurrency > UINT32_MAX)
        return cli_usage_error("scale",
                               "N is how many jobs run at once, a whole number from 0, not "
                               "\"%s\"",
                               words[1]);
    return run(&values, words[0], concurrency);
}
