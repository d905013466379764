#include "common/config/reference.h"

#include <string.h>

#include "common/config/schema.h"

/* What the table cannot say. Words between ` are keys, values and commands. */
struct paragraph {
    const char *title; /* NULL: goes on under the last one */
    const char *text;
};

static const struct paragraph paragraphs[] = {
    { "Files",
      "droverd and drover read `/etc/drover/drover.yaml`, or the file given with `-c`, and then "
      "every file `queues.d/*.yaml` beside it, in the order of their names. Files in `queues.d` "
      "hold the key `queues` only; a queue that stands in two files is refused." },
    { NULL,
      "Everything is checked before anything starts. All that is wrong in all files is told in one "
      "run, each finding with file, line, column and key, and the program ends with exit code 78. "
      "`drover check` does the same and starts nothing; `drover check --effective` shows every "
      "value with the place it came from; `drover check --explain KEY` shows what this page says "
      "of a key." },
    { "How values are written",
      "A file is one YAML document in UTF-8, up to 1MiB. Keys that do not exist, keys that stand "
      "twice, anchors, aliases, tags and further documents are refused: what a file says must be "
      "readable where it stands. What several queues share goes into `defaults`." },
    { NULL,
      "A duration is a number and a unit: `250ms`, `1.5s`, `10m`, `2h`, `90d`. A size likewise: "
      "`512KiB`, `16MiB`, `1GB`. A bare number is refused, because one reader takes it for seconds "
      "and the next for milliseconds; only `0` needs no unit. Whole numbers, `true` and `false` "
      "stand without quotes." },
    { NULL,
      "`*` in a key stands for a name that you choose: of an endpoint, a queue, a job type. A name "
      "that has other characters than letters, digits, `_` and `-` stands in double quotes where a "
      "key is written in one line, as in `queues.\"a.b\".concurrency`." },
    { "Where a value comes from",
      "A job option is looked for under the job's type, then in its queue, then in `defaults`; "
      "else the built-in default counts. `keep.completed`, `keep.failed` and `handler` are taken "
      "as a whole from the nearest place that has them; all other keys one by one. Options that a "
      "job brings itself win over this file unless the queue has `enforce: true`." },
    { NULL,
      "`--set KEY=VALUE` wins over the files and goes through the same checks. It takes a key by "
      "its concrete name; the queue or type must exist in a file. Lists and maps are written as "
      "YAML in one line, all else as it is." },
    { "Secrets",
      "A secret never stands in a file, a URL or a command line. In its place stands where it is: "
      "`file:/PATH`, `cred:NAME` for a systemd credential, or `env:NAME`. droverd reads it at its "
      "start and at a reload, and hands it to its workers through sealed memory. Wherever a "
      "configuration is "
      "printed, secrets and the values of `handler.env` are shown as `***`." },
    { "Changes",
      "`drover reload` (or `systemctl reload drover`) reads all files again and checks them whole. "
      "When anything is wrong, nothing changes, and the findings are told. Otherwise only what "
      "differs is touched, and each key says what a change of it takes. Live: those who run take "
      "it, nothing is interrupted. New workers: the workers of the queues concerned are replaced; "
      "the old ones fetch no more and finish their jobs. Restart: it counts from the next start of "
      "droverd on." },
    { NULL,
      "A value that a queue inherits, and the endpoint that its tier means, count as the queue's "
      "own. A password is read again too, so a new one in its place means new workers. Queues "
      "that are new in the files are started, those that are gone finish their jobs and end." },
};

/* Roff: a backslash, a leading dot or apostrophe and a hyphen would mean something. */
static void man_char(char c, bool line_start, struct buf *out)
{
    if (c == '\\')
        (void)buf_append_text(out, "\\e");
    else if (c == '-')
        (void)buf_append_text(out, "\\-");
    else if (line_start && (c == '.' || c == '\''))
        (void)buf_printf(out, "\\&%c", c);
    else
        (void)buf_append_char(out, c);
}

static void man_text(const char *text, struct buf *out)
{
    bool bold = false;

    for (const char *at = text; *at; at++) {
        if (strncmp(at, "…", strlen("…")) == 0) {
            (void)buf_append_text(out, "to");
            at += strlen("…") - 1;
        } else if (*at == '`') {
            bold = !bold;
            (void)buf_append_text(out, bold ? "\\fB" : "\\fR");
        } else {
            man_char(*at, at == text, out);
        }
    }
}

static void print_paragraph(enum reference_form form, const struct paragraph *paragraph,
                            struct buf *out)
{
    if (form == REFERENCE_MARKDOWN) {
        if (paragraph->title)
            (void)buf_printf(out, "## %s\n\n", paragraph->title);
        (void)buf_printf(out, "%s\n\n", paragraph->text);
        return;
    }
    if (paragraph->title)
        (void)buf_printf(out, ".SH \"%s\"\n", paragraph->title);
    else
        (void)buf_append_text(out, ".PP\n");
    man_text(paragraph->text, out);
    (void)buf_append_char(out, '\n');
}

/* "the file", "`defaults`, `queues.*` and `queues.*.types.*`" */
static void print_sections(unsigned int sections, struct buf *out)
{
    bool first = true;

    for (size_t s = 0; s < SCHEMA_SECTION_COUNT; s++) {
        if (!(sections & (1u << s)))
            continue;
        sections &= ~(1u << s);
        if (!first)
            (void)buf_append_text(out, sections ? ", " : " and ");
        if (*schema_section_prefix(s))
            (void)buf_printf(out, "`%s`", schema_section_prefix(s));
        else
            (void)buf_append_text(out, "the file itself");
        first = false;
    }
}

/* "duration, 5s … 1d; default `30s`; a change takes new workers" */
static void print_facts(const struct schema_row *row, struct buf *out)
{
    struct buf range = BUF_INIT(512);

    schema_print_range(row, &range);
    (void)buf_append_text(out, schema_type_name(row->type));
    if (range.len && row->type != SCHEMA_WORD)
        (void)buf_printf(out, ", %s", buf_text(&range));
    if (row->preset)
        (void)buf_printf(out, "; default `%s`", row->preset);
    else
        (void)buf_append_text(out, "; no default");
    (void)buf_printf(out, "; a change takes: %s", schema_change_name(row->change));
    buf_done(&range);
}

static void print_words(enum reference_form form, const struct schema_row *row, struct buf *out)
{
    if (form == REFERENCE_MARKDOWN && row->words)
        (void)buf_append_char(out, '\n');
    for (const struct schema_word *word = row->words; word && word->name; word++) {
        if (word->refused)
            continue;
        if (form == REFERENCE_MARKDOWN) {
            (void)buf_printf(out, "- `%s`: %s\n", word->name, word->help);
        } else {
            (void)buf_printf(out, ".RS\n.TP\n.B %s\n", word->name);
            man_text(word->help, out);
            (void)buf_append_text(out, "\n.RE\n");
        }
    }
}

static void print_row(enum reference_form form, const struct schema_row *row, struct buf *out)
{
    struct buf facts = BUF_INIT(1024);

    print_facts(row, &facts);
    if (form == REFERENCE_MARKDOWN) {
        (void)buf_printf(out, "#### `%s`\n\n%s.\n\n%s\n", row->path, buf_text(&facts), row->help);
        print_words(form, row, out);
        (void)buf_append_char(out, '\n');
    } else {
        (void)buf_append_text(out, ".TP\n.B ");
        man_text(row->path, out);
        (void)buf_append_char(out, '\n');
        man_text(row->help, out);
        (void)buf_append_text(out, "\n.br\n(");
        man_text(buf_text(&facts), out);
        (void)buf_append_text(out, ")\n");
        print_words(form, row, out);
    }
    if (facts.failed)
        out->failed = true;
    buf_done(&facts);
}

static void print_rows(enum reference_form form, struct buf *out)
{
    unsigned int sections = 0;

    (void)buf_append_text(out, form == REFERENCE_MARKDOWN ? "## Keys\n\n" : ".SH KEYS\n");
    for (size_t i = 0; i < schema_rows_count; i++) {
        if (schema_rows[i].sections != sections) {
            struct buf title = BUF_INIT(256);

            sections = schema_rows[i].sections;
            print_sections(sections, &title);
            (void)buf_append_text(out, form == REFERENCE_MARKDOWN ? "### In " : ".SS In ");
            if (form == REFERENCE_MARKDOWN)
                (void)buf_append_text(out, buf_text(&title));
            else
                man_text(buf_text(&title), out);
            (void)buf_append_text(out, form == REFERENCE_MARKDOWN ? "\n\n" : "\n");
            buf_done(&title);
        }
        print_row(form, &schema_rows[i], out);
    }
}

void reference_print(enum reference_form form, struct buf *out)
{
    if (form == REFERENCE_MARKDOWN)
        (void)buf_append_text(
            out, "# The configuration file\n\n"
                 "<!-- Generated from common/config/schema.c by drover-reference; a "
                 "test compares the two. -->\n\n"
                 "[conf/drover.yaml](../conf/drover.yaml) shows every key in its place, "
                 "[conf/examples/first-queue.yaml](../conf/examples/first-queue.yaml) "
                 "is a small one to begin with.\n\n");
    else
        (void)buf_append_text(out, ".TH DROVER.YAML 5 \"" DROVER_MANUAL_DATE
                                   "\" \"drover " DROVER_VERSION "\"\n"
                                   ".SH NAME\ndrover.yaml \\- configuration of drover\n");
    for (size_t i = 0; i < ARRAY_SIZE(paragraphs); i++)
        print_paragraph(form, &paragraphs[i], out);
    print_rows(form, out);
    if (form == REFERENCE_MARKDOWN)
        out->len -= out->len && out->data[out->len - 1] == '\n'; /* one newline at the end */
    else
        (void)buf_append_text(
            out, ".SH \"SEE ALSO\"\n.BR drover (1),\n.BR drover\\-handler (7),\n.BR droverd (8)\n");
    if (out->data)
        out->data[out->len] = '\0';
}
