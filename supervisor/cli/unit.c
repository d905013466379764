/* drover unit: the drop-in that a configuration needs beyond the shipped unit. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/json_text.h"
#include "common/base/text.h"
#include "supervisor/cli/connect.h"
#include "supervisor/cli/instance.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/overrides.h"
#include "supervisor/cli/unit_needs.h"

#define OUTPUT_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define HOME_LINE        "ProtectHome=tmpfs"
#define HOME_WHY         "homes stay hidden, but for what is bound into them below"

struct unit_values {
    const char *config, *user;
    struct cli_list set;
    bool json;
};

#define AT(member) .at = offsetof(struct unit_values, member)
static const struct cli_option options[] = {
    { .name = "config",
      .letter = 'c',
      .kind = CLI_TEXT,
      .arg = "FILE",
      .value = CLI_VALUE_FILE,
      AT(config),
      .help = "the configuration; " CLI_CONFIG_FILE " unless given" },
    { .name = "set",
      .kind = CLI_LIST,
      .arg = "KEY=VALUE",
      .value = CLI_VALUE_SETTING,
      AT(set),
      .help = "as if the file said so; may be given again, as with droverd" },
    { .name = "user",
      .kind = CLI_TEXT,
      .arg = "NAME",
      AT(user),
      .help = "the unit's User=; drover unless given" },
    { .name = "json", .kind = CLI_FLAG, AT(json), .help = "for programs" },
};

static int cli_unit(int argc, char **argv);

const struct cli_command cli_unit_command = {
    .name = "unit",
    .summary = "prints the systemd drop-in that the configuration needs",
    .usage = "drover unit [-c FILE] [--set KEY=VALUE]... [--user NAME] [--json]",
    .about =
        "The shipped unit has a sandbox: the file system is read-only, homes and temporary "
        "folders\n"
        "are hidden. What a configuration names there, its credentials, and times or descriptors\n"
        "beyond what the unit allows, are printed as lines for a drop-in, each with its reason.\n"
        "What it cannot decide is a comment. `drover check --unit` looks whether a unit has them.",
    .examples =
        "what does my configuration need?\ndrover unit\n"
        "put it into force\n"
        "mkdir -p /etc/systemd/system/drover.service.d && "
        "drover unit >/etc/systemd/system/drover.service.d/needs.conf && systemctl daemon-reload\n",
    .options = options,
    .options_count = ARRAY_SIZE(options),
    .run = cli_unit,
};

/* ---- the drop-in */

/* A value of a unit file, whatever it holds: % begins a specifier there, a blank or a quote needs
 * quotes around, and a line end would begin another directive (systemd.syntax(7)). */
static void print_value(const char *value, bool is_bind, struct buf *out)
{
    bool quoted = strpbrk(value, " \"'\\") != NULL;

    for (const char *at = value; *at; at++)
        quoted |= (unsigned char)*at < ' ';
    if (quoted)
        (void)buf_append_char(out, '"');
    for (const char *at = value; *at; at++) {
        if ((unsigned char)*at < ' ') {
            (void)buf_printf(out, "\\x%02x", (unsigned char)*at);
            continue;
        }
        if (*at == '%')
            (void)buf_append_char(out, '%');
        else if (*at == '"' || *at == '\\')
            (void)buf_append_char(out, '\\');
        else if (*at == ':' && is_bind)
            (void)buf_append_text(out, quoted ? "\\\\" : "\\"); /* ends a path there */
        (void)buf_append_char(out, *at);
    }
    if (quoted)
        (void)buf_append_char(out, '"');
}

static void print_comment(const char *text, struct buf *out)
{
    (void)buf_append_text(out, "# ");
    output_text(out, text, strlen(text));
    (void)buf_append_char(out, '\n');
}

static uint64_t seconds_of(uint64_t ms)
{
    return ms / 1000 + (ms % 1000 ? 1 : 0);
}

/* The drop-in users.conf, for this file and instance. */
static void print_users(const char *worker, const char *file, struct buf *out)
{
    char real[PATH_MAX];

    (void)buf_append_text(out, "ExecStart=\nExecStart=" DROVER_SBINDIR "/droverd -c ");
    print_value(realpath(file, real) ? real : file, false, out);
    if (instance_name())
        (void)buf_printf(out, " --set control=%s", instance_socket());
    (void)buf_printf(out,
                     " --set user=%s\nUser=root\nCapabilityBoundingSet=" UNIT_RIGHTS
                     "\nSystemCallFilter=@setuid capset",
                     worker);
}

/* Prints into `out` what gives the unit this; nothing when the shipped unit has enough. */
static void print_directives(const struct unit_need *need, const char *file, struct buf *out)
{
    switch (need->kind) {
    case UNIT_NEED_READ:
        (void)buf_append_text(out, "BindReadOnlyPaths=");
        print_value(need->text, true, out);
        break;
    case UNIT_NEED_WRITE:
        (void)buf_append_text(out, "BindPaths=");
        print_value(need->text, true, out);
        break;
    case UNIT_NEED_WRITABLE:
        (void)buf_append_text(out, "ReadWritePaths=");
        print_value(need->text, false, out);
        break;
    case UNIT_NEED_CREDENTIAL:
        (void)buf_append_text(out, "LoadCredential=");
        print_value(need->text, false, out);
        (void)buf_append_text(out, ":/etc/drover/credentials/");
        print_value(need->text, false, out);
        break;
    case UNIT_NEED_USERS:
        print_users(need->text, file, out);
        break;
    case UNIT_NEED_STOP:
        if (need->number == UINT64_MAX)
            (void)buf_append_text(out, "TimeoutStopSec=infinity");
        else if (need->number > UNIT_STOP_MS)
            (void)buf_printf(out, "TimeoutStopSec=%" PRIu64, seconds_of(need->number));
        break;
    case UNIT_NEED_START:
        if (need->number > UNIT_START_MS)
            (void)buf_printf(out, "TimeoutStartSec=%" PRIu64, seconds_of(need->number));
        break;
    case UNIT_NEED_DESCRIPTORS:
        if (need->number > UNIT_DESCRIPTORS)
            (void)buf_printf(out, "LimitNOFILE=%" PRIu64, need->number);
        break;
    case UNIT_NEED_KIND_COUNT:
    default:
        break;
    }
}

/* True when the drop-in needs ProtectHome=tmpfs: binding into a home takes a folder to bind to. */
static bool needs_home(const struct unit_needs *needs)
{
    for (size_t i = 0; i < needs->count; i++) {
        const struct unit_need *need = &needs->rows[i];

        if ((need->kind == UNIT_NEED_READ || need->kind == UNIT_NEED_WRITE) &&
            unit_hides_home(need->text))
            return true;
    }
    return false;
}

static size_t print_needs(const struct unit_needs *needs, const char *file, struct buf *out)
{
    size_t printed = 0;

    if (needs_home(needs)) {
        print_comment(HOME_WHY, out);
        (void)buf_append_text(out, HOME_LINE "\n");
        printed++;
    }
    for (size_t i = 0; i < needs->count; i++) {
        const struct unit_need *need = &needs->rows[i];
        struct buf line = BUF_INIT(OUTPUT_BYTES_MAX);

        print_directives(need, file, &line);
        if (line.len > 0) {
            print_comment(need->why, out);
            if (need->kind == UNIT_NEED_USERS)
                print_comment("(the drop-in " DROVER_DATADIR "/users.conf explains these lines)",
                              out);
            if (need->kind == UNIT_NEED_CREDENTIAL)
                print_comment("(a file of root's, mode 0600; LoadCredentialEncrypted= takes one "
                              "that systemd-creds(1) made)",
                              out);
            (void)buf_printf(out, "%s\n", buf_text(&line));
            printed++;
        }
        out->failed |= line.failed;
        buf_done(&line);
    }
    return printed;
}

static void print_dropin(const struct unit_needs *needs, const char *file, const char *user,
                         struct buf *out)
{
    struct buf lines = BUF_INIT(OUTPUT_BYTES_MAX);
    char unit[INSTANCE_UNIT_BYTES];
    size_t printed = print_needs(needs, file, &lines);

    (void)buf_printf(
        out, "# What %s needs of %s beyond the shipped unit, by drover " DROVER_VERSION ".\n", file,
        instance_unit(unit));
    if (printed > 0)
        (void)buf_printf(out,
                         "# Put it into /etc/systemd/system/%s.d/needs.conf, then: systemctl "
                         "daemon-reload\n",
                         unit);
    else
        print_comment("Nothing: the shipped unit is enough.", out);
    (void)buf_printf(out, "\n[Service]\n%s", buf_text(&lines));
    for (size_t i = 0; i < needs->notes_count; i++) {
        if (i == 0)
            (void)buf_printf(out, "\n# Look at these yourself (as user %s):\n", user);
        print_comment(needs->notes[i], out);
    }
    out->failed |= lines.failed;
    buf_done(&lines);
}

static void print_json_row(const char *line, size_t len, const char *why, bool *io_first,
                           struct buf *out)
{
    (void)buf_append_text(out, *io_first ? "{" : ",{");
    output_member_text(out, true, "line", line, len);
    output_member_text(out, false, "why", why, strlen(why));
    (void)buf_append_char(out, '}');
    *io_first = false;
}

static void print_json(const struct unit_needs *needs, const char *file, struct buf *out)
{
    char unit[INSTANCE_UNIT_BYTES];
    bool first = true;

    (void)buf_append_char(out, '{');
    output_member_text(out, true, "unit", instance_unit(unit), strlen(instance_unit(unit)));
    (void)buf_append_text(out, ",\"directives\":[");
    if (needs_home(needs))
        print_json_row(HOME_LINE, strlen(HOME_LINE), HOME_WHY, &first, out);
    for (size_t i = 0; i < needs->count; i++) {
        struct buf lines = BUF_INIT(OUTPUT_BYTES_MAX);
        size_t len;

        print_directives(&needs->rows[i], file, &lines);
        for (const char *line = buf_text(&lines); *line; line += len + (line[len] ? 1 : 0)) {
            len = strcspn(line, "\n");
            print_json_row(line, len, needs->rows[i].why, &first, out);
        }
        out->failed |= lines.failed;
        buf_done(&lines);
    }
    (void)buf_append_text(out, "],\"notes\":[");
    for (size_t i = 0; i < needs->notes_count; i++) {
        (void)buf_append_text(out, i ? "," : "");
        (void)json_text_quote(out, needs->notes[i], strlen(needs->notes[i]));
    }
    (void)buf_append_text(out, "]}\n");
}

/* ---- the command */

static int print_for(const struct unit_values *values, const char *file,
                     const struct config *config, const struct config_report *report)
{
    const char *user = values->user ? values->user : UNIT_USER;
    struct buf out = BUF_INIT(OUTPUT_BYTES_MAX);
    struct unit_needs needs;
    int r = unit_needs_find(config, report, user, &needs);
    bool good = r == 0;

    if (r < 0)
        output_error("memory ran out");
    else if (values->json)
        print_json(&needs, file, &out);
    else
        print_dropin(&needs, file, user, &out);
    unit_needs_done(&needs);
    good = good && output_flush(&out);
    buf_done(&out);
    return good ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

static int cli_unit(int argc, char **argv)
{
    struct unit_values values = { 0 };
    _cleanup_(cli_overrides_done) struct cli_overrides overrides = { 0 };
    _cleanup_(freep) const char **words = calloc((size_t)argc, sizeof(*words));
    _cleanup_(config_freep) struct config *config = NULL;
    struct config_report report;
    const char *file;
    size_t words_count = 0;
    int code;

    if (!words)
        return EXIT_CODE_FAILED;
    switch (cli_parse("unit", argc, argv, &values, words, &words_count)) {
    case CLI_PARSED_HELP:
        return EXIT_CODE_OK;
    case CLI_PARSED_WRONG:
        return EXIT_CODE_USAGE;
    case CLI_PARSED_GO_ON:
    default:
        break;
    }
    if (words_count > 0)
        return cli_usage_error("unit", "unexpected \"%s\"; a file is named with -c", words[0]);
    code = cli_overrides_init(&overrides, "unit", &values.set);
    if (code != EXIT_CODE_OK)
        return code;
    file = values.config ? values.config : instance_config_file();
    if (config_inspect(file, overrides.rows, overrides.count, &config, &report) < 0) {
        cli_print_findings(&report);
        code = EXIT_CODE_CONFIG;
    } else {
        code = print_for(&values, file, config, &report);
    }
    config_report_done(&report);
    return code;
}
